// The one TOML file (/etc/huntd/huntd.toml), as every program of huntd reads it. Keys, meanings and
// bounds are one table in config.cc; docs/configuration.md is checked against it by a test.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace huntd {

struct Config {
  struct {
    std::string listen = "127.0.0.1:8080";     // address:port, [v6]:port
    uint32_t request_deadline_ms = 2000;       // from a request's last byte to its answer
    uint32_t header_deadline_ms = 10'000;      // from a request's first byte to the end of its body
    uint32_t first_byte_deadline_ms = 10'000;  // of a connection's first request, from its start
    uint32_t idle_deadline_ms = 75'000;        // a keep-alive connection with no request
    uint32_t send_deadline_ms = 10'000;        // a peer that does not read its answer
    uint32_t drain_deadline_ms = 10'000;       // SIGTERM: then what is left is cut
    uint32_t connections_max = 16'384;         // per core
    uint32_t connections_per_address_max = 0;  // per core; 0: no bound
  } http;
  struct {
    std::string listen = "127.0.0.1:9090";
  } admin;
  struct {
    std::string mode = "none";           // "none", "bearer" or "hunter" (auth/secrets.h)
    bool allow_unauthenticated = false;  // "none" on an address that others can reach
    std::string tokens_file;             // of "bearer"
    std::string hunter_keys_file;        // of "hunter"
  } auth;
  struct {
    uint32_t count = 0;     // 0: one per CPU that this process may run on
    uint32_t priority = 0;  // a core's loop runs at nice -priority
  } cores;
  struct {
    std::string dir = "/etc/huntd/hunts";  // *.lua, one a hunt
  } hunts;
  struct {
    std::string binary;                        // path of hunt_worker; empty: beside huntd
    uint32_t deadline_ms = 50;                 // a worker's life, from its start
    uint64_t memory_bytes = 32 * 1024 * 1024;  // address space that a script may add
    uint32_t max_live = 32;                    // workers at a time, per core
    uint32_t queue_max = 4096;                 // requests waiting for a worker, per core
    uint32_t queue_deadline_ms = 100;          // longest wait for a worker: 503 past it
    uint32_t queue_target_ms = 20;             // the wait that a queue which stays is held to
    uint32_t hunts_in_flight_max = 1024;       // from a worker's job to the commit's end, per core
    std::string isolation = "process";         // "process", "fork" or "batch" (hunt/isolation.h)
    uint32_t warm = 0;                         // workers kept ready ahead of need, per core
    uint32_t hunts_per_worker = 1000;          // "batch": then a new worker
    uint32_t idle_ms = 2000;                   // a worker without a job goes after this
    uint32_t priority = 0;                     // workers run at nice -priority
  } worker;
  struct {
    std::string address = "127.0.0.1:6379";  // host:port or unix:/path
    std::string password_file;               // empty: no AUTH
    uint32_t database = 0;
    uint64_t idempotency_ttl_s = 86'400;  // how long a request's key is remembered
    uint32_t linger_us = 0;               // commands leave at most this often, and together
  } redis;
  struct {
    std::string bootstrap;  // empty: no Kafka, the aggregator reads the outbox
    std::string topic = "loot_events";
    std::string dead_topic = "loot_events_dead";  // records that are no event (aggregator)
    uint32_t linger_ms = 5;
    uint32_t queue_messages_max = 100'000;
    uint32_t delivery_timeout_ms = 30'000;  // then it is given up, and stays in the outbox
    uint32_t sweep_after_s = 30;            // an event this long in the outbox is emitted again
  } kafka;
  struct {
    uint32_t interval_s = 1;                       // longest time between two merges into Postgres
    std::string postgres = "postgresql:///huntd";  // libpq URI or keywords; passwords by passfile=
    std::string listen = "127.0.0.1:9091";         // the aggregator's own /metrics and /healthz
    std::string group = "hunt-aggregator";         // Kafka consumer group
    uint32_t retention_days = 0;                   // rows untouched for so long go; 0: none does
  } aggregator;

  // Where each key's value came from ("default" or "FILE:LINE"), by dotted name.
  std::map<std::string, std::string> origin;
};

// Reads and checks one file. Every problem found is in the error, one a line, each as
// "FILE:LINE: key: what is wrong and what to write"; an unknown key names the nearest known one.
Result<Config> load_config(const std::string& path);
// The same for text already in memory; `name` stands for the file in messages.
Result<Config> parse_config(const std::string& text, const std::string& name);
// The effective values as TOML, each with its origin in a comment.
std::string print_config(const Config& config);

// One key, as docs and tests need it.
struct ConfigKey {
  std::string name;
  bool is_text = false;
  bool is_flag = false;      // true or false
  std::string default_text;  // as TOML writes it
  uint64_t min = 0;          // of a number
  uint64_t max = 0;
  bool at_reload = false;  // SIGHUP is enough; else a changed value waits for the next start
};
// Every key in the order of the table.
std::vector<ConfigKey> config_keys();
// The keys that differ and that a reload does not take over.
std::vector<std::string> keys_that_wait_for_restart(const Config& running, const Config& next);

// An address as the config writes it.
struct Address {
  bool unix_socket = false;
  std::string host;  // IPv4 or IPv6 without brackets, a name, or a path where unix_socket
  uint16_t port = 0;
};
// Parses "host:port", "[v6]:port", "unix:/path". The error names what is wrong.
Result<Address> parse_address(const std::string& text);

}  // namespace huntd
