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
    if (cells.size() != 5) continue;  // another table
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
    bool const in_quotes = key.is_text && !key.default_text.starts_with('[');
    std::string const value =
        in_quotes ? "\"" + key.default_text.substr(1, key.default_text.size() - 2) + "\""
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
  CHECK(config->http.listen == std::vector<std::string>{"127.0.0.1:8080"});
  CHECK(config->worker.deadline_ms == 50);
  CHECK(config->origin.empty());
}

TEST_CASE("http.access_log is off, or one of three kinds of lines") {
  CHECK(parse_config("", "h.toml")->http.access_log == "off");
  for (std::string mode : {"off", "errors", "sampled", "all"}) {
    Result<Config> const config = parse_config("[http]\naccess_log = \"" + mode + "\"", "h.toml");
    REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
    CHECK(config->http.access_log == mode);
    CHECK(config->http.access_log_sample == 100);
  }
}

TEST_CASE("http.cors_origins has origins as browsers write them") {
  auto const parse = [](const std::string& value) {
    return parse_config("[http]\ncors_origins = " + value, "h.toml");
  };
  CHECK(parse("[]")->http.cors_origins.empty());
  for (std::string const origin : {"*", "https://game.example", "http://localhost:3000",
                                   "https://[2001:db8::1]:8443", "capacitor://localhost"}) {
    CAPTURE(origin);
    Result<Config> const config = parse("\"" + origin + "\"");
    REQUIRE(config);
    CHECK(config->http.cors_origins == std::vector<std::string>{origin});
  }
  for (std::string const wrong : {"", "null", "game.example", "https://", "https://Game.example",
                                  "https://game.example/", "https://a b", "://game.example",
                                  "https://*.game.example", "https://game.example, https://b"}) {
    CAPTURE(wrong);
    CHECK_FALSE(parse("\"" + wrong + "\""));
  }
  CHECK_FALSE(parse("\"https://" + std::string(250, 'a') + "\""));
}

TEST_CASE("http.trusted_proxies has networks, addresses and unix:") {
  Result<Config> const config = parse_config(
      "[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"2001:db8::1\", \"unix:\"]\n"
      "proxy_protocol = true",
      "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->http.trusted_proxies.size() == 3);
  CHECK(parse_config("[http]\ntrusted_proxies = []", "h.toml"));
  std::string many;
  for (int i = 0; i < 65; ++i) many += fmt::format("{}\"10.0.0.{}\"", i == 0 ? "" : ", ", i);
  CHECK(error_of("[http]\ntrusted_proxies = [" + many + "]") ==
        "h.toml:2: http.trusted_proxies: must be 0 to 64 texts, not 65");
}

TEST_CASE("the installed example is valid") {
  Result<Config> const config = load_config(from_root("systemd/huntd.toml"));
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->hunts.dir == "/etc/huntd/hunts");
  CHECK(config->origin.at("hunts.dir").ends_with("systemd/huntd.toml:23"));
  CHECK(config->admin.listen == Config().admin.listen);
  CHECK(config->aggregator.listen == Config().aggregator.listen);
}

TEST_CASE("the default ports for operators are those of decision 42") {
  CHECK(Config().admin.listen == "127.0.0.1:14868");
  CHECK(Config().aggregator.listen == "127.0.0.1:14867");
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
      {"[http.listen]", "h.toml:1: http.listen: must be text in quotes, or an array of such texts"},
      {"http = 1", "h.toml:1: http: is not a section; did you mean http.listen?"},
      {"[http]\nlisten = 8080",
       "h.toml:2: http.listen: must be text in quotes, or an array of such texts"},
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
      {"[http]\nlisten = \"::1:80\"",
       "h.toml:2: http.listen: an IPv6 address must be in brackets, not \"::1:80\""},
      {"[http]\nlisten = \"a:65536\"",
       "h.toml:2: http.listen: the port must be from 0 to 65535, not \"65536\""},
      {"[redis]\naddress = \"unix:\"",
       "h.toml:2: redis.address: unix: needs a path of 1 to 107 bytes"},
      {"[kafka]\ntopic = \"a b\"", "h.toml:2: kafka.topic: must be 1 to 249 of A-Z a-z 0-9 _ . -"},
      {"[kafka]\ntopic = \"\"", "h.toml:2: kafka.topic: must be 1 to 249 of A-Z a-z 0-9 _ . -"},
      {"[aggregator]\nschema = \"sixty-four-bytes-which-is-one-more-than-postgresql-keeps-of-a-name\"",
       "h.toml:2: aggregator.schema: must be at most 63 bytes"},
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

TEST_CASE("an error of a listening address names file, line, key and what to do") {
  struct Case {
    const char* text;
    const char* error;
  };
  Case const cases[] = {
      {"[admin]\nlisten = \"unix:x\"",
       "h.toml:2: admin.listen: the path of a unix socket must begin with /"},
      {"[admin]\nlisten = [\"unix:/x\"]", "h.toml:2: admin.listen: must be text in quotes"},
      {"[admin]\nunix_mode = \"9\"",
       "h.toml:2: admin.unix_mode: must be three octal digits, such as \"0660\""},
      {"[aggregator]\nlisten = \"unix:x\"",
       "h.toml:2: aggregator.listen: the path of a unix socket must begin with /"},
      {"[aggregator]\nunix_mode = \"9\"",
       "h.toml:2: aggregator.unix_mode: must be three octal digits, such as \"0660\""},
      {"[http]\nlisten = \"unix:/x\"\n[admin]\nlisten = \"unix:/x\"",
       "h.toml:4: admin.listen: must differ from http.listen: the public port does not have the "
       "admin paths"},
      {"[http]\nlisten = []", "h.toml:2: http.listen: must be 1 to 16 texts, not 0"},
      {"[http]\ntrusted_proxies = \"10.0.0.1/8\"",
       "h.toml:2: http.trusted_proxies: \"10.0.0.1/8\" has bits behind the first 8: write "
       "\"10.0.0.0/8\"; or \"unix:\""},
      {"[http]\ntrusted_proxies = [\"10.0.0.0/8\", \"proxy\"]",
       "h.toml:2: http.trusted_proxies: must be an IP address or ADDRESS/BITS, not \"proxy\"; or "
       "\"unix:\""},
      {"[http]\ncors_origins = \"https://game.example/\"",
       "h.toml:2: http.cors_origins: must be \"*\" or SCHEME://HOST[:PORT] in lower case without a "
       "path, such as \"https://game.example\""},
      {"[http]\nproxy_protocol = true",
       "h.toml:2: http.proxy_protocol: needs http.trusted_proxies: the addresses of the proxies "
       "that send the header"},
      {"[http]\nlisten = [\"a:1\", 2]",
       "h.toml:2: http.listen: must be text in quotes, or an array of such texts"},
      {"[http]\nlisten = [\"a:1\", \"a\"]",
       "h.toml:2: http.listen: must be ADDRESS:PORT, not \"a\""},
      {"[http]\nlisten = [\"a:1\", \"a:1\"]", "h.toml:2: http.listen: has \"a:1\" twice"},
      {"[http]\nlisten = \"unix:run/h\"",
       "h.toml:2: http.listen: the path of a unix socket must begin with /"},
      {"[http]\nunix_mode = \"0888\"",
       "h.toml:2: http.unix_mode: must be three octal digits, such as \"0660\""},
      {"[http]\naccess_log = \"some\"",
       "h.toml:2: http.access_log: must be \"off\", \"errors\", \"sampled\" or \"all\""},
      {"[http]\naccess_log = true", "h.toml:2: http.access_log: must be text in quotes"},
      {"[http]\nunix_mode = \"1777\"",
       "h.toml:2: http.unix_mode: must be three octal digits, such as \"0660\""},
      {"[admin]\nlisten = [\"a:1\"]", "h.toml:2: admin.listen: must be text in quotes"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.text);
    CHECK(error_of(c.text) == c.error);
  }
}

TEST_CASE("all errors of a file are reported together") {
  CHECK(error_of("[http]\nx = 1\nlisten = 2\n[cores]\ncount = 257\n") ==
        "h.toml:5: cores.count: must be from 0 to 256, not 257\n"
        "h.toml:3: http.listen: must be text in quotes, or an array of such texts\n"
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
  CHECK(again->http.listen == std::vector<std::string>{"[::1]:80"});
  CHECK(again->worker.memory_bytes == 2'000'000);
  CHECK(again->aggregator.postgres == "host=\"a b\" \\ c");
  CHECK(again->kafka.bootstrap == "a:1,[::2]:3");
  CHECK(again->origin.size() == config_keys().size());
}

TEST_CASE("http.listen is one address or several, and is printed as it was written") {
  Result<Config> const config = parse_config(
      "[http]\nlisten = [\"127.0.0.1:80\", \"[::1]:80\", \"unix:/run/h.sock\"]\nunix_mode = \"666\"",
      "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(config->http.listen ==
        std::vector<std::string>{"127.0.0.1:80", "[::1]:80", "unix:/run/h.sock"});
  std::string const printed = print_config(*config);
  Result<Config> const again = parse_config(printed, "p.toml");
  REQUIRE_MESSAGE(again, (again ? "" : again.error().message));
  CHECK(again->http.listen == config->http.listen);
  CHECK(again->http.unix_mode == "666");
  CHECK(keys_that_wait_for_restart(*config, *again).empty());
  CHECK(print_config(*parse_config("", "h.toml")).find("[http]\nlisten = [") == std::string::npos);
  std::string many;
  for (int i = 0; i < 17; ++i) many += fmt::format("\"127.0.0.1:{}\",", 80 + i);
  CHECK(error_of("[http]\nlisten = [" + many + "]") ==
        "h.toml:2: http.listen: must be 1 to 16 texts, not 17");
}

TEST_CASE("the ports for operators may be unix sockets, and are printed as written") {
  Result<Config> const config = parse_config(
      "[admin]\nlisten = \"unix:/run/a.sock\"\nunix_mode = \"0666\"\n"
      "[aggregator]\nlisten = \"unix:/run/b.sock\"\nunix_mode = \"600\"",
      "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  Result<Config> const again = parse_config(print_config(*config), "p.toml");
  REQUIRE_MESSAGE(again, (again ? "" : again.error().message));
  CHECK(again->admin.listen == "unix:/run/a.sock");
  CHECK(file_mode_of(again->admin.unix_mode) == 0666);
  CHECK(again->aggregator.listen == "unix:/run/b.sock");
  CHECK(file_mode_of(again->aggregator.unix_mode) == 0600);
  CHECK(file_mode_of(Config().admin.unix_mode) == 0660);
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

// {key: value or file} of librdkafka's properties.
std::map<std::string, std::string> properties_in(const Config& config) {
  std::map<std::string, std::string> found;
  for (const auto* section :
       {&config.kafka.properties, &config.kafka.consumer, &config.kafka.producer})
    for (const KafkaProperty& property : *section)
      found[property.key] = property.file.empty() ? property.value : "file " + property.file;
  return found;
}

TEST_CASE("librdkafka's properties are texts, numbers or flags, with dots quoted or not") {
  Result<Config> const config = parse_config(
      "[kafka]\ntopic = \"t\"\n"
      "[kafka.properties]\n\"security.protocol\" = \"SASL_SSL\"\nsasl.username = \"a\"\n"
      "sasl.password_file = \"/p\"\nsocket.keepalive.enable = true\n"
      "[kafka.properties.ssl]\n\"ca.location\" = \"/ca\"\n"
      "[kafka.consumer]\nmax.poll.interval.ms = 600000\n"
      "[kafka.producer]\ncompression.type = \"zstd\"\n",
      "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  CHECK(properties_in(*config) ==
        std::map<std::string, std::string>{{"kafka.properties.security.protocol", "SASL_SSL"},
                                           {"kafka.properties.sasl.username", "a"},
                                           {"kafka.properties.sasl.password_file", "file /p"},
                                           {"kafka.properties.socket.keepalive.enable", "true"},
                                           {"kafka.properties.ssl.ca.location", "/ca"},
                                           {"kafka.consumer.max.poll.interval.ms", "600000"},
                                           {"kafka.producer.compression.type", "zstd"}});
  CHECK(config->origin.at("kafka.properties.ssl.ca.location") == "h.toml:9");
  // Sorted by the file's tables.
  for (const KafkaProperty& property : config->kafka.properties)
    if (!property.file.empty()) CHECK(property.name == "sasl.password");
}

TEST_CASE("an error in librdkafka's properties names file, line and key") {
  CHECK(error_of("[kafka.properties]\n\nacks = [1]") ==
        "h.toml:3: kafka.properties.acks: must be text in quotes, a whole number, true or false");
  CHECK(error_of("[kafka.properties]\nx = 1.5").starts_with("h.toml:2: kafka.properties.x: must"));
  CHECK(error_of("[kafka]\nproperties = 3") ==
        "h.toml:2: kafka.properties: must be a section: [kafka.properties]");
  CHECK(error_of("[kafka.propertys]\nx = 1") ==
        "h.toml:1: kafka.propertys: unknown key; did you mean kafka.properties?");
  CHECK(error_of("[kafka.producer]\n\"a b\" = 1").starts_with("h.toml:2: kafka.producer: has a"));
  CHECK(error_of("[kafka.producer]\n\"\" = 1").starts_with("h.toml:2: kafka.producer: has a"));
  CHECK(error_of("[kafka.producer]\nx = \"a\\u0000b\"").find("control characters") !=
        std::string::npos);
  CHECK(error_of("[kafka.properties]\nx_file = 3").find("must be the path") != std::string::npos);
  CHECK(error_of("[kafka.properties]\nx_file = \"\"").find("must be the path") !=
        std::string::npos);
  CHECK(error_of("[kafka.properties]\n\"a.b\" = 1\na.b = 2").find("sets the same property as") !=
        std::string::npos);
  CHECK(error_of("[kafka.properties]\nx = \"1\"\nx_file = \"/x\"")
            .find("sets the same property as") != std::string::npos);
  std::string many = "[kafka.properties]\n";
  for (int i = 0; i <= 256; ++i) many += fmt::format("p{:03} = 1\n", i);
  CHECK(error_of(many).find("must not have more than 256 properties") != std::string::npos);
}

TEST_CASE("print_config hides secrets of librdkafka; the rest can be read again") {
  Result<Config> const config = parse_config(
      "[kafka.properties]\nsasl.password = \"tide\"\nssl.key.password = \"tide\"\n"
      "ssl.key.pem = \"tide\"\nssl.keystore.password = \"tide\"\n"
      "sasl.oauthbearer.client.secret = \"tide\"\nsasl.oauthbearer.config = \"tide\"\n"
      "ssl.ca.pem = \"a\\nb\\\"c\\\\\"\nsasl.username = \"eve\"\nclient.rack_file = \"/rack\"\n",
      "h.toml");
  REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
  std::string const printed = print_config(*config);
  CHECK(printed.find("tide") == std::string::npos);
  CHECK(printed.find("\"sasl.password\" = \"(hidden)\"  # h.toml:2\n") != std::string::npos);
  CHECK(printed.find("\"client.rack_file\" = \"/rack\"") != std::string::npos);
  Result<Config> const again = parse_config(printed, "p.toml");
  REQUIRE_MESSAGE(again, (again ? "" : again.error().message));
  std::map<std::string, std::string> const values = properties_in(*again);
  CHECK(values.size() == 9);
  CHECK(values.at("kafka.properties.ssl.ca.pem") == "a\nb\"c\\");
  CHECK(values.at("kafka.properties.sasl.username") == "eve");
}

TEST_CASE("a reload lists changed properties of librdkafka") {
  auto const with = [](const std::string& text) {
    Result<Config> const config = parse_config(text, "h.toml");
    REQUIRE(config);
    return *config;
  };
  Config const running = with("[kafka.properties]\nsasl.username = \"a\"\nclient.rack = \"r\"\n");
  Config const next =
      with("[kafka.properties]\nsasl.username = \"b\"\n[kafka.producer]\nacks = \"all\"\n");
  CHECK(keys_that_wait_for_restart(running, next) ==
        std::vector<std::string>{"kafka.properties.client.rack", "kafka.properties.sasl.username",
                                 "kafka.producer.acks"});
  CHECK(keys_that_wait_for_restart(running, running).empty());
  // A secret that was read from its file.
  Config before = with("[kafka.properties]\nsasl.password_file = \"/p\"\n");
  Config after = before;
  after.kafka.properties[0].value = "another";
  CHECK(keys_that_wait_for_restart(before, after) ==
        std::vector<std::string>{"kafka.properties.sasl.password_file"});
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
    CHECK(address_text(*address) == c.text);
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
  for (const char* closed :
       {"127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80", "unix:/run/h.sock"})
    CHECK(parse_config(fmt::format("[http]\nlisten = \"{}\"\n", closed), "h.toml"));
  CHECK(error_of("[http]\nlisten = [\"127.0.0.1:80\", \"10.1.2.3:80\"]\n")
            .find("is not a loopback address") != std::string::npos);
}

TEST_CASE("an auth mode needs its secrets file, and a flag is true or false") {
  CHECK(error_of("[auth]\nmode = \"bearer\"\n").find("needs auth.tokens_file") !=
        std::string::npos);
  CHECK(error_of("[auth]\nmode = \"hunter\"\n").find("needs auth.hunter_keys_file") !=
        std::string::npos);
  CHECK(error_of("[auth]\nmode = \"jwt\"\n").find("needs auth.jwks_file") != std::string::npos);
  for (const char* file : {"tokens_file", "hunter_keys_file", "jwks_file", "revoked_file"})
    CHECK(error_of(fmt::format("[auth]\n{} = \"/t\"\n", file)).find("has no effect") !=
          std::string::npos);
  CHECK(error_of("[auth]\nmode = \"bearer\"\ntokens_file = \"/t\"\nrevoked_file = \"/r\"\n")
            .find("has no effect on \"bearer\"") != std::string::npos);
  CHECK(
      parse_config("[auth]\nmode = \"jwt\"\njwks_file = \"/t\"\nrevoked_file = \"/r\"\n"
                   "jwt_issuer = \"https://a\"\njwt_audience = \"b\"\n",
                   "h.toml"));
  CHECK(error_of(fmt::format("[auth]\njwt_issuer = \"{}\"\n", std::string(257, 'a')))
            .find("must be at most 256 bytes") != std::string::npos);
  CHECK(error_of("[auth]\nmode = \"basic\"\n").find("must be \"none\"") != std::string::npos);
  CHECK(error_of("[auth]\nallow_unauthenticated = \"true\"\n").find("must be true or false") !=
        std::string::npos);
  CHECK(error_of("[auth]\nallow_unauthenticated = 1\n").find("must be true or false") !=
        std::string::npos);
}

}  // namespace

TEST_CASE("redis.user needs a password file, and a reload applies both") {
  Result<Config> const alone = parse_config("[redis]\nuser = \"huntd\"", "h.toml");
  REQUIRE_FALSE(alone);
  CHECK(alone.error().message == "h.toml:2: redis.user: needs redis.password_file");
  CHECK_FALSE(parse_config("[redis]\nuser = \"a b\"\npassword_file = \"/p\"", "h.toml"));
  Result<Config> const both =
      parse_config("[redis]\nuser = \"huntd\"\npassword_file = \"/p\"", "h.toml");
  REQUIRE(both);
  CHECK(both->redis.user == "huntd");
  CHECK(keys_that_wait_for_restart(Config(), *both).empty());
}

TEST_CASE("redis.address is one text or several, and sentinels are in its place") {
  using Texts = std::vector<std::string>;
  auto const redis = [](const std::string& lines) {
    Result<Config> const config = parse_config("[redis]\n" + lines, "h.toml");
    REQUIRE_MESSAGE(config, (config ? "" : config.error().message));
    return config->redis;
  };
  CHECK(redis("address = \"unix:/r\"").address == Texts{"unix:/r"});
  Config::Redis const two = redis("address = [\"a:1\", \"b:2\"]");
  CHECK(two.address == Texts{"a:1", "b:2"});
  CHECK(redis_text(two) == "a:1, b:2");
  Config::Redis const watched =
      redis("sentinels = [\"a:1\", \"[::1]:2\"]\nsentinel_primary = \"x\"");
  CHECK(watched.sentinels == Texts{"a:1", "[::1]:2"});
  CHECK(redis_text(watched) == "x");
  CHECK(redis("sentinels = []").sentinels.empty());
  for (const char* lines :
       {"address = []", "sentinels = [\"unix:/s\"]", "sentinels = [\"a:1\"]\naddress = \"b:2\"",
        "sentinels = [\"a:1\", \"a:1\"]", "sentinel_primary = \"\"", "sentinel_user = \"x\""})
    CHECK_FALSE(parse_config(std::string("[redis]\n") + lines, "h.toml"));
}

}  // namespace huntd
