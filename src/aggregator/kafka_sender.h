// Records into Kafka, one batch at a time, each waited for: for what is rare and must not be lost.
// huntd's own stream of events has emit/kafka_log.h.
#pragma once
#include <librdkafka/rdkafka.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace huntd {

// Views are good during the call they are given to.
struct KafkaRecord {
  const char* topic = nullptr;
  std::optional<std::string_view> key;
  std::string_view value;
  std::vector<std::pair<const char*, std::string>> headers;
};

class KafkaSender {
 public:
  // `client` names this program in the brokers' logs.
  KafkaSender(std::string bootstrap, std::string client)
      : bootstrap_(std::move(bootstrap)), client_(std::move(client)) {}

  // Sends `records` and waits until all in-sync replicas have each, or
  // limits::kafka_send_timeout_ms have passed. Returns how many, from the first on, are there for
  // good; one behind a failed one may be there all the same. The error is the first failed one's,
  // and says what to do.
  struct Sent {
    size_t records = 0;
    std::optional<Error> error;
  };
  Sent send(std::span<const KafkaRecord> records);
  // Called about every 100 ms during send(): a long wait is no hang.
  void on_wait(std::function<void()> callback) { on_wait_ = std::move(callback); }

 private:
  Result<void> open();
  void wait();
  static void on_report(rd_kafka_t* producer, const rd_kafka_message_t* message, void* sender);

  std::string bootstrap_;
  std::string client_;
  std::function<void()> on_wait_;
  std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> producer_{nullptr, &rd_kafka_destroy};
};

}  // namespace huntd
