// SPDX-License-Identifier: Apache-2.0
#include "config/kafka_sections.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "base/check.h"
#include "base/limits.h"

namespace huntd {
namespace {

constexpr std::string_view file_suffix = "_file";

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= limits::kafka_property_name_max &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

// Line breaks are part of a certificate. Other control characters are mistakes, and librdkafka
// would end the text at a NUL.
bool has_control_character(std::string_view text) {
  return std::ranges::any_of(text, [](char c) {
    auto const byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\n' && c != '\r' && c != '\t') || byte == 0x7f;
  });
}

// The value as librdkafka takes it; nothing if it is neither a text, nor a whole number, nor a
// flag.
std::optional<std::string> text_of(const toml::node& node) {
  if (std::optional<std::string> const text = node.value_exact<std::string>()) return *text;
  if (std::optional<int64_t> const number = node.value_exact<int64_t>())
    return std::to_string(*number);
  if (std::optional<bool> const flag = node.value_exact<bool>()) return *flag ? "true" : "false";
  return std::nullopt;
}

class Reader {
 public:
  Reader(std::string_view section, std::vector<KafkaProperty>& properties,
         const KafkaSectionReader& reader)
      : section_(section), properties_(properties), reader_(reader) {}

  // `path` is the part of the name that the tables around this one have: "" or "sasl.".
  void read_table(const toml::table& table, const std::string& path) {
    for (auto&& [key, node] : table) {
      if (properties_.size() == limits::kafka_properties_max)
        return reader_.report(
            node, section_,
            fmt::format("must not have more than {} properties", limits::kafka_properties_max));
      std::string const name = path + std::string(key.str());
      if (const toml::table* const inner = node.as_table(); inner != nullptr && is_name(name))
        read_table(*inner, name + ".");
      else
        read_property(node, name);
    }
  }

 private:
  void read_property(const toml::node& node, const std::string& name) {
    if (!is_name(name))
      return reader_.report(node, section_,
                            fmt::format("has a name that is not of librdkafka's form: 1 to {} of "
                                        "A-Z a-z 0-9 . _ -",
                                        limits::kafka_property_name_max));
    KafkaProperty property{section_ + "." + name, name, "", ""};
    std::optional<std::string> value = text_of(node);
    if (!value)
      return reader_.report(node, property.key,
                            "must be text in quotes, a whole number, true or false");
    if (has_control_character(*value))
      return reader_.report(node, property.key,
                            "must not contain control characters other than line breaks and tabs");
    bool const in_file = name.ends_with(file_suffix);
    if (in_file) property.name.resize(name.size() - file_suffix.size());
    if (in_file && (value->empty() || !node.is_string()))
      return reader_.report(node, property.key, "must be the path of the file with the value");
    (in_file ? property.file : property.value) = std::move(*value);
    auto const [at, is_new] = keys_.emplace(property.name, property.key);
    if (!is_new)
      return reader_.report(node, property.key,
                            fmt::format("sets the same property as {}", at->second));
    reader_.note(node, property.key);
    properties_.push_back(std::move(property));
  }

  std::string section_;
  std::vector<KafkaProperty>& properties_;
  const KafkaSectionReader& reader_;
  std::map<std::string, std::string> keys_;  // by the property's name
};

// Whether a value must not be printed.
bool is_secret(std::string_view name) {
  for (std::string_view const word : {"password", "passphrase", "secret", "key.pem"})
    if (name.find(word) != std::string_view::npos) return true;
  return name == "sasl.oauthbearer.config";  // may contain any claim
}

// As a TOML basic string.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char const c : text) {
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    else
      out.push_back(c);
  }
  return out + "\"";
}

const std::vector<KafkaProperty>& properties_of(const Config& config, std::string_view section) {
  return properties_of(const_cast<Config&>(config), section);
}

}  // namespace

std::vector<KafkaProperty>& properties_of(Config& config, std::string_view section) {
  if (section == "kafka.properties") return config.kafka.properties;
  if (section == "kafka.consumer") return config.kafka.consumer;
  CHECK(section == "kafka.producer");
  return config.kafka.producer;
}

void read_kafka_section(const toml::table& table, std::string_view section, Config& config,
                        const KafkaSectionReader& reader) {
  Reader(section, properties_of(config, section), reader).read_table(table, "");
}

std::string print_kafka_sections(const Config& config) {
  std::string text;
  for (const char* section : kafka_sections) {
    const std::vector<KafkaProperty>& properties = properties_of(config, section);
    if (properties.empty()) continue;
    text += fmt::format("\n[{}]\n", section);
    for (const KafkaProperty& property : properties) {
      auto const origin = config.origin.find(property.key);
      bool const in_file = !property.file.empty();
      std::string const value = in_file                    ? quoted(property.file)
                                : is_secret(property.name) ? "\"(hidden)\""
                                                           : quoted(property.value);
      text += fmt::format("\"{}{}\" = {}  # {}\n", property.name, in_file ? file_suffix : "", value,
                          origin == config.origin.end() ? "default" : origin->second);
    }
  }
  return text;
}

void add_changed_properties(const Config& running, const Config& next,
                            std::vector<std::string>& keys) {
  for (const char* section : kafka_sections) {
    using Contents = std::map<std::string, std::pair<std::string, std::string>>;
    auto const contents = [&](const Config& config) {
      Contents found;
      for (const KafkaProperty& property : properties_of(config, section))
        found[property.key] = {property.value, property.file};
      return found;
    };
    Contents const before = contents(running);
    Contents const after = contents(next);
    for (const auto& [key, content] : before) {
      auto const now = after.find(key);
      if (now == after.end() || now->second != content) keys.push_back(key);
    }
    for (const auto& [key, content] : after)
      if (!before.contains(key)) keys.push_back(key);
  }
}

}  // namespace huntd
