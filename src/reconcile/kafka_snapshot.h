// SPDX-License-Identifier: Apache-2.0
// Reads the events of Kafka for reconcile.
#pragma once
#include <string>

#include "base/result.h"
#include "reconcile/snapshot.h"

namespace huntd::reconcile {

// Adds every event of the topic (kafka_topic.h). A topic that does not exist has none.
Result<void> read_kafka(const std::string& bootstrap, const std::string& topic,
                        Snapshots& snapshots);

// Removes the records from snapshots.unreadable that are in the dead-letter topic with their place
// and the same bytes, and counts them in snapshots.set_aside.
Result<void> set_dead_letters_aside(const std::string& bootstrap, const std::string& topic,
                                    const std::string& dead_topic, Snapshots& snapshots);

}  // namespace huntd::reconcile
