// SPDX-License-Identifier: Apache-2.0
// EventLog on librdkafka: an idempotent producer that signals its reports to the ring by an
// eventfd. librdkafka starts threads, so it is created in the core's process, after the fork. A
// producer with a fatal error is replaced: its records are reported as not stored. The first
// replacement is immediate; if the new producer fails too, the next one waits, longer each time.
#pragma once
#include <librdkafka/rdkafka.h>

#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "config/config.h"
#include "environment/event_log.h"
#include "linux/ring.h"

namespace huntd::server {

class KafkaLog final : public EventLog, private Op {
 public:
  // The error is librdkafka's: an invalid option.
  static Result<std::unique_ptr<KafkaLog>> open(Ring& ring, Config::Kafka options);
  ~KafkaLog() override;

  void set_user(EventLogUser& user) override { user_ = &user; }
  void produce(const PoolVector<EventRecord>& records) override;
  void give_up() override;
  // Delivers the reports that have come to the user.
  void deliver_reports();

 private:
  KafkaLog(Ring& ring, Config::Kafka options) : ring_(ring), options_(std::move(options)) {}
  Result<void> open_producer();
  void close_producer();
  void abandon_producer();
  void purge();
  void replace_producer();
  bool replacement_due() const { return producer_failed_ && monotonic_ms() >= replace_at_ms_; }
  void complete(int32_t result, uint32_t flags) override;
  void arm();
  // Hands a record with its headers to librdkafka, which copies it.
  rd_kafka_resp_err_t produce(const EventRecord& record);
  void take_reports();
  void on_report(rd_kafka_event_t* event);
  void report_unreachable(rd_kafka_resp_err_t code);

  Ring& ring_;
  Config::Kafka options_;
  EventLogUser* user_ = nullptr;
  rd_kafka_t* producer_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_queue_t* reports_ = nullptr;
  UniqueFd eventfd_;
  bool producer_failed_ = false;  // it had a fatal error
  int64_t replace_at_ms_ = 0;     // if it failed: when it is replaced
  int64_t replaced_at_ms_ = 0;    // the last replacement
  int64_t replace_pause_ms_ = 0;
};

}  // namespace huntd::server
