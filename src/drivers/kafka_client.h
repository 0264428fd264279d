// SPDX-License-Identifier: Apache-2.0
// Set-up that every librdkafka client shares: huntd's producer, hunt-aggregator's consumer and
// sender, huntctl's reader. An operator's properties: drivers/kafka_properties.h.
#pragma once
#include <librdkafka/rdkafka.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "config/config.h"

namespace huntd {

// Returns "kafka: WHAT: TEXT", with librdkafka's text for `error`, and with kafka_fault() if `error`
// only says that the brokers cannot be reached.
Error kafka_error(std::string_view what, rd_kafka_resp_err_t error);

using KafkaPropertyList = std::initializer_list<std::pair<const char*, std::string>>;

// Returns a configuration with the brokers, the reconnect back-off that all clients share,
// `properties`, the operator's properties (drivers/kafka_properties.h), then `fixed`, and
// log_kafka_line() as log callback. The caller owns it until it calls kafka_client(). The error is
// librdkafka's (an unknown property or a value out of range), or that of a file with a secret.
Result<rd_kafka_conf_t*> kafka_conf(const Config::Kafka& kafka, rd_kafka_type_t type,
                                    KafkaPropertyList properties, KafkaPropertyList fixed = {});

// Creates a client from `conf`, and takes ownership of `conf` also on error. The caller destroys
// the client. A consumer's events arrive in the same queue as its messages.
Result<rd_kafka_t*> kafka_client(rd_kafka_type_t type, rd_kafka_conf_t* conf);

// Logs a line of librdkafka: as a warning if `level` (of syslog) is warning or more severe, else as
// info. A fault of a connection is remembered for kafka_fault(), and not logged again if it is
// repeated within limits::kafka_fault_repeat_ms. Thread-safe. The type is that of
// rd_kafka_conf_set_log_cb().
void log_kafka_line(const rd_kafka_t* client, int level, const char* facility, const char* text);
// For clients that log no errors, because their caller reports them: remembers them only. Set
// log_level to kafka_errors_only; other lines, which only an operator's log_level can bring, are
// logged.
void remember_kafka_line(const rd_kafka_t* client, int level, const char* facility,
                         const char* text);
inline constexpr const char* kafka_errors_only = "3";
// Returns ": TEXT", the newest fault of a connection to a broker in this process: a wrong password,
// an expired certificate, a connection that timed out. Empty if there was none within
// limits::kafka_fault_valid_ms. Thread-safe.
std::string kafka_fault();
// The same as log_kafka_line() for the line in `event`. REQUIRES: its type is RD_KAFKA_EVENT_LOG.
void log_kafka_line(rd_kafka_event_t* event);

}  // namespace huntd
