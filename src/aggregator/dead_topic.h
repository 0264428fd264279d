// Records that can't be counted, into the topic kafka.dead_topic (protocol/dead_record.h).
#pragma once
#include <string>
#include <vector>

#include "aggregator/fold.h"
#include "aggregator/kafka_sender.h"
#include "base/config.h"

namespace huntd {

class DeadTopic {
 public:
  explicit DeadTopic(const Config& config);

  // Sends `records` in order and returns once all are acknowledged, or one failed. Acknowledged
  // ones leave `records` and are counted in `*delivered`; after an error calling again is right.
  Result<void> deliver(std::vector<DeadRecord>& records, uint64_t* delivered);
  void on_wait(std::function<void()> callback) { sender_.on_wait(std::move(callback)); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  std::string source_topic_;
  KafkaSender sender_;
};

}  // namespace huntd
