// SPDX-License-Identifier: Apache-2.0
#include "settings/hunt_settings.h"

#include <fmt/format.h>

#include <toml++/toml.h>  // the packaged library throws; parse_hunt_settings() catches it
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "base/nearest.h"
#include "base/utc_time.h"
#include "wire/message_codec.h"
#include "wire/value.h"
#include "zones/zone.h"

namespace huntd {
namespace {

// A whole number among the keys of the file.
struct NumberKey {
  std::string_view name;
  uint64_t min;
  uint64_t max;
  uint32_t RunRules::*number;
  uint64_t RunRules::*large = nullptr;
};
constexpr uint64_t runs_max = 1'000'000;
constexpr std::array<NumberKey, 5> number_keys = {{
    {"per_hour", 1, runs_max, &RunRules::per_hour},
    {"per_day", 1, runs_max, &RunRules::per_day},
    {"in_flight_max", 1, runs_max, &RunRules::in_flight_max},
    {"deadline_ms", 1, 10'000, &RunRules::deadline_ms},
    {"memory_bytes", 1024 * 1024, 4ULL << 30, nullptr, &RunRules::memory_bytes},
}};
constexpr std::array<std::string_view, 12> keys = {
    "config",  "deadline_ms", "enabled", "ends",   "in_flight_max", "memory_bytes",
    "per_day", "per_hour",    "percent", "starts", "testers",       "zone"};

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
  void read_zone_of(const toml::node& node);
  void read_key(const std::string& key, const toml::node& node);
  void read_number(const NumberKey& key, const toml::node& node);
  void read_percent(const toml::node& node);
  void read_testers(const toml::node& node);
  void read_time(std::string_view key, const toml::node& node, int64_t& into);
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
  ZoneChanges zone_;  // empty: none is named
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
    return mistake(node, fmt::format("{} is nested more than {} deep", key, limits::json_depth_max),
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

void Reader::read_zone_of(const toml::node& node) {
  const auto* const name = node.as_string();
  if (name == nullptr)
    return mistake(node, "zone is not a text", "write it as in zone = \"Europe/Berlin\"");
  Result<ZoneChanges> zone = read_zone(name->get());
  if (!zone) {
    std::string const& error = zone.error().message;
    size_t const end = std::min(error.find("; "), error.size());
    return mistake(node, error.substr(0, end), error.substr(std::min(end + 2, error.size())));
  }
  zone_ = std::move(*zone);
  settings_.zone = name->get();
}

void Reader::read_number(const NumberKey& key, const toml::node& node) {
  const auto* const number = node.as_integer();
  if (number == nullptr || number->get() < static_cast<int64_t>(key.min) ||
      number->get() > static_cast<int64_t>(key.max))
    return mistake(node,
                   fmt::format("{} is a whole number from {} to {}", key.name, key.min, key.max),
                   "leave the line out to have no limit but those of the host");
  if (key.large != nullptr)
    settings_.rules.*key.large = static_cast<uint64_t>(number->get());
  else
    settings_.rules.*key.number = static_cast<uint32_t>(number->get());
}

void Reader::read_percent(const toml::node& node) {
  std::optional<double> const percent = node.value<double>();
  if (!percent || node.is_string() || !(*percent >= 0 && *percent <= 100))
    return mistake(node, "percent is a number from 0 to 100", "write it as in percent = 12.5");
  settings_.rules.share = static_cast<uint32_t>(std::lround(*percent * 100));
}

void Reader::read_testers(const toml::node& node) {
  std::vector<std::string>& testers = settings_.rules.testers;
  const toml::array* const names = node.as_array();
  if (names == nullptr || names->size() > limits::testers_max)
    return mistake(node,
                   fmt::format("testers is a list of at most {} hunter_ids", limits::testers_max),
                   "write it as in testers = [\"ann\", \"ben\"]");
  for (const toml::node& name : *names) {
    if (const auto* const text = name.as_string(); text != nullptr && is_path_id(text->get()))
      testers.push_back(text->get());
    else
      mistake(name, "a tester is a hunter_id in quotes", "it has 1 to 64 of A-Z a-z 0-9 _ . -");
  }
  std::ranges::sort(testers);
  testers.erase(std::unique(testers.begin(), testers.end()), testers.end());
}

// A time with an offset, or one without by the clocks of `zone`.
void Reader::read_time(std::string_view key, const toml::node& node, int64_t& into) {
  std::string text;
  if (const auto* const written = node.as_string(); written != nullptr) text = written->get();
  if (const auto* const day = node.as_date(); day != nullptr)
    text = text_of(day->get()) + "T00:00:00";
  if (const auto* const at = node.as_date_time(); at != nullptr) {
    if (at->get().offset) {
      into = ms_of(at->get());
      return;
    }
    text = text_of(at->get().date) + "T" + text_of(at->get().time);
  }
  std::optional<int64_t> const with_offset = read_utc_ms(text);
  std::optional<int64_t> const local = read_utc_ms(text + "Z");
  if (with_offset)
    into = *with_offset;
  else if (local && !zone_.empty())
    into = utc_of_local(zone_, *local / 1000) * 1000;
  else if (local)
    mistake(node, fmt::format("{} does not say in which time zone", key),
            fmt::format("write {} = {}+01:00, or name the zone, as in zone = \"Europe/Berlin\"",
                        key, text));
  else
    mistake(node, fmt::format("{} is not a time", key),
            fmt::format("write it as in {} = 2026-12-01T08:00:00+01:00", key));
}

void Reader::read_key(const std::string& key, const toml::node& node) {
  RunRules& rules = settings_.rules;
  if (key == "config" || key == "zone") return;  // read before
  if (key == "starts") return read_time(key, node, rules.starts_ms);
  if (key == "ends") return read_time(key, node, rules.ends_ms);
  if (key == "testers") return read_testers(node);
  if (key == "percent") return read_percent(node);
  for (const NumberKey& number : number_keys)
    if (key == number.name) return read_number(number, node);
  if (key == "enabled") {
    if (!node.is_boolean())
      return mistake(node, "enabled is true or false", "write one of the two");
    rules.enabled = node.as_boolean()->get();
    return;
  }
  std::string_view const near = nearest_name(key, keys);
  mistake(node, fmt::format("{} is not a key of this file", key),
          near.empty() ? "what the script reads is in [config]"
                       : fmt::format("did you mean {}?", near));
}

ReadSettings Reader::read(const toml::table& table) {
  if (const toml::node* const zone = table.get("zone"); zone != nullptr) read_zone_of(*zone);
  for (auto&& [name, node] : table) read_key(std::string(name.str()), node);
  if (settings_.rules.starts_ms >= settings_.rules.ends_ms)
    mistake(*table.get("ends"), "ends is not after starts", "set it to a later time");
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
            {{error.source().begin.line, fmt::format("this is not TOML: {}", error.description()),
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
