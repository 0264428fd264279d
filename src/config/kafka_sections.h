// SPDX-License-Identifier: Apache-2.0
// The sections of the config file whose keys are librdkafka's: [kafka.properties],
// [kafka.consumer], [kafka.producer].
#pragma once
#include <toml++/toml.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace huntd {

// The names of the sections, each a member of Config::Kafka.
inline constexpr const char* kafka_sections[] = {"kafka.properties", "kafka.consumer",
                                                 "kafka.producer"};

// The properties of one of kafka_sections. REQUIRES: `section` is one of them.
std::vector<KafkaProperty>& properties_of(Config& config, std::string_view section);

// Reads the section. A key with dots may be quoted or not: `"sasl.username" = "x"` and
// `sasl.username = "x"` are the same. `report(node, key, fault)` is called for each fault, and
// `note(node, key)` for each property that is read.
struct KafkaSectionReader {
  std::function<void(const toml::node&, const std::string& key, const std::string& fault)> report;
  std::function<void(const toml::node&, const std::string& key)> note;
};
void read_kafka_section(const toml::table& table, std::string_view section, Config& config,
                        const KafkaSectionReader& reader);

// The sections that have properties as TOML, for print_config().
std::string print_kafka_sections(const Config& config);

// Adds the keys of the properties that one of the two lacks or has with another value.
void add_changed_properties(const Config& running, const Config& next,
                            std::vector<std::string>& keys);

}  // namespace huntd
