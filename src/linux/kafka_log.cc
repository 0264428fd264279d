// SPDX-License-Identifier: Apache-2.0
#include "linux/kafka_log.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <thread>
#include <utility>

#include "base/format_text.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/trace_context.h"
#include "drivers/kafka_client.h"
#include "wire/record_headers.h"

namespace huntd::server {
namespace {

constexpr int flush_step_ms = 10;
constexpr int replace_wait_ms = 1000;

// Whether a retry of a record with this error may succeed.
bool is_retriable(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR__FATAL:  // the producer is replaced
    case RD_KAFKA_RESP_ERR__PURGE_QUEUE:
    case RD_KAFKA_RESP_ERR__PURGE_INFLIGHT:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT:
    case RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS:
    case RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
      return true;
    default:
      return false;
  }
}

DeliveryReport report_of(rd_kafka_resp_err_t error, rd_kafka_msg_status_t status) {
  using Fate = DeliveryReport::Fate;
  DeliveryReport report;
  if (error == RD_KAFKA_RESP_ERR_NO_ERROR) {
    report.fate = Fate::stored;
    return report;
  }
  report.reason = rd_kafka_err2str(error);
  if (status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
    report.fate = Fate::unknown;
  else if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
    report.fate = Fate::no_such_topic;
  else
    report.fate = is_retriable(error) ? Fate::retriable : Fate::rejected;
  return report;
}

void add_traceparent(rd_kafka_headers_t* headers, std::string_view trace_context) {
  PoolString const value = format_text("{}{}", traceparent_version, trace_context);
  rd_kafka_header_add(headers, record_headers::traceparent, -1, value.data(),
                      static_cast<ssize_t>(value.size()));
}

}  // namespace

Result<std::unique_ptr<KafkaLog>> KafkaLog::open(Ring& ring, Config::Kafka options) {
  std::unique_ptr<KafkaLog> log(new KafkaLog(ring, std::move(options)));
  log->eventfd_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!log->eventfd_.valid()) return Error{std::string("eventfd: ") + std::strerror(errno)};
  if (Result<void> opened = log->open_producer(); !opened) return opened.error();
  log->arm();
  return log;
}

KafkaLog::~KafkaLog() { close_producer(); }

Result<void> KafkaLog::open_producer() {
  Result<rd_kafka_conf_t*> conf = kafka_conf(
      options_, RD_KAFKA_PRODUCER,
      {
          {"client.id", "huntd"},
          {"enable.idempotence", "true"},  // retries neither duplicate nor reorder within a session
          {"linger.ms", std::to_string(options_.linger_ms)},
          {"delivery.timeout.ms", std::to_string(options_.delivery_timeout_ms)},
          {"queue.buffering.max.messages", std::to_string(options_.queue_messages_max)},
          {"compression.codec", "lz4"},
          {"log.connection.close", "false"},
          {"statistics.interval.ms", std::to_string(limits::kafka_state_period_ms)},
          {"log.queue", "true"},  // librdkafka's log lines come as events, on this thread
      });
  if (!conf) return conf.error();
  rd_kafka_conf_set_events(
      *conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG | RD_KAFKA_EVENT_STATS);
  Result<rd_kafka_t*> producer = kafka_client(RD_KAFKA_PRODUCER, *conf);
  if (!producer) return producer.error();
  producer_ = *producer;
  topic_ = rd_kafka_topic_new(producer_, options_.topic.c_str(), nullptr);
  if (topic_ == nullptr) return Error{std::string("kafka: topic ") + options_.topic};
  reports_ = rd_kafka_queue_get_main(producer_);
  rd_kafka_set_log_queue(producer_, reports_);
  static const uint64_t one = 1;
  rd_kafka_queue_io_event_enable(reports_, eventfd_.get(), &one, sizeof one);
  // librdkafka writes when the queue becomes non-empty; it may already be non-empty.
  if (write(eventfd_.get(), &one, sizeof one) != sizeof one)
    return Error{std::string("eventfd: ") + std::strerror(errno)};
  return {};
}

void KafkaLog::close_producer() {
  if (reports_ != nullptr) rd_kafka_queue_destroy(std::exchange(reports_, nullptr));
  if (topic_ != nullptr) rd_kafka_topic_destroy(std::exchange(topic_, nullptr));
  if (producer_ != nullptr) rd_kafka_destroy(std::exchange(producer_, nullptr));
}

// Purges the failed producer: each of its records is reported as not stored. Sets the time of the
// replacement.
void KafkaLog::abandon_producer() {
  log::error("kafka: fatal producer error, replacing the producer");
  producer_failed_ = true;
  int64_t const now_ms = monotonic_ms();
  bool const lasted = now_ms - replaced_at_ms_ >= limits::kafka_replace_pause_max_ms;
  replace_pause_ms_ = lasted
                          ? 0
                          : std::clamp(2 * replace_pause_ms_, limits::kafka_replace_pause_first_ms,
                                       limits::kafka_replace_pause_max_ms);
  replace_at_ms_ = now_ms + replace_pause_ms_;
  purge();
}

// Each record gets its report from librdkafka's threads.
void KafkaLog::purge() {
  rd_kafka_purge(producer_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                RD_KAFKA_PURGE_F_NON_BLOCKING);
}

// If no new producer can be created, the process exits; the restarted core emits from the outbox.
void KafkaLog::replace_producer() {
  int64_t const started_ms = monotonic_ms();
  while (rd_kafka_outq_len(producer_) > 0 && monotonic_ms() - started_ms < replace_wait_ms) {
    rd_kafka_flush(producer_, flush_step_ms);
    take_reports();
  }
  bool const reported = rd_kafka_outq_len(producer_) == 0;
  rd_kafka_queue_io_event_enable(reports_, -1, nullptr, 0);
  rd_kafka_queue_destroy(std::exchange(reports_, nullptr));
  rd_kafka_topic_destroy(std::exchange(topic_, nullptr));
  // Blocks until librdkafka's threads have ended, and one may be in a name look-up.
  std::thread([failed = std::exchange(producer_, nullptr)] { rd_kafka_destroy(failed); }).detach();
  Result<void> const opened =
      reported ? open_producer() : Error{"the failed producer did not report all records"};
  if (!opened) {
    log::error("kafka: cannot replace the producer; this core exits and is restarted",
               {{"error", opened.error().message}});
    std::_Exit(EXIT_FAILURE);
  }
  producer_failed_ = false;
  replaced_at_ms_ = monotonic_ms();
  log::warning("kafka: producer replaced", {{"took_ms", replaced_at_ms_ - started_ms}});
}

void KafkaLog::arm() {
  io_uring_sqe* sqe = ring_.prepare(*this);
  io_uring_prep_poll_multishot(sqe, eventfd_.get(), POLLIN);
}

void KafkaLog::complete(int32_t result, uint32_t flags) {
  // Read before the reports are taken: librdkafka writes only when its queue becomes non-empty.
  uint64_t count = 0;
  while (read(eventfd_.get(), &count, sizeof count) > 0) {
  }
  deliver_reports();
  if ((flags & IORING_CQE_F_MORE) == 0) arm();
}

void KafkaLog::deliver_reports() {
  take_reports();
  if (replacement_due()) replace_producer();
}

void KafkaLog::take_reports() {
  while (rd_kafka_event_t* event = rd_kafka_queue_poll(reports_, 0)) {
    on_report(event);
    rd_kafka_event_destroy(event);
  }
}

void KafkaLog::on_report(rd_kafka_event_t* event) {
  switch (rd_kafka_event_type(event)) {
    case RD_KAFKA_EVENT_DR:
      while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event)) {
        uint64_t const token = reinterpret_cast<uint64_t>(message->_private);
        DeliveryReport report = report_of(message->err, rd_kafka_message_status(message));
        report.partition = message->partition;
        report.offset = message->offset;
        if (user_ != nullptr) user_->on_report(token, report);
      }
      break;
    case RD_KAFKA_EVENT_ERROR: {
      rd_kafka_resp_err_t const code = rd_kafka_event_error(event);
      log::warning("kafka", {{"error", rd_kafka_err2str(code)},
                             {"detail", rd_kafka_event_error_string(event)}});
      report_unreachable(code);
      if (rd_kafka_event_error_is_fatal(event) != 0 && !producer_failed_) abandon_producer();
      break;
    }
    case RD_KAFKA_EVENT_STATS:
      // A broker that it needs no connection to is not UP either, so only UP says something.
      if (user_ != nullptr &&
          std::strstr(rd_kafka_event_stats(event), R"("state":"UP")") != nullptr)
        user_->on_reachable("");
      break;
    case RD_KAFKA_EVENT_LOG:
      log_kafka_line(event);
      break;
    default:
      break;
  }
}

// A fault of one broker among several is none of the whole.
void KafkaLog::report_unreachable(rd_kafka_resp_err_t code) {
  bool const all = code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
                   code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL;
  if (all && user_ != nullptr) user_->on_reachable(rd_kafka_err2str(code) + kafka_fault());
}

// Records with headers have no batch call. They are sent in batches all the same: librdkafka waits
// for linger.ms.
rd_kafka_resp_err_t KafkaLog::produce(const EventRecord& record) {
  namespace names = record_headers;
  // Not RD_KAFKA_VTYPE_HEADER: librdkafka frees those twice if it rejects the record because the
  // topic does not exist.
  rd_kafka_headers_t* const headers = rd_kafka_headers_new(record.trace_context.empty() ? 2 : 3);
  rd_kafka_header_add(headers, names::content_type, -1, names::json.data(),
                      static_cast<ssize_t>(names::json.size()));
  rd_kafka_header_add(headers, names::event_version, -1, names::event_version_1.data(),
                      static_cast<ssize_t>(names::event_version_1.size()));
  if (!record.trace_context.empty()) add_traceparent(headers, record.trace_context);
  rd_kafka_vu_t parts[6] = {};
  parts[0].vtype = RD_KAFKA_VTYPE_RKT;
  parts[0].u.rkt = topic_;
  parts[1].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
  parts[1].u.i = RD_KAFKA_MSG_F_COPY;  // the record need not outlive this call
  parts[2].vtype = RD_KAFKA_VTYPE_KEY;
  parts[2].u.mem = {const_cast<char*>(record.key.data()), record.key.size()};
  parts[3].vtype = RD_KAFKA_VTYPE_VALUE;
  parts[3].u.mem = {const_cast<char*>(record.value.data()), record.value.size()};
  parts[4].vtype = RD_KAFKA_VTYPE_HEADERS;
  parts[4].u.headers = headers;
  parts[5].vtype = RD_KAFKA_VTYPE_OPAQUE;
  parts[5].u.ptr = reinterpret_cast<void*>(record.token);
  rd_kafka_error_t* const error = rd_kafka_produceva(producer_, parts, std::size(parts));
  if (error == nullptr) return RD_KAFKA_RESP_ERR_NO_ERROR;
  rd_kafka_resp_err_t const code = rd_kafka_error_code(error);
  rd_kafka_error_destroy(error);
  rd_kafka_headers_destroy(headers);  // librdkafka owns those of the records that it accepts
  return code;
}

void KafkaLog::produce(const PoolVector<EventRecord>& records) {
  if (replacement_due()) replace_producer();
  for (const EventRecord& record : records)
    if (rd_kafka_resp_err_t const error = produce(record);
        error != RD_KAFKA_RESP_ERR_NO_ERROR && user_ != nullptr)
      user_->on_report(record.token, report_of(error, RD_KAFKA_MSG_STATUS_NOT_PERSISTED));
}

void KafkaLog::give_up() {
  // Of a producer that failed, the records are purged already.
  if (!producer_failed_) purge();
}

}  // namespace huntd::server
