// SPDX-License-Identifier: Apache-2.0
// Set-up that every librdkafka client shares: huntd's producer, hunt-aggregator's consumer and
// sender, huntctl's reader.
#pragma once
#include <librdkafka/rdkafka.h>

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace huntd {

// Returns "kafka: WHAT: TEXT", with librdkafka's text for `error`.
Error kafka_error(std::string_view what, rd_kafka_resp_err_t error);

// Returns a configuration with these properties, the reconnect back-off that all clients share, and
// log_kafka_line() as log callback. The caller owns it until it calls kafka_client(). The error is
// librdkafka's: an unknown property or a value out of range.
Result<rd_kafka_conf_t*> kafka_conf(
    std::initializer_list<std::pair<const char*, std::string>> properties);

// Creates a client from `conf`, and takes ownership of `conf` also on error. The caller destroys
// the client. A consumer's events arrive in the same queue as its messages.
Result<rd_kafka_t*> kafka_client(rd_kafka_type_t type, rd_kafka_conf_t* conf);

// Logs a line of librdkafka: as a warning if `level` (of syslog) is warning or more severe, else as
// info. Thread-safe. The type is that of rd_kafka_conf_set_log_cb().
void log_kafka_line(const rd_kafka_t* client, int level, const char* facility, const char* text);
// The same for the line in `event`. REQUIRES: its type is RD_KAFKA_EVENT_LOG.
void log_kafka_line(rd_kafka_event_t* event);

}  // namespace huntd
