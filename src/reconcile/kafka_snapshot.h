// SPDX-License-Identifier: Apache-2.0
// Reads the events of Kafka for reconcile.
#pragma once
#include "base/result.h"
#include "config/config.h"
#include "reconcile/reading.h"

namespace huntd::reconcile {

// Adds every event of the topic (kafka_topic.h). A topic that does not exist has none.
Result<void> read_kafka(const Config& config, const ReadSoFar& so_far, Reading& reading);

// Compares the unreadable records with the dead-letter topic.
Result<void> match_dead_letters(const Config& config, Reading& reading);
// The same for those that are still open(); it reads the dead-letter topic again.
Result<void> match_dead_letters_again(const Config& config, Reading& reading);

}  // namespace huntd::reconcile
