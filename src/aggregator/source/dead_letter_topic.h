// SPDX-License-Identifier: Apache-2.0
// Writes dead letters to the topic kafka.dead_topic (docs/formats/dead-letter.md).
#pragma once
#include <string>
#include <vector>

#include "aggregator/sessions/batch.h"
#include "config/config.h"
#include "drivers/kafka_sender.h"

namespace huntd::aggregator {

class DeadLetterTopic {
 public:
  explicit DeadLetterTopic(const Config& config);

  // Sends `letters` in order, and waits until all are acknowledged or one has failed. Removes the
  // acknowledged letters and stores their number in `*delivered`. After an error the caller
  // retries.
  Result<void> deliver(std::vector<DeadLetter>& letters, uint64_t* delivered);
  // See KafkaSender::on_wait().
  void on_wait(std::function<void()> callback) { sender_.on_wait(std::move(callback)); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::string source_topic_;
  KafkaSender sender_;
};

}  // namespace huntd::aggregator
