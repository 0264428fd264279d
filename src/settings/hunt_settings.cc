// SPDX-License-Identifier: Apache-2.0
#include "settings/hunt_settings.h"

#include <fmt/format.h>

#include <toml++/toml.h>  // the packaged library throws; parse_hunt_settings() catches it
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include "base/limits.h"
#include "base/nearest.h"
#include "base/utc_time.h"
#include "wire/message_codec.h"
#include "wire/value.h"

namespace huntd {
namespace {

constexpr std::array<std::string_view, 1> keys = {"config"};

// Lua's numbers are doubles: a larger whole number would lose digits.
constexpr int64_t exact_integer_max = int64_t{1} << 53;

std::string text_of(const toml::date& date) {
  return fmt::format("{:04}-{:02}-{:02}", date.year, date.month, date.day);
}
std::string text_of(const toml::time& time) {
  return fmt::format("{:02}:{:02}:{:02}", time.hour, time.minute, time.second);
}

// Milliseconds since 1970 of a date and time that has an offset.
int64_t ms_of(const toml::date_time& at) {
  int64_t const utc_ms = *read_utc_ms(text_of(at.date) + "T" + text_of(at.time) + "Z");
  return utc_ms - int64_t{at.offset->minutes} * 60'000 + at.time.nanosecond / 1'000'000;
}

// Reads the parsed file, and collects what is wrong with it.
class Reader {
 public:
  ReadSettings read(const toml::table& table);

 private:
  void mistake(const toml::node& at, std::string what, std::string_view help) {
    mistakes_.push_back({at.source().begin.line, std::move(what), std::string(help)});
  }
  void put(const toml::node& node, const std::string& key, size_t depth);
  void put_number(double number) {
    out_.number(static_cast<uint8_t>(VALUE_NUMBER));
    out_.number(number);
  }
  void put_text(std::string_view text) {
    out_.number(static_cast<uint8_t>(VALUE_TEXT));
    out_.text(text);
  }
  void put_integer(const toml::node& node, const std::string& key, int64_t number);
  void put_date_time(const toml::date_time& at);

  std::vector<SettingsMistake> mistakes_;
  HuntSettings settings_;
  WireWriter<std::string> out_{settings_.config};
};

void Reader::put_integer(const toml::node& node, const std::string& key, int64_t number) {
  if (number < -exact_integer_max || number > exact_integer_max)
    mistake(node,
            fmt::format("{} is beyond 9007199254740992, up to which a number in Lua is exact", key),
            "write it as a text in quotes");
  put_number(static_cast<double>(number));
}

// With an offset it is a point in time, as hunt.now; without one it is a text.
void Reader::put_date_time(const toml::date_time& at) {
  if (at.offset) return put_number(static_cast<double>(ms_of(at)));
  put_text(text_of(at.date) + "T" + text_of(at.time));
}

// Appends a value that is in `depth` arrays or tables. `key` names it in an error.
void Reader::put(const toml::node& node, const std::string& key, size_t depth) {
  if (depth >= limits::json_depth_max)
    return mistake(node,
                   fmt::format("{} is nested more than {} deep", key, limits::json_depth_max),
                   "put it into fewer tables");
  if (const toml::table* const table = node.as_table(); table != nullptr) {
    out_.number(static_cast<uint8_t>(VALUE_OBJECT));
    out_.number(static_cast<uint32_t>(table->size()));
    for (auto&& [name, value] : *table) {
      out_.text(name.str());
      put(value, fmt::format("{}.{}", key, name.str()), depth + 1);
    }
  } else if (const toml::array* const array = node.as_array(); array != nullptr) {
    out_.number(static_cast<uint8_t>(VALUE_ARRAY));
    out_.number(static_cast<uint32_t>(array->size()));
    size_t number = 0;
    for (const toml::node& value : *array)
      put(value, fmt::format("{}[{}]", key, ++number), depth + 1);
  } else if (const auto* const text = node.as_string(); text != nullptr) {
    put_text(text->get());
  } else if (const auto* const integer = node.as_integer(); integer != nullptr) {
    put_integer(node, key, integer->get());
  } else if (const auto* const number = node.as_floating_point(); number != nullptr) {
    if (!std::isfinite(number->get()))
      mistake(node, fmt::format("{} is inf or nan, which a hunt cannot use", key),
              "write a number");
    put_number(number->get());
  } else if (const auto* const flag = node.as_boolean(); flag != nullptr) {
    out_.number(static_cast<uint8_t>(flag->get() ? VALUE_TRUE : VALUE_FALSE));
  } else if (const auto* const date = node.as_date(); date != nullptr) {
    put_text(text_of(date->get()));
  } else if (const auto* const time = node.as_time(); time != nullptr) {
    put_text(text_of(time->get()));
  } else if (const auto* const at = node.as_date_time(); at != nullptr) {
    put_date_time(at->get());
  }
}

ReadSettings Reader::read(const toml::table& table) {
  for (auto&& [name, node] : table) {
    std::string const key(name.str());
    if (key == "config") continue;
    std::string_view const near = nearest_name(key, keys);
    mistake(node, fmt::format("{} is not a key of this file", key),
            near.empty() ? "what the script reads is in [config]"
                         : fmt::format("did you mean {}?", near));
  }
  static const toml::table empty;
  const toml::node* config = table.get("config");
  if (config == nullptr) config = &empty;
  if (config->is_table())
    put(*config, "config", 0);
  else
    mistake(*config, "config is not a table", "write [config] in a line of its own");
  if (settings_.config.size() > limits::hunt_config_bytes_max)
    mistake(*config,
            fmt::format("[config] has {} bytes when it is compiled, more than {}",
                        settings_.config.size(), limits::hunt_config_bytes_max),
            "make its lists shorter, or two hunts of it");
  std::ranges::stable_sort(mistakes_, {}, &SettingsMistake::line);
  std::vector<std::string> names;
  if (config->is_table())
    for (auto&& [name, node] : *config->as_table()) names.emplace_back(name.str());
  return {std::move(settings_), std::move(mistakes_), std::move(names)};
}

}  // namespace

ReadSettings read_hunt_settings(std::string_view text) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    return {{},
            {{error.source().begin.line,
              fmt::format("this is not TOML: {}", error.description()),
              "write NAME = VALUE in each line, and texts in quotes"}},
            {}};
  }
  return Reader().read(table);
}

Result<HuntSettings> parse_hunt_settings(std::string_view text, const std::string& file) {
  ReadSettings read = read_hunt_settings(text);
  if (read.mistakes.empty()) return std::move(read.settings);
  std::string lines;
  for (const SettingsMistake& mistake : read.mistakes)
    lines += fmt::format("{}{}:{}: {}; {}", lines.empty() ? "" : "\n", file, mistake.line,
                         mistake.what, mistake.help);
  return Error{lines};
}

}  // namespace huntd
