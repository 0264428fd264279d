// SPDX-License-Identifier: Apache-2.0
// What an operator may set of librdkafka: [kafka.properties], [kafka.consumer], [kafka.producer]
// (docs/configuration.md). A property that would break a promise of docs/guarantees.md is rejected.
#pragma once
#include <librdkafka/rdkafka.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace huntd {

// A property that is rejected, or that may have only some values.
struct RejectedProperty {
  enum class Kind {
    never,    // no value is accepted
    fixed,    // one value is accepted, which the programs set themselves
    limited,  // `permits` says which values
  };
  // "test.*": every name that begins with "test.".
  std::string_view name;
  Kind kind;
  std::string_view wanted;  // the permitted values in words; empty if there is none
  bool (*permits)(std::string_view value);
  std::string_view reason;
};
std::span<const RejectedProperty> rejected_kafka_properties();

// The names that librdkafka documents for consumers (RD_KAFKA_CONSUMER) or producers.
std::vector<std::string_view> kafka_property_names(rd_kafka_type_t type);

// Checks names, sections and values; opens no file and no connection. The error lists every
// problem, one per line, each as "FILE:LINE: key: what is wrong".
Result<void> check_kafka_properties(const Config& config);

// What a program calls before it uses Kafka: checks the properties, reads the files of NAME_file
// into their values, and has librdkafka check the whole by a consumer and a producer without
// brokers. Without properties it does nothing.
Result<void> prepare_kafka_properties(Config& config);

// Sets what applies to a client of this type, the client's own section last. A value in a file that
// was not read yet is read now.
Result<void> set_kafka_properties(rd_kafka_conf_t* conf, const Config::Kafka& kafka,
                                  rd_kafka_type_t type);

}  // namespace huntd
