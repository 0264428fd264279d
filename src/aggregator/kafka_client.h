// What every Kafka client of hunt-aggregator and huntctl begins with.
#pragma once
#include <librdkafka/rdkafka.h>

#include <initializer_list>
#include <string>
#include <utility>

#include "base/result.h"

namespace huntd {

// "kafka: WHAT: what librdkafka says of `error`".
Error kafka_error(const std::string& what, rd_kafka_resp_err_t error);

// A configuration with these settings; the caller's until kafka_client() takes it.
Result<rd_kafka_conf_t*> kafka_conf(
    std::initializer_list<std::pair<const char*, std::string>> settings);

// A client of that configuration, which is gone in any case. A consumer's events all come with its
// messages.
Result<rd_kafka_t*> kafka_client(rd_kafka_type_t type, rd_kafka_conf_t* conf);

}  // namespace huntd
