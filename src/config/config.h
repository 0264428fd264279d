// SPDX-License-Identifier: Apache-2.0
// The TOML file (/etc/huntd/huntd.toml) that every program of huntd reads. config.cc has one table
// with the range and the help text of each key; docs/configuration.md and huntd.toml(5) are
// generated from it.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

// A property of librdkafka from [kafka.properties], [kafka.consumer] or [kafka.producer]. Only its
// form is checked here: drivers/kafka_properties.h knows librdkafka.
struct KafkaProperty {
  std::string key;    // as in errors and in Config::origin: "kafka.properties.sasl.password_file"
  std::string name;   // librdkafka's: "sasl.password"
  std::string value;  // empty until the file is read
  std::string file;   // of NAME_file; else empty
};

// Entries of redis.address, or of redis.sentinels.
inline constexpr size_t redis_servers_max = 16;

// Each member is the config key `section.member`; the member's initializer is the default.
struct Config {
  struct {
    std::vector<std::string> listen = {"127.0.0.1:8080"};
    std::string unix_mode = "0660";
    uint32_t request_deadline_ms = 2000;
    uint32_t read_deadline_ms = 10'000;
    uint32_t first_byte_deadline_ms = 10'000;
    uint32_t idle_deadline_ms = 75'000;
    uint32_t send_deadline_ms = 10'000;
    uint32_t drain_delay_ms = 0;
    uint32_t drain_deadline_ms = 10'000;
    uint32_t idle_exit_s = 0;
    uint32_t connections_max = 16'384;
    uint32_t connections_per_address_max = 0;
    std::vector<std::string> trusted_proxies;
    bool proxy_protocol = false;
    std::vector<std::string> cors_origins;
    std::string access_log = "off";
    uint32_t access_log_sample = 100;
  } http;
  struct {
    std::string listen = "127.0.0.1:14868";
    std::string unix_mode = "0660";
  } admin;
  struct {
    std::string mode = "none";
    bool allow_unauthenticated = false;
    std::string tokens_file;
    std::string hunter_keys_file;
    std::string jwks_file;
    std::string jwt_issuer;
    std::string jwt_audience;
    uint32_t jwt_leeway_s = 30;
    uint32_t jwt_cache_tokens = 8192;
    uint32_t jwt_cache_s = 60;
    std::string revoked_file;
  } auth;
  struct {
    uint32_t count = 0;
    uint32_t priority = 0;
  } cores;
  struct {
    std::string dir = "/etc/huntd/hunts";
    std::string seed_secret_file;
    uint32_t check_deadline_ms = 60'000;
    std::string state_dir;
  } hunts;
  struct {
    uint32_t hunter_per_minute = 0;
    uint32_t hunter_burst = 20;
    uint32_t token_per_minute = 0;
    uint32_t token_burst = 200;
    uint32_t hunt_per_minute = 0;
    uint32_t hunt_burst = 2000;
  } rate;
  struct {
    std::string binary;
    uint32_t deadline_ms = 50;
    uint64_t memory_bytes = 32 * 1024 * 1024;
    uint32_t max_live = 32;
    uint32_t queue_max = 4096;
    uint32_t queue_deadline_ms = 100;
    uint32_t queue_target_ms = 20;
    uint32_t hunts_in_flight_max = 1024;
    uint32_t hunter_queue_max = 64;
    std::string isolation = "process";
    uint32_t warm = 0;
    uint32_t hunts_per_worker = 1000;
    bool batch_per_hunt = false;
    uint32_t idle_ms = 2000;
    uint32_t priority = 0;
  } worker;
  struct Redis {
    std::vector<std::string> address = {"127.0.0.1:6379"};
    bool cluster = false;                // `address` names nodes of a Redis Cluster
    std::vector<std::string> sentinels;  // if not empty, `address` is not used
    std::string sentinel_primary = "mymaster";
    std::string sentinel_user;
    std::string sentinel_password_file;
    std::string user;
    std::string password_file;
    bool tls = false;
    std::string tls_ca_file;
    std::string tls_cert_file;
    std::string tls_key_file;
    std::string tls_server_name;
    uint32_t database = 0;
    uint64_t idempotency_ttl_s = 86'400;
    uint32_t linger_us = 0;
    bool allow_eviction = false;
    uint32_t memory_max_percent = 90;
    uint32_t wait_replicas = 0;
    uint32_t wait_ms = 200;
  } redis;
  struct Kafka {
    std::string bootstrap;
    std::string topic = "loot_events";
    std::string dead_topic = "loot_events_dead";
    uint32_t linger_ms = 5;
    uint32_t queue_messages_max = 100'000;
    uint32_t delivery_timeout_ms = 30'000;
    uint32_t sweep_after_s = 30;
    // Not keys of the table: any number of librdkafka's own, see KafkaProperty.
    std::vector<KafkaProperty> properties;  // of all clients
    std::vector<KafkaProperty> consumer;
    std::vector<KafkaProperty> producer;
  } kafka;
  struct {
    uint32_t interval_s = 1;
    std::string postgres = "postgresql:///huntd";
    std::string listen = "127.0.0.1:14867";
    std::string unix_mode = "0660";
    std::string group = "hunt-aggregator";
    uint32_t retention_days = 0;
    std::string schema;
    std::string writer_role;
    std::string reader_role;
    uint32_t merge_timeout_s = 120;
    uint64_t merge_bytes = 64 * 1024 * 1024;
  } aggregator;

  // Where each value that is not a default was set: "FILE:LINE", by the key's full name.
  std::map<std::string, std::string> origin;
};

// Reads and checks one file. The error lists every problem found, one per line, each as
// "FILE:LINE: key: what is wrong and what to write". An unknown key suggests the most similar one.
Result<Config> load_config(const std::string& path);
// The text of the file, unchecked: at most limits::config_bytes_max.
Result<std::string> read_config_text(const std::string& path);
// The same for text in memory. `name` replaces the file's name in errors and origins.
Result<Config> parse_config(const std::string& text, const std::string& name);
// All values as TOML, each with its origin in a comment. A secret among librdkafka's properties is
// printed as "(hidden)".
std::string print_config(const Config& config);

// One key, for references and tests.
struct ConfigKey {
  std::string name;          // "section.member"
  bool is_text = false;      // text in quotes, or several
  bool is_flag = false;      // true or false
  std::string default_text;  // as TOML
  uint64_t min = 0;          // of a number, inclusive
  uint64_t max = 0;
  bool at_reload = false;  // a reload applies a change; otherwise a restart does
  std::string range;       // the permitted values, in words; `code` in backticks
  std::string help;        // the meaning, in full sentences; `code` in backticks
};
// Every key, in the order of the table; the keys of a section are adjacent.
std::vector<ConfigKey> config_keys();
// The word of `known` with the fewest letters to change; empty if there is none.
std::string nearest_of(std::string_view unknown, const std::vector<std::string_view>& known);
// The keys that differ and that a reload does not apply, librdkafka's properties too.
std::vector<std::string> keys_that_wait_for_restart(const Config& running, const Config& next);

// An address in the config file.
struct Address {
  bool unix_socket = false;
  std::string host;  // IPv4, IPv6 without brackets, a name, or the path of a unix socket
  uint16_t port = 0;
  std::string name{};  // of which a resolver gave `host`; empty: of none
};
// Parses "host:port", "[v6]:port" or "unix:/path". The error says what is wrong.
Result<Address> parse_address(const std::string& text);
// The value of a key that is a file mode. REQUIRES: `octal` has passed the check of such a key.
mode_t file_mode_of(const std::string& octal);
// The reverse of parse_address().
std::string address_text(const Address& address);
// The addresses of Redis, or the name that the sentinels know it by; for people.
std::string redis_text(const Config::Redis& redis);

}  // namespace huntd
