// SPDX-License-Identifier: Apache-2.0
// Sends records to Kafka and waits until they are acknowledged: for dead letters, which are rare
// and must not be lost. huntd sends its events through linux/kafka_log.h.
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
#include "config/config.h"

namespace huntd {

// The views must be valid during send().
struct KafkaRecord {
  const char* topic = nullptr;
  std::optional<std::string_view> key;
  std::string_view value;
  std::vector<std::pair<const char*, std::string>> headers;
};

class KafkaSender {
 public:
  // `client` is the client.id, which brokers log.
  KafkaSender(Config::Kafka kafka, std::string client)
      : kafka_(std::move(kafka)), client_(std::move(client)) {}

  // Sends `records` and waits until all in-sync replicas have acknowledged each of them, or
  // limits::kafka_send_timeout_ms have passed. `records` in the result is the number of records
  // before the first that failed; a later record may have been stored too. `error` is that of the
  // first record that failed, and says what to do.
  struct Sent {
    size_t records = 0;
    std::optional<Error> error;
  };
  Sent send(std::span<const KafkaRecord> records);
  // Sets a function that send() calls about every 100 ms, to feed a watchdog.
  void on_wait(std::function<void()> callback) { on_wait_ = std::move(callback); }

 private:
  Result<void> open();
  void wait();
  static void on_report(rd_kafka_t* producer, const rd_kafka_message_t* message, void* sender);

  Config::Kafka kafka_;
  std::string client_;
  std::function<void()> on_wait_;
  std::unique_ptr<rd_kafka_t, void (*)(rd_kafka_t*)> producer_{nullptr, &rd_kafka_destroy};
};

}  // namespace huntd
