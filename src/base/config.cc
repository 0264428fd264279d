#include "base/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <toml++/toml.h>  // the packaged library throws; caught where it is called
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>

#include "base/ids.h"
#include "base/limits.h"

namespace huntd {
namespace {

// When a changed value takes effect: at SIGHUP, or when the process starts.
enum class When { reload, restart };
// What a text must be.
enum class Check { none, tcp, tcp_or_unix, bootstrap, topic, not_empty, isolation, auth_mode };

// One key: where its value goes and what it may be. `min` and `max` are for numbers.
struct Key {
  const char* name;
  When when;
  uint32_t* (*number)(Config&);
  uint64_t* (*large)(Config&);
  std::string* (*text)(Config&);
  uint64_t min;
  uint64_t max;
  Check check = Check::none;
  bool* (*flag)(Config&) = nullptr;
};

// clang-format off
#define NUMBER(section, member, low, high, when) \
  Key { #section "." #member, When::when, [](Config& c) { return &c.section.member; }, nullptr, nullptr, low, high }
#define LARGE(section, member, low, high, when) \
  Key { #section "." #member, When::when, nullptr, [](Config& c) { return &c.section.member; }, nullptr, low, high }
#define TEXT(section, member, check, when) \
  Key { #section "." #member, When::when, nullptr, nullptr, [](Config& c) { return &c.section.member; }, 0, 0, Check::check }
#define FLAG(section, member, when) \
  Key { #section "." #member, When::when, nullptr, nullptr, nullptr, 0, 1, Check::none, [](Config& c) { return &c.section.member; } }
// clang-format on

const Key keys_table[] = {
    TEXT(http, listen, tcp, restart),
    NUMBER(http, request_deadline_ms, 10, 60'000, restart),
    NUMBER(http, header_deadline_ms, 10, 600'000, restart),
    NUMBER(http, first_byte_deadline_ms, 10, 600'000, restart),
    NUMBER(http, idle_deadline_ms, 10, 3'600'000, restart),
    NUMBER(http, send_deadline_ms, 10, 600'000, restart),
    NUMBER(http, drain_deadline_ms, 0, 600'000, restart),
    NUMBER(http, connections_max, 1, 1'000'000, restart),
    NUMBER(http, connections_per_address_max, 0, 1'000'000, restart),
    TEXT(admin, listen, tcp, restart),
    TEXT(auth, mode, auth_mode, reload),
    FLAG(auth, allow_unauthenticated, reload),
    TEXT(auth, tokens_file, none, reload),
    TEXT(auth, hunter_keys_file, none, reload),
    NUMBER(cores, count, 0, limits::cores_max, restart),
    NUMBER(cores, priority, 0, limits::priority_max, restart),
    TEXT(hunts, dir, not_empty, reload),
    TEXT(worker, binary, none, restart),
    NUMBER(worker, deadline_ms, 1, 10'000, reload),
    LARGE(worker, memory_bytes, 1024 * 1024, 4ULL << 30, reload),
    NUMBER(worker, max_live, 1, 4096, reload),
    NUMBER(worker, queue_max, 0, 1'000'000, reload),
    NUMBER(worker, queue_deadline_ms, 1, 30'000, reload),
    NUMBER(worker, queue_target_ms, 1, 30'000, reload),
    NUMBER(worker, hunts_in_flight_max, 1, 1'000'000, reload),
    TEXT(worker, isolation, isolation, reload),
    NUMBER(worker, warm, 0, 4096, reload),
    NUMBER(worker, hunts_per_worker, 1, 1'000'000, reload),
    NUMBER(worker, idle_ms, 10, 3'600'000, reload),
    NUMBER(worker, priority, 0, limits::priority_max, restart),
    TEXT(redis, address, tcp_or_unix, restart),
    TEXT(redis, password_file, none, restart),
    NUMBER(redis, database, 0, 1'000'000, restart),
    LARGE(redis, idempotency_ttl_s, 60, 31'536'000, restart),
    NUMBER(redis, linger_us, 0, 100'000, restart),
    TEXT(kafka, bootstrap, bootstrap, restart),
    TEXT(kafka, topic, topic, restart),
    TEXT(kafka, dead_topic, topic, restart),
    NUMBER(kafka, linger_ms, 0, 1000, restart),
    NUMBER(kafka, queue_messages_max, 1, 10'000'000, restart),
    NUMBER(kafka, delivery_timeout_ms, 1000, 86'400'000, restart),
    NUMBER(kafka, sweep_after_s, 1, 86'400, restart),
    NUMBER(aggregator, interval_s, 1, 3600, restart),
    TEXT(aggregator, postgres, not_empty, restart),
    TEXT(aggregator, listen, tcp, restart),
    TEXT(aggregator, group, not_empty, restart),
    NUMBER(aggregator, retention_days, 0, 36'500, restart),
};

#undef NUMBER
#undef LARGE
#undef TEXT
#undef FLAG

// A value as TOML writes it.
std::string value_text(const Key& key, Config& config) {
  if (key.flag != nullptr) return *key.flag(config) ? "true" : "false";
  if (key.text == nullptr)
    return std::to_string(key.number != nullptr ? *key.number(config) : *key.large(config));
  std::ostringstream quoted;
  quoted << toml::value<std::string>(*key.text(config));
  return quoted.str();
}

// How many letters must be added, dropped or changed to turn one word into the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t const above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string nearest_key(std::string_view unknown) {
  unknown = unknown.substr(0, 64);  // longer than any key; bounds the work
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (const Key& key : keys_table)
    if (size_t const distance = edit_distance(unknown, key.name); distance < best_distance) {
      best_distance = distance;
      best = key.name;
    }
  return best;
}

bool is_section(std::string_view name) {
  for (const Key& key : keys_table)
    if (std::string_view(key.name).starts_with(name) && key.name[name.size()] == '.') return true;
  return false;
}

const Key* find_key(std::string_view name) {
  for (const Key& key : keys_table)
    if (name == key.name) return &key;
  return nullptr;
}

// Gathers what is wrong, a line each.
struct Problems {
  std::string file;
  std::string text;
  void add(std::string_view where, std::string_view what) {
    if (!text.empty()) text.push_back('\n');
    text.append(where).append(": ").append(what);
  }
  std::string at(const toml::node& node) const {
    return fmt::format("{}:{}", file, node.source().begin.line);
  }
};

// What is wrong with a text; nothing where it is fine.
std::optional<std::string> text_fault(Check check, const std::string& text) {
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return "must hold no line break and no other control character";
  switch (check) {
    case Check::none:
      return std::nullopt;
    case Check::not_empty:
      if (text.empty()) return "must not be empty";
      return std::nullopt;
    case Check::tcp:
    case Check::tcp_or_unix: {
      Result<Address> const address = parse_address(text);
      if (!address) return address.error().message;
      if (address->unix_socket && check == Check::tcp)
        return "must be ADDRESS:PORT, not a unix socket";
      return std::nullopt;
    }
    case Check::bootstrap:
      for (size_t begin = 0; !text.empty() && begin <= text.size();) {
        size_t const comma = std::min(text.find(',', begin), text.size());
        Result<Address> const address = parse_address(text.substr(begin, comma - begin));
        if (!address)
          return "must be HOST:PORT, or several with commas between: " + address.error().message;
        if (address->unix_socket) return "must be HOST:PORT, not a unix socket";
        begin = comma + 1;
      }
      return std::nullopt;
    case Check::topic: {
      bool fine =
          !text.empty() && text.size() <= limits::topic_bytes_max && text != "." && text != "..";
      for (char c : text) fine = fine && is_id_char(c);
      if (!fine)
        return fmt::format("must be 1 to {} of A-Z a-z 0-9 _ . -", limits::topic_bytes_max);
      return std::nullopt;
    }
    case Check::isolation:
      if (text != "process" && text != "fork" && text != "batch")
        return "must be \"process\", \"fork\" or \"batch\"";
      return std::nullopt;
    case Check::auth_mode:
      if (text != "none" && text != "bearer" && text != "hunter")
        return "must be \"none\", \"bearer\" or \"hunter\"";
      return std::nullopt;
  }
  CHECK(false);
  return std::nullopt;
}

void read_value(const Key& key, const toml::node& node, Config& config, Problems& problems) {
  std::string const where = fmt::format("{}: {}", problems.at(node), key.name);
  config.origin[key.name] = problems.at(node);
  if (key.text != nullptr) {
    std::optional<std::string> const value = node.value_exact<std::string>();
    if (!value) return problems.add(where, "must be text in quotes");
    if (std::optional<std::string> const fault = text_fault(key.check, *value))
      return problems.add(where, *fault);
    *key.text(config) = *value;
    return;
  }
  if (key.flag != nullptr) {
    std::optional<bool> const value = node.value_exact<bool>();
    if (!value) return problems.add(where, "must be true or false, without quotes");
    *key.flag(config) = *value;
    return;
  }
  std::optional<int64_t> const value = node.value_exact<int64_t>();
  if (!value) return problems.add(where, "must be a whole number without quotes");
  if (*value < 0 || static_cast<uint64_t>(*value) < key.min ||
      static_cast<uint64_t>(*value) > key.max)
    return problems.add(where,
                        fmt::format("must be from {} to {}, not {}", key.min, key.max, *value));
  if (key.number != nullptr)
    *key.number(config) = static_cast<uint32_t>(*value);
  else
    *key.large(config) = static_cast<uint64_t>(*value);
}

// Whether only this machine can reach an address to listen on.
bool is_loopback(const std::string& listen) {
  Result<Address> const address = parse_address(listen);
  if (!address) return false;
  in_addr v4{};
  if (inet_pton(AF_INET, address->host.c_str(), &v4) == 1)
    return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
  // Any other name may mean anything.
  return address->host == "localhost" || address->host == "::1";
}

// What no single key can tell.
void check_together(Config& config, Problems& problems) {
  auto const where = [&](const char* name) {
    auto const found = config.origin.find(name);
    return fmt::format("{}: {}", found == config.origin.end() ? problems.file : found->second,
                       name);
  };
  if (config.worker.queue_deadline_ms + config.worker.deadline_ms >=
      config.http.request_deadline_ms)
    problems.add(where("http.request_deadline_ms"),
                 fmt::format("must be more than worker.queue_deadline_ms + worker.deadline_ms ({})",
                             config.worker.queue_deadline_ms + config.worker.deadline_ms));
  if (config.auth.mode == "none" && !config.auth.allow_unauthenticated &&
      !is_loopback(config.http.listen))
    problems.add(
        where("http.listen"),
        "others can reach this address, and anybody could act for every hunter: set auth.mode to "
        "\"bearer\" or \"hunter\", or auth.allow_unauthenticated = true where a proxy lets "
        "in only who may");
  if (config.auth.mode == "none" &&
      !(config.auth.tokens_file.empty() && config.auth.hunter_keys_file.empty()))
    problems.add(where("auth.mode"),
                 "is \"none\", so the file of secrets would protect nothing: set auth.mode");
  if (config.auth.mode == "bearer" && config.auth.tokens_file.empty())
    problems.add(where("auth.mode"), "\"bearer\" needs auth.tokens_file");
  if (config.auth.mode == "hunter" && config.auth.hunter_keys_file.empty())
    problems.add(where("auth.mode"), "\"hunter\" needs auth.hunter_keys_file");
  if (config.kafka.topic == config.kafka.dead_topic)
    problems.add(where("kafka.dead_topic"),
                 "must differ from kafka.topic: what is no event would be read again for ever");
  if (config.http.listen == config.admin.listen && !config.http.listen.ends_with(":0"))
    problems.add(where("admin.listen"),
                 "must differ from http.listen: the public port serves nothing of the admin port");
}

}  // namespace

Result<Config> parse_config(const std::string& text, const std::string& name) {
  Problems problems{name, ""};
  toml::table parsed;
  try {
    parsed = toml::parse(text, name);
  } catch (const toml::parse_error& error) {
    return Error{
        fmt::format("{}:{}: not TOML: {}", name, error.source().begin.line, error.description())};
  }
  Config config;
  for (auto&& [section_name, section] : parsed) {
    const toml::table* table = section.as_table();
    if (table == nullptr) {
      problems.add(
          fmt::format("{}: {}", problems.at(section), section_name.str()),
          fmt::format("is not a section; did you mean {}?", nearest_key(section_name.str())));
      continue;
    }
    if (table->empty() && !is_section(section_name.str()))
      problems.add(
          fmt::format("{}: {}", problems.at(section), section_name.str()),
          fmt::format("unknown section; did you mean {}?", nearest_key(section_name.str())));
    for (auto&& [key_name, node] : *table) {
      std::string const full = fmt::format("{}.{}", section_name.str(), key_name.str());
      if (const Key* key = find_key(full))
        read_value(*key, node, config, problems);
      else
        problems.add(fmt::format("{}: {}", problems.at(node), full),
                     fmt::format("unknown key; did you mean {}?", nearest_key(full)));
    }
  }
  if (problems.text.empty()) check_together(config, problems);
  if (!problems.text.empty()) return Error{problems.text};
  return config;
}

Result<Config> load_config(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  std::string text(limits::config_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad())  // a directory opens, but does not read
    return Error{fmt::format("{}: can't be read ({}); name the config file with -c FILE", path,
                             std::strerror(errno))};
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > limits::config_bytes_max)
    return Error{fmt::format("{}: is larger than {} bytes; name the config file with -c FILE", path,
                             limits::config_bytes_max)};
  return parse_config(text, path);
}

std::string print_config(const Config& config) {
  Config copy = config;
  std::string text;
  std::string section;
  for (const Key& key : keys_table) {
    std::string_view const name = key.name;
    std::string const its_section(name.substr(0, name.find('.')));
    if (its_section != section) {
      text += fmt::format("{}[{}]\n", section.empty() ? "" : "\n", its_section);
      section = its_section;
    }
    auto const origin = config.origin.find(key.name);
    text += fmt::format("{} = {}  # {}\n", name.substr(name.find('.') + 1), value_text(key, copy),
                        origin == config.origin.end() ? "default" : origin->second);
  }
  return text;
}

std::vector<ConfigKey> config_keys() {
  Config defaults;
  std::vector<ConfigKey> keys;
  for (const Key& key : keys_table)
    keys.push_back({key.name, key.text != nullptr, key.flag != nullptr, value_text(key, defaults),
                    key.min, key.max, key.when == When::reload});
  return keys;
}

std::vector<std::string> keys_that_wait_for_restart(const Config& running, const Config& next) {
  Config before = running;
  Config after = next;
  std::vector<std::string> names;
  for (const Key& key : keys_table)
    if (key.when == When::restart && value_text(key, before) != value_text(key, after))
      names.emplace_back(key.name);
  return names;
}

Result<Address> parse_address(const std::string& text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.unix_socket = true;
    address.host = text.substr(5);
    if (address.host.empty() || address.host.size() > 107)
      return Error{"unix: needs a path of 1 to 107 bytes"};
    return address;
  }
  size_t const colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0)
    return Error{fmt::format("must be ADDRESS:PORT, not \"{}\"", text)};
  address.host = text.substr(0, colon);
  if (address.host.front() == '[') {
    if (address.host.back() != ']' || address.host.size() < 3)
      return Error{fmt::format("an IPv6 address stands in brackets, not \"{}\"", text)};
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    return Error{fmt::format("an IPv6 address stands in brackets, not \"{}\"", text)};
  }
  const char* const first = text.data() + colon + 1;
  const char* const last = text.data() + text.size();
  unsigned port = 0;
  auto const [end, error] = std::from_chars(first, last, port);
  if (error != std::errc() || end != last || port > 65535)
    return Error{
        fmt::format("the port must be from 0 to 65535, not \"{}\"", std::string(first, last))};
  address.port = static_cast<uint16_t>(port);
  return address;
}

}  // namespace huntd
