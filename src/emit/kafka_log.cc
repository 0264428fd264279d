#include "emit/kafka_log.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd {
namespace {

constexpr int drain_step_ms = 10;
constexpr int replace_wait_ms = 1000;

bool set(rd_kafka_conf_t* conf, const char* name, const std::string& value, std::string& error) {
  char text[256];
  if (rd_kafka_conf_set(conf, name, value.c_str(), text, sizeof text) == RD_KAFKA_CONF_OK)
    return true;
  error = text;
  return false;
}

// Whether a record with this error may be taken when it is sent again.
bool passes(rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
    case RD_KAFKA_RESP_ERR__FATAL:  // of the producer, which is replaced
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
  report.why = rd_kafka_err2str(error);
  if (status != RD_KAFKA_MSG_STATUS_NOT_PERSISTED)
    report.fate = Fate::unknown;
  else if (error == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
           error == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
    report.fate = Fate::no_such_topic;
  else
    report.fate = passes(error) ? Fate::not_now : Fate::refused;
  return report;
}

}  // namespace

Result<std::unique_ptr<KafkaLog>> KafkaLog::open(uring::Ring& ring, Options options) {
  std::unique_ptr<KafkaLog> log(new KafkaLog(ring, std::move(options)));
  log->eventfd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (log->eventfd_ < 0) return Error{std::string("eventfd: ") + std::strerror(errno)};
  if (Result<void> opened = log->open_producer(); !opened) return opened.error();
  log->arm();
  return log;
}

KafkaLog::~KafkaLog() {
  close_producer();
  if (eventfd_ >= 0) close(eventfd_);
}

Result<void> KafkaLog::open_producer() {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  std::string error;
  bool const fine =
      set(conf, "bootstrap.servers", options_.bootstrap, error) &&
      set(conf, "client.id", "huntd", error) &&
      // Retries neither double nor reorder within a session of the producer.
      set(conf, "enable.idempotence", "true", error) &&
      set(conf, "linger.ms", std::to_string(options_.linger_ms), error) &&
      set(conf, "delivery.timeout.ms", std::to_string(options_.delivery_timeout_ms), error) &&
      set(conf, "queue.buffering.max.messages", std::to_string(options_.queue_messages_max),
          error) &&
      set(conf, "reconnect.backoff.max.ms", std::to_string(limits::kafka_reconnect_ms_max),
          error) &&
      set(conf, "compression.codec", "lz4", error) &&
      set(conf, "log.connection.close", "false", error) &&
      // librdkafka's own lines come as events, to be written as ours are.
      set(conf, "log.queue", "true", error);
  if (!fine) {
    rd_kafka_conf_destroy(conf);
    return Error{"kafka: " + error};
  }
  rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
  char text[256];
  producer_ = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
  if (producer_ == nullptr) {
    rd_kafka_conf_destroy(conf);
    return Error{std::string("kafka: ") + text};
  }
  topic_ = rd_kafka_topic_new(producer_, options_.topic.c_str(), nullptr);
  if (topic_ == nullptr) return Error{std::string("kafka: topic ") + options_.topic};
  reports_ = rd_kafka_queue_get_main(producer_);
  rd_kafka_set_log_queue(producer_, reports_);
  static const uint64_t one = 1;
  rd_kafka_queue_io_event_enable(reports_, eventfd_, &one, sizeof one);
  // librdkafka tells of a queue that becomes not empty; this one may hold something already.
  if (write(eventfd_, &one, sizeof one) != sizeof one)
    return Error{std::string("eventfd: ") + std::strerror(errno)};
  return {};
}

void KafkaLog::close_producer() {
  if (reports_ != nullptr) rd_kafka_queue_destroy(std::exchange(reports_, nullptr));
  if (topic_ != nullptr) rd_kafka_topic_destroy(std::exchange(topic_, nullptr));
  if (producer_ != nullptr) rd_kafka_destroy(std::exchange(producer_, nullptr));
}

// Nothing that the producer held is forgotten: each record gets its report, and the user keeps
// those that came from the outbox for the sweep.
void KafkaLog::give_up_producer() {
  log::error("kafka: fatal producer error");
  producer_failed_ = true;
  int64_t const now_ms = monotonic_ms();
  bool const lasted = now_ms - replaced_at_ms_ >= limits::kafka_replace_pause_max_ms;
  replace_pause_ms_ = lasted
                          ? 0
                          : std::clamp(2 * replace_pause_ms_, limits::kafka_replace_pause_first_ms,
                                       limits::kafka_replace_pause_max_ms);
  replace_at_ms_ = now_ms + replace_pause_ms_;
  rd_kafka_purge(producer_, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT |
                                RD_KAFKA_PURGE_F_NON_BLOCKING);
}

// A core that can't get that far ends, and another takes over its outbox.
void KafkaLog::replace_producer() {
  int64_t const begun_ms = monotonic_ms();
  while (rd_kafka_outq_len(producer_) > 0 && monotonic_ms() - begun_ms < replace_wait_ms) {
    rd_kafka_flush(producer_, drain_step_ms);
    take_reports();
  }
  bool const reported = rd_kafka_outq_len(producer_) == 0;
  rd_kafka_queue_io_event_enable(reports_, -1, nullptr, 0);
  rd_kafka_queue_destroy(std::exchange(reports_, nullptr));
  rd_kafka_topic_destroy(std::exchange(topic_, nullptr));
  // It waits for librdkafka's threads, of which one may be looking up a name.
  std::thread([failed = std::exchange(producer_, nullptr)] { rd_kafka_destroy(failed); }).detach();
  Result<void> const opened = reported ? open_producer() : Error{"the old one keeps its records"};
  if (!opened) {
    log::error("kafka: no new producer; this core ends and is restarted",
               {{"error", opened.error().message}});
    std::_Exit(EXIT_FAILURE);
  }
  producer_failed_ = false;
  replaced_at_ms_ = monotonic_ms();
  log::warning("kafka: a new producer has taken the place of the failed one",
               {{"took_ms", replaced_at_ms_ - begun_ms}});
}

void KafkaLog::arm() {
  io_uring_sqe* sqe = ring_.prepare(*this);
  io_uring_prep_poll_multishot(sqe, eventfd_, POLLIN);
}

void KafkaLog::complete(int32_t result, uint32_t flags) {
  // Emptied before the reports are taken: librdkafka writes again only when its queue goes from
  // empty to not.
  uint64_t count = 0;
  while (read(eventfd_, &count, sizeof count) > 0) {
  }
  serve_reports();
  if ((flags & IORING_CQE_F_MORE) == 0) arm();
}

void KafkaLog::serve_reports() {
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
      if (rd_kafka_event_error_is_fatal(event) != 0 && !producer_failed_) give_up_producer();
      break;
    }
    case RD_KAFKA_EVENT_LOG: {
      const char* facility = "";
      const char* text = "";
      int level = 6;
      if (rd_kafka_event_log(event, &facility, &text, &level) == 0)
        log::write(level <= 4 ? log::Level::warning : log::Level::info, "kafka",
                   {{"detail", text}});
      break;
    }
    default:
      break;
  }
}

void KafkaLog::produce(const List<EventRecord>& records) {
  if (replacement_due()) replace_producer();
  batch_.clear();
  for (const EventRecord& record : records) {
    rd_kafka_message_t message{};
    message.payload = const_cast<char*>(record.value.data());
    message.len = record.value.size();
    message.key = const_cast<char*>(record.key.data());
    message.key_len = record.key.size();
    message._private = reinterpret_cast<void*>(record.token);
    batch_.push_back(message);
  }
  // Copied: the caller's memory is its own again.
  rd_kafka_produce_batch(topic_, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY, batch_.data(),
                         static_cast<int>(batch_.size()));
  for (size_t i = 0; i < batch_.size(); ++i)
    if (batch_[i].err != RD_KAFKA_RESP_ERR_NO_ERROR && user_ != nullptr)
      user_->on_report(records[i].token,
                       report_of(batch_[i].err, RD_KAFKA_MSG_STATUS_NOT_PERSISTED));
}

void KafkaLog::drain(int timeout_ms) {
  // Flushing ends only when every report has been taken, which is ours to do (rd_kafka_flush's
  // note on events).
  for (int waited_ms = 0; rd_kafka_outq_len(producer_) > 0 && waited_ms < timeout_ms;
       waited_ms += drain_step_ms) {
    rd_kafka_flush(producer_, drain_step_ms);
    serve_reports();
  }
}

}  // namespace huntd
