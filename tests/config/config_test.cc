// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>

namespace huntd {
namespace {

// The repository's root, given by meson.
std::string from_root(const std::string& path) {
  const char* root = std::getenv("HUNTD_SOURCE_ROOT");
  REQUIRE(root != nullptr);
  return std::string(root) + "/" + path;
}

std::string error_of(const std::string& text) {
  Result<Config> const config = parse_config(text, "h.toml");
  REQUIRE_FALSE(config);
  return config.error().message;
}

// What a row of docs/configuration.md says of a key.
struct Row {
  std::string default_text;
  std::string range;
  std::string when;
};

std::map<std::string, Row> rows_of_docs() {
  std::ifstream file(from_root("docs/configuration.md"));
  REQUIRE(file.is_open());
  std::map<std::string, Row> rows;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `")) continue;
    std::vector<std::string> cells;
    std::istringstream text(line.substr(2));
    for (std::string cell; std::getline(text, cell, '|');) {
      size_t const first = cell.find_first_not_of(' ');
      if (first == std::string::npos) continue;
      cells.push_back(cell.substr(first, cell.find_last_not_of(' ') - first + 1));
    }
    REQUIRE(cells.size() == 5);
    auto const bare = [](const std::string& quoted) { return quoted.substr(1, quoted.size() - 2); };
    CHECK(rows.emplace(bare(cells[0]), Row{bare(cells[1]), cells[2], cells[3]}).second);
  }
  return rows;
}

TEST_CASE("docs/configuration.md matches the table of keys") {
  std::map<std::string, Row> rows = rows_of_docs();
  std::set<std::string> known;
  for (const ConfigKey& key : config_keys()) {
    CAPTURE(key.name);
    known.insert(key.name);
    REQUIRE(rows.contains(key.name));
    const Row& row = rows[key.name];
    // Texts stand in double quotes in the docs; toml++ may write them in single ones.
    std::string const value =
        key.is_text ? "\"" + key.default_text.substr(1, key.default_text.size() - 2) + "\""
                    : key.default_text;
    CHECK(row.default_text == value);
    CHECK(row.when == (key.at_reload ? "at reload" : "at restart"));
    if (key.is_flag) CHECK(row.range == "true or false");
    if (!key.is_text && !key.is_flag) CHECK(row.range == fmt::format("{} to {}", key.min, key.max));
  }
  for (const auto& row : rows) CHECK_MESSAGE(known.contains(row.first), row.first);
}

TEST_CASE("an empty file gives the defaults, and the defaults are valid") {
  Result<Config> const config = parse_config("", "h.toml");
  REQUIRE(config);
  CHECK(config->http.listen == "127.0.0.1:8080");
  CHECK(config->worker.deadline_ms == 50);
  CHECK(config->origin.empty());
}

TEST_CASE("the installed example is valid") {
  Result<Config> const config = load_config(from_root("systemd/huntd.toml"));
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->hunts.dir == "/etc/huntd/hunts");
  CHECK(config->origin.at("hunts.dir").ends_with("systemd/huntd.toml:22"));
}

TEST_CASE("every key accepts both ends of its range and nothing beyond") {
  for (const ConfigKey& key : config_keys()) {
    if (key.is_text || key.is_flag) continue;
    CAPTURE(key.name);
    size_t const dot = key.name.find('.');
    auto const parse = [&](const std::string& value) {
      std::string others;  // so that the check of deadlines against each other holds at both ends
      if (key.name == "http.request_deadline_ms")
        others = "[worker]\ndeadline_ms = 1\nqueue_deadline_ms = 1\n";
      if (key.name.starts_with("worker.")) others = "[http]\nrequest_deadline_ms = 60000\n";
      return parse_config(fmt::format("{}[{}]\n{} = {}\n", others, key.name.substr(0, dot),
                                      key.name.substr(dot + 1), value),
                          "h.toml");
    };
    CHECK(parse(std::to_string(key.min)));
    CHECK(parse(std::to_string(key.max)));
    CHECK_FALSE(parse(std::to_string(key.max + 1)));
    CHECK_FALSE(parse("-1"));
    if (key.min > 0) CHECK_FALSE(parse(std::to_string(key.min - 1)));
  }
}

TEST_CASE("an error names file, line, key and what to do") {
  struct Case {
    const char* text;
    const char* error;
  };
  Case const cases[] = {
      {"[http]\n\nlisten_on = \"x\"",
       "h.toml:3: http.listen_on: unknown key; did you mean http.listen?"},
      {"[workr]\ndeadline_ms = 5",
       "h.toml:2: workr.deadline_ms: unknown key; did you mean worker.deadline_ms?"},
      {"[kafak]", "h.toml:1: kafak: unknown section; did you mean kafka.topic?"},
      {"[http.listen]", "h.toml:1: http.listen: must be text in quotes"},
      {"http = 1", "h.toml:1: http: is not a section; did you mean http.listen?"},
      {"[http]\nlisten = 8080", "h.toml:2: http.listen: must be text in quotes"},
      {"[worker]\ndeadline_ms = \"50\"",
       "h.toml:2: worker.deadline_ms: must be a whole number without quotes"},
      {"[worker]\ndeadline_ms = 1.5",
       "h.toml:2: worker.deadline_ms: must be a whole number without quotes"},
      {"[worker]\ndeadline_ms = true",
       "h.toml:2: worker.deadline_ms: must be a whole number without quotes"},
      {"[worker]\ndeadline_ms = 0", "h.toml:2: worker.deadline_ms: must be from 1 to 10000, not 0"},
      {"[worker]\ndeadline_ms = -3",
       "h.toml:2: worker.deadline_ms: must be from 1 to 10000, not -3"},
      {"[http]\nlisten = \"8080\"", "h.toml:2: http.listen: must be ADDRESS:PORT, not \"8080\""},
      {"[http]\nlisten = \"unix:/x\"",
       "h.toml:2: http.listen: must be ADDRESS:PORT, not a unix socket"},
      {"[http]\nlisten = \"::1:80\"",
       "h.toml:2: http.listen: an IPv6 address must be in brackets, not \"::1:80\""},
      {"[http]\nlisten = \"a:65536\"",
       "h.toml:2: http.listen: the port must be from 0 to 65535, not \"65536\""},
      {"[redis]\naddress = \"unix:\"",
       "h.toml:2: redis.address: unix: needs a path of 1 to 107 bytes"},
      {"[kafka]\ntopic = \"a b\"", "h.toml:2: kafka.topic: must be 1 to 249 of A-Z a-z 0-9 _ . -"},
      {"[kafka]\ntopic = \"\"", "h.toml:2: kafka.topic: must be 1 to 249 of A-Z a-z 0-9 _ . -"},
      {"[kafka]\nbootstrap = \"a:1,b\"",
       "h.toml:2: kafka.bootstrap: must be HOST:PORT, or several separated by commas: must be "
       "ADDRESS:PORT, not \"b\""},
      {"[kafka]\nbootstrap = \"a:1,\"",
       "h.toml:2: kafka.bootstrap: must be HOST:PORT, or several separated by commas: must be "
       "ADDRESS:PORT, not \"\""},
      {"[aggregator]\ngroup = \"a\\nb\"",
       "h.toml:2: aggregator.group: must not contain line breaks or other control characters"},
      {"[hunts]\ndir = \"\"", "h.toml:2: hunts.dir: must not be empty"},
      {"[http]\nrequest_deadline_ms = 150",
       "h.toml:2: http.request_deadline_ms: must be more than worker.queue_deadline_ms + "
       "worker.deadline_ms (150)"},
      {"[worker]\ndeadline_ms = 1900",
       "h.toml: http.request_deadline_ms: must be more than worker.queue_deadline_ms + "
       "worker.deadline_ms (2000)"},
      {"[admin]\nlisten = \"127.0.0.1:8080\"",
       "h.toml:2: admin.listen: must differ from http.listen: the public port does not have "
       "the admin paths"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(error_of(c.text) == c.error);
  }
  CHECK(error_of("[http]\nlisten = ").starts_with("h.toml:2: not TOML: "));
  CHECK(error_of("[http]\nlisten = \"a:1\"\nlisten = \"a:2\"").starts_with("h.toml:3: not TOML: "));
}

TEST_CASE("all errors of a file are reported together") {
  CHECK(error_of("[http]\nx = 1\nlisten = 2\n[cores]\ncount = 65\n") ==
        "h.toml:5: cores.count: must be from 0 to 64, not 65\n"
        "h.toml:3: http.listen: must be text in quotes\n"
        "h.toml:2: http.x: unknown key; did you mean http.listen?");
}

TEST_CASE("print_config prints the same config, each value with its origin") {
  Result<Config> const config = parse_config(
      "[http]\nlisten = \"[::1]:80\"\n[worker]\nmemory_bytes = 2000000\n[aggregator]\n"
      "postgres = 'host=\"a b\" \\ c'\n[kafka]\nbootstrap = \"a:1,[::2]:3\"\n",
      "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  std::string const printed = print_config(*config);
  CHECK(printed.find("memory_bytes = 2000000  # h.toml:4\n") != std::string::npos);
  CHECK(printed.find("deadline_ms = 50  # default\n") != std::string::npos);
  Result<Config> const again = parse_config(printed, "p.toml");
  REQUIRE_MESSAGE(again, (again ? "" : again.error().message));
  CHECK(again->http.listen == "[::1]:80");
  CHECK(again->worker.memory_bytes == 2'000'000);
  CHECK(again->aggregator.postgres == "host=\"a b\" \\ c");
  CHECK(again->kafka.bootstrap == "a:1,[::2]:3");
  CHECK(again->origin.size() == config_keys().size());
}

TEST_CASE("a reload lists the changed keys that need a restart") {
  Result<Config> const running = parse_config("[worker]\ndeadline_ms = 40", "h.toml");
  Result<Config> const next =
      parse_config("[http]\nlisten = \"127.0.0.1:1\"\n[kafka]\nlinger_ms = 6", "h.toml");
  REQUIRE(running);
  REQUIRE(next);
  CHECK(keys_that_wait_for_restart(*running, *next) ==
        std::vector<std::string>{"http.listen", "kafka.linger_ms"});
  CHECK(keys_that_wait_for_restart(*running, *running).empty());
}

TEST_CASE("an unreadable file is an error with the reason") {
  Result<Config> const missing = load_config("/nonexistent/h.toml");
  REQUIRE_FALSE(missing);
  CHECK(
      missing.error().message ==
      "/nonexistent/h.toml: cannot be read (No such file or directory); name the config file with "
      "-c FILE");
  Result<Config> const directory = load_config("/tmp");
  REQUIRE_FALSE(directory);
  CHECK(directory.error().message ==
        "/tmp: cannot be read (Is a directory); name the config file with -c FILE");
}

TEST_CASE("a file of more than 1 MiB is rejected") {
  std::string const path =
      (std::filesystem::temp_directory_path() / fmt::format("huntd-config-{}", getpid())).string();
  {
    std::ofstream file(path);
    file << std::string((1 << 20) + 1, '#');
  }
  Result<Config> const config = load_config(path);
  std::filesystem::remove(path);
  REQUIRE_FALSE(config);
  CHECK(config.error().message ==
        path + ": is larger than 1048576 bytes; name the config file with -c FILE");
}

TEST_CASE("an address is a name or number and a port, or a unix socket") {
  struct Case {
    const char* text;
    const char* host;
    uint16_t port;
    bool unix_socket;
  };
  Case const good[] = {{"127.0.0.1:80", "127.0.0.1", 80, false},
                       {"[::1]:0", "::1", 0, false},
                       {"localhost:65535", "localhost", 65535, false},
                       {"unix:/run/r.sock", "/run/r.sock", 0, true}};
  for (const Case& c : good) {
    CAPTURE(c.text);
    Result<Address> const address = parse_address(c.text);
    REQUIRE(address);
    CHECK(address->host == c.host);
    CHECK(address->port == c.port);
    CHECK(address->unix_socket == c.unix_socket);
  }
  for (const char* bad : {"", ":", ":80", "a", "a:", "a:x", "a:-1", "a:1x", "a: 1", "[::1:80",
                          "[]:80", "a:b:1", "unix:"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_address(bad));
  }
}

TEST_CASE("a public address needs auth or allow_unauthenticated") {
  for (const char* open :
       {"0.0.0.0:80", "[::]:80", "10.1.2.3:80", "hunts.example:80", "127.example.org:80"}) {
    std::string const http = fmt::format("[http]\nlisten = \"{}\"\n", open);
    CHECK(error_of(http).find("h.toml:2: http.listen: is not a loopback address") == 0);
    CHECK(parse_config(http + "[auth]\nallow_unauthenticated = true\n", "h.toml"));
    CHECK(parse_config(http + "[auth]\nmode = \"bearer\"\ntokens_file = \"/t\"\n", "h.toml"));
  }
  for (const char* closed : {"127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80"})
    CHECK(parse_config(fmt::format("[http]\nlisten = \"{}\"\n", closed), "h.toml"));
}

TEST_CASE("an auth mode needs its secrets file, and a flag is true or false") {
  CHECK(error_of("[auth]\nmode = \"bearer\"\n").find("needs auth.tokens_file") !=
        std::string::npos);
  CHECK(error_of("[auth]\nmode = \"hunter\"\n").find("needs auth.hunter_keys_file") !=
        std::string::npos);
  CHECK(error_of("[auth]\ntokens_file = \"/t\"\n").find("has no effect") != std::string::npos);
  CHECK(error_of("[auth]\nmode = \"basic\"\n").find("must be \"none\"") != std::string::npos);
  CHECK(error_of("[auth]\nallow_unauthenticated = \"true\"\n").find("must be true or false") !=
        std::string::npos);
  CHECK(error_of("[auth]\nallow_unauthenticated = 1\n").find("must be true or false") !=
        std::string::npos);
}

}  // namespace
}  // namespace huntd
