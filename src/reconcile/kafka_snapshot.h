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

}  // namespace huntd::reconcile
