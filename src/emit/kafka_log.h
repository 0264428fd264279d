// EventLog on librdkafka: an idempotent producer whose reports reach the ring by an eventfd.
// librdkafka runs threads of its own, so it is created in the core process, after the fork. After a
// fatal error a producer is of no use any more: what it held is reported as not stored, and another
// takes its place, at once the first time and after a growing pause where it fails again.
#pragma once
#include <librdkafka/rdkafka.h>

#include <string>

#include "base/clock.h"
#include "io/outside.h"
#include "uring/ring.h"

namespace huntd {

class KafkaLog final : public EventLog, private uring::Op {
 public:
  struct Options {
    std::string bootstrap;
    std::string topic;
    uint32_t linger_ms;
    uint32_t queue_messages_max;
    uint32_t delivery_timeout_ms;
  };
  static Result<std::unique_ptr<KafkaLog>> open(uring::Ring& ring, Options options);
  ~KafkaLog() override;

  void set_user(EventLogUser& user) override { user_ = &user; }
  void produce(const List<EventRecord>& records) override;
  // Hands what the brokers have acknowledged (or refused) to the user; called once a tick where
  // something came.
  void serve_reports();
  // Waits for what is under way, for the end of the process.
  void drain(int timeout_ms);

 private:
  KafkaLog(uring::Ring& ring, Options options) : ring_(ring), options_(std::move(options)) {}
  Result<void> open_producer();
  void close_producer();
  void give_up_producer();
  void replace_producer();
  bool replacement_due() const { return producer_failed_ && monotonic_ms() >= replace_at_ms_; }
  void complete(int32_t result, uint32_t flags) override;
  void arm();
  void take_reports();
  void on_report(rd_kafka_event_t* event);

  uring::Ring& ring_;
  Options options_;
  EventLogUser* user_ = nullptr;
  rd_kafka_t* producer_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_queue_t* reports_ = nullptr;
  int eventfd_ = -1;
  bool producer_failed_ = false;  // a fatal error
  int64_t replace_at_ms_ = 0;     // then: when another one is tried
  int64_t replaced_at_ms_ = 0;    // the last time
  int64_t replace_pause_ms_ = 0;
  std::vector<rd_kafka_message_t> batch_;
};

}  // namespace huntd
