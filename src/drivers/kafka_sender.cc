// SPDX-License-Identifier: Apache-2.0
#include "drivers/kafka_sender.h"

#include <fmt/format.h>

#include "drivers/driver_limits.h"
#include "drivers/kafka_client.h"
#include "drivers/peer_timeout.h"

namespace huntd {
namespace {

constexpr int wait_step_ms = 100;

Error send_error(const char* topic, rd_kafka_resp_err_t error) {
  switch (error) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
      return Error{fmt::format(
          "kafka: topic {} does not exist and the brokers do not create topics automatically: create it",
          topic)};
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
      return Error{fmt::format(
          "kafka: topic {} rejects a record of this size: raise its max.message.bytes", topic)};
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      return Error{
          fmt::format("kafka: topic {} did not acknowledge a record within {:g} s{}", topic,
                      peer_timeout_ms(limits::kafka_send_timeout_ms) / 1000.0, kafka_fault()),
          ErrorKind::unreachable};
    default:
      return kafka_error(topic, error);
  }
}

rd_kafka_vu_t part(rd_kafka_vtype_t type) {
  rd_kafka_vu_t unit{};
  unit.vtype = type;
  return unit;
}

// Hands a record to librdkafka. `*outcome` is set now if librdkafka rejects the record, else by its
// delivery report.
void produce(rd_kafka_t* producer, const KafkaRecord& record, rd_kafka_resp_err_t* outcome) {
  std::vector<rd_kafka_vu_t> parts;
  parts.push_back(part(RD_KAFKA_VTYPE_TOPIC));
  parts.back().u.cstr = record.topic;
  parts.push_back(part(RD_KAFKA_VTYPE_VALUE));
  parts.back().u.mem = {const_cast<char*>(record.value.data()), record.value.size()};
  if (record.key) {
    parts.push_back(part(RD_KAFKA_VTYPE_KEY));
    parts.back().u.mem = {const_cast<char*>(record.key->data()), record.key->size()};
  }
  // Not RD_KAFKA_VTYPE_HEADER: librdkafka frees those twice if it rejects the record because the
  // topic does not exist.
  rd_kafka_headers_t* const headers = rd_kafka_headers_new(record.headers.size());
  for (const auto& [name, value] : record.headers)
    rd_kafka_header_add(headers, name, -1, value.data(), static_cast<ssize_t>(value.size()));
  parts.push_back(part(RD_KAFKA_VTYPE_HEADERS));
  parts.back().u.headers = headers;
  parts.push_back(part(RD_KAFKA_VTYPE_MSGFLAGS));
  parts.back().u.i = RD_KAFKA_MSG_F_COPY;
  parts.push_back(part(RD_KAFKA_VTYPE_OPAQUE));
  parts.back().u.ptr = outcome;
  if (rd_kafka_error_t* error = rd_kafka_produceva(producer, parts.data(), parts.size())) {
    *outcome = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    rd_kafka_headers_destroy(headers);  // librdkafka owns those of the records that it accepts
  }
}

}  // namespace

Result<void> KafkaSender::open() {
  Result<rd_kafka_conf_t*> conf = kafka_conf(
      kafka_, RD_KAFKA_PRODUCER,
      {
          {"client.id", client_},
          {"acks", "all"},
          {"linger.ms", "0"},
          {"message.timeout.ms", std::to_string(peer_timeout_ms(limits::kafka_send_timeout_ms))},
          {"topic.metadata.propagation.max.ms", std::to_string(limits::kafka_topic_timeout_ms)},
          {"log_level", kafka_errors_only},
      },
      // No limit here: the topic's max.message.bytes applies.
      {{"message.max.bytes", "1000000000"}});
  if (!conf) return conf.error();
  rd_kafka_conf_set_log_cb(*conf, &remember_kafka_line);  // errors come with the delivery reports
  rd_kafka_conf_set_dr_msg_cb(*conf, &KafkaSender::on_report);
  Result<rd_kafka_t*> producer = kafka_client(RD_KAFKA_PRODUCER, *conf);
  if (!producer) return producer.error();
  producer_.reset(*producer);
  return {};
}

void KafkaSender::on_report(rd_kafka_t*, const rd_kafka_message_t* message, void*) {
  *static_cast<rd_kafka_resp_err_t*>(message->_private) = message->err;
}

void KafkaSender::wait() {
  // Terminates, because each record has a timeout.
  while (rd_kafka_outq_len(producer_.get()) > 0) {
    rd_kafka_flush(producer_.get(), wait_step_ms);
    if (on_wait_) on_wait_();
  }
}

KafkaSender::Sent KafkaSender::send(std::span<const KafkaRecord> records) {
  Sent sent;
  if (!producer_)
    if (Result<void> opened = open(); !opened) {
      sent.error = opened.error();
      return sent;
    }
  while (sent.records < records.size()) {
    std::span<const KafkaRecord> const batch = records.subspan(
        sent.records, std::min(limits::kafka_send_max, records.size() - sent.records));
    std::vector<rd_kafka_resp_err_t> outcomes(batch.size(), RD_KAFKA_RESP_ERR__IN_PROGRESS);
    for (size_t i = 0; i < batch.size(); ++i) produce(producer_.get(), batch[i], &outcomes[i]);
    wait();
    for (size_t i = 0; i < batch.size(); ++i) {
      if (outcomes[i] != RD_KAFKA_RESP_ERR_NO_ERROR) {
        sent.error = send_error(batch[i].topic, outcomes[i]);
        return sent;
      }
      sent.records += 1;
    }
  }
  return sent;
}

}  // namespace huntd
