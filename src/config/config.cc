// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <toml++/toml.h>  // the packaged library throws; parse_config() catches it
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "base/ids.h"
#include "base/ip_address.h"
#include "base/limits.h"
#include "config/kafka_sections.h"

namespace huntd {
namespace {

// When a changed value takes effect.
enum class When { reload, restart };
// Entries of http.trusted_proxies: each connection is compared with all of them.
constexpr size_t trusted_proxies_max = 64;
// Entries of http.cors_origins, and the bytes of one.
constexpr size_t cors_origins_max = 64;
constexpr size_t origin_bytes_max = 256;
// Of [rate]. A thousandth of a second is the smallest period that is of use.
constexpr uint64_t rate_per_minute_max = 60'000'000;
constexpr uint64_t rate_burst_max = 1'000'000;

// What a text must be.
enum class Check {
  path,  // may be empty
  directory,
  tcp,
  tcp_or_unix,
  listen,
  proxies,  // may be an empty array
  origins,  // may be an empty array
  file_mode,
  bootstrap,
  topic,
  group,
  postgres,
  pg_name,     // may be empty
  redis_user,  // may be empty
  redis_name,
  isolation,
  auth_mode,
  claim,  // may be empty
  access_log
};

// One key: the member of Config that holds its value, and the values that it may have.
// Exactly one of number, large, text, flag and texts is set.
struct Key {
  const char* name;
  When when;
  uint32_t* (*number)(Config&);
  uint64_t* (*large)(Config&);
  std::string* (*text)(Config&);
  bool* (*flag)(Config&);
  uint64_t min;  // of a number, or of the count of texts; inclusive
  uint64_t max;
  Check check;                                            // of a text
  const char* help;                                       // full sentences; `code` in backticks
  std::vector<std::string>* (*texts)(Config&) = nullptr;  // one text, or an array of them
};

// clang-format off
#define NUMBER(section, member, low, high, when, help)                                          \
  Key { #section "." #member, When::when, [](Config& c) { return &c.section.member; }, nullptr, \
        nullptr, nullptr, low, high, Check::path, help }
#define LARGE(section, member, low, high, when, help)                                           \
  Key { #section "." #member, When::when, nullptr, [](Config& c) { return &c.section.member; }, \
        nullptr, nullptr, low, high, Check::path, help }
#define TEXT(section, member, check, when, help)                                                \
  Key { #section "." #member, When::when, nullptr, nullptr,                                     \
        [](Config& c) { return &c.section.member; }, nullptr, 0, 0, Check::check, help }
#define TEXTS(section, member, check, low, high, when, help)                                    \
  Key { #section "." #member, When::when, nullptr, nullptr, nullptr, nullptr, low, high,        \
        Check::check, help, [](Config& c) { return &c.section.member; } }
#define FLAG(section, member, when, help)                                                       \
  Key { #section "." #member, When::when, nullptr, nullptr, nullptr,                            \
        [](Config& c) { return &c.section.member; }, 0, 1, Check::path, help }

const Key keys_table[] = {
    TEXTS(http, listen, listen, 1, limits::listeners_max, restart,
         "Addresses of the public port. A name that has several addresses is listened on at each of "
         "them. If systemd passes sockets, it listens on those instead."),
    TEXT(http, unix_mode, file_mode, restart,
         "Permissions of the files of `unix:` sockets in `http.listen`, in octal."),
    NUMBER(http, request_deadline_ms, 10, 60'000, restart,
         "Longest time from the last byte of a request to its response. Must be more than "
         "`worker.queue_deadline_ms` and `worker.deadline_ms` together. A hunt that has not started "
         "`worker.deadline_ms` before the end of this time is not started any more: 503."),
    NUMBER(http, read_deadline_ms, 10, 600'000, restart,
         "Longest time from the first byte of a request to the end of its body; then 408."),
    NUMBER(http, first_byte_deadline_ms, 10, 600'000, restart,
         "A new connection that sends nothing for this time is closed without a response."),
    NUMBER(http, idle_deadline_ms, 10, 3'600'000, restart,
         "A keep-alive connection without a request is closed after this time."),
    NUMBER(http, send_deadline_ms, 10, 600'000, restart,
         "A connection whose client does not read its response for this time is closed."),
    NUMBER(http, drain_delay_ms, 0, 600'000, restart,
         "After SIGTERM, `/readyz` says 503 for this time while huntd serves as before, so that a "
         "load balancer sees it and sends its requests elsewhere; then huntd drains. Two to three "
         "times the interval of the balancer's checks. 0: huntd drains at once."),
    NUMBER(http, drain_deadline_ms, 0, 600'000, restart,
         "In a drain, running requests may take this long; then their connections are closed."),
    NUMBER(http, idle_exit_s, 0, 86'400, restart,
         "Under socket activation (`huntd.socket`) huntd exits after this time without a request; "
         "systemd keeps the socket, and the next connection starts huntd. At least 15 s if Kafka is "
         "used. 0: huntd stays. Without sockets of systemd huntd does not start with it."),
    NUMBER(http, connections_max, 1, 1'000'000, restart,
         "Open connections per core. A core at the limit accepts none; a connection that another "
         "core hands over to it gets 503 `too-many-connections`."),
    NUMBER(http, connections_per_address_max, 0, 1'000'000, restart,
         "Open connections per client address and core; above the limit 503 "
         "`too-many-connections`. 0: no limit."),
    TEXTS(http, trusted_proxies, proxies, 0, trusted_proxies_max, restart,
         "Proxies that may say who the client is. Of a request that one of them sends, the client's "
         "address is the last one in `X-Forwarded-For` that is not a trusted proxy's; other peers' "
         "`X-Forwarded-For` is ignored. `unix:`: all peers of the unix sockets of `http.listen`."),
    FLAG(http, proxy_protocol, restart,
         "Each connection of `http.trusted_proxies` begins with a header of the PROXY protocol, "
         "version 1 or 2, and counts for the client that it names; one without a header is closed. "
         "Other peers send none."),
    TEXTS(http, cors_origins, origins, 0, cors_origins_max, restart,
         "Web origins whose pages may call the public port from a browser (CORS), such as "
         "`\"https://game.example\"`. `\"*\"`: every origin. Empty: none."),
    TEXT(http, access_log, access_log, restart,
         "Which responses get a line in the log. `\"off\"`: none. `\"errors\"`: those with status "
         "400 and above. `\"sampled\"`: one of `http.access_log_sample`. `\"all\"`: every one. Lines "
         "that the log does not take at once are dropped and counted."),
    NUMBER(http, access_log_sample, 1, 1'000'000, restart,
         "With `\"sampled\"`: one response of this many, drawn at random, gets a line."),
    TEXT(admin, listen, listen, restart,
         "Address of the admin port: `/livez`, `/readyz`, `/metrics` and the latency pages. "
         "Must differ from `http.listen`. Keep it off the public network."),
    TEXT(admin, unix_mode, file_mode, restart,
         "Permissions of the file of a `unix:` socket in `admin.listen`, in octal."),
    TEXT(auth, mode, auth_mode, reload,
         "How callers authenticate. `\"none\"`: not at all. `\"bearer\"`: by a token from "
         "`auth.tokens_file`, which may act for every hunter. `\"hunter\"`: by a token made with "
         "`huntctl token`, which may act for one hunter. `\"jwt\"`: by a JSON Web Token of a login "
         "service, whose `sub` is the hunter."),
    FLAG(auth, allow_unauthenticated, reload,
         "Permits `auth.mode = \"none\"` if other hosts can reach `http.listen`. Set it only if "
         "a proxy authenticates the callers."),
    TEXT(auth, tokens_file, path, reload,
         "File of the tokens for `\"bearer\"`, one per line. Each is valid, so callers can "
         "change over one by one."),
    TEXT(auth, hunter_keys_file, path, reload,
         "File of the keys for `\"hunter\"`, one per line. Each is valid; the first signs new "
         "tokens (`huntctl token`). `ID KEY` names a key, and its tokens name it."),
    TEXT(auth, jwks_file, path, reload,
         "File of the public keys for `\"jwt\"`, as a JWK set (RFC 7517): RSA for RS256, P-256 for "
         "ES256, Ed25519 for EdDSA."),
    TEXT(auth, jwt_issuer, claim, reload,
         "The claim `iss` of a JWT must be this. Empty: it is not checked."),
    TEXT(auth, jwt_audience, claim, reload,
         "The claim `aud` of a JWT must be this, or have it. Empty: it is not checked."),
    NUMBER(auth, jwt_leeway_s, 0, 600, reload,
         "How far the clock of the login service may be off: a JWT is valid this long before `nbf` "
         "and after `exp`."),
    NUMBER(auth, jwt_cache_tokens, 0, 1'000'000, reload,
         "Verified JWTs that a core remembers, so that it need not verify them again. 0: none."),
    NUMBER(auth, jwt_cache_s, 1, 3600, reload,
         "How long it remembers one. A reload drops all."),
    TEXT(auth, revoked_file, path, reload,
         "File of what is not valid any more with `\"hunter\"` and `\"jwt\"`: one `token ID` or "
         "`hunter ID` per line. Empty: nothing is."),
    NUMBER(cores, count, 0, limits::cores_max, restart,
         "Core processes. 0: one per CPU that huntd may run on, and no more than the CPU quota of "
         "its cgroup, rounded up."),
    NUMBER(cores, priority, 0, limits::priority_max, restart,
         "Cores run at this nice value, negated: 20 is nice -20. Needs `LimitNICE=` in the unit; "
         "without it huntd logs a warning and uses 0."),
    TEXT(hunts, dir, directory, reload,
         "Directory of the scripts: each `*.lua` file is one hunt. A reload reads it again."),
    TEXT(hunts, seed_secret_file, path, restart,
         "File with the secret from which the numbers of `hunt.random` follow: 24 to 128 visible "
         "ASCII characters, the same on every host. Empty: the hosts share a secret in Redis."),
    NUMBER(hunts, check_deadline_ms, 100, 600'000, reload,
           "Longest check of the config and of all scripts, at a start, a reload and `huntd -t`. A "
           "reload whose check takes longer is rejected. Under systemd keep it below the unit's "
           "`TimeoutStartSec=`."),
    TEXT(hunts, state_dir, path, reload,
         "Directory in which huntd saves the scripts that it serves. A start whose `hunts.dir` has "
         "an error then serves the saved ones. Empty: the directory of the unit's "
         "`StateDirectory=` (environment variable `STATE_DIRECTORY`); without one nothing is saved."),
    NUMBER(rate, hunter_per_minute, 0, rate_per_minute_max, restart,
         "Runs and reads of one hunter per minute, in a long term; above it 429. 0: no limit."),
    NUMBER(rate, hunter_burst, 1, rate_burst_max, restart,
         "How many of them may come at once."),
    NUMBER(rate, token_per_minute, 0, rate_per_minute_max, restart,
         "The same with one token (`[auth]`), on the whole host, about: each core counts its share. "
         "0: no limit."),
    NUMBER(rate, token_burst, 1, rate_burst_max, restart,
         "How many of them may come at once."),
    NUMBER(rate, hunt_per_minute, 0, rate_per_minute_max, restart,
         "The same of one hunt, on the whole host, about: each core counts its share. 0: no limit."),
    NUMBER(rate, hunt_burst, 1, rate_burst_max, restart,
         "How many of them may come at once."),
    TEXT(worker, binary, path, restart,
         "The program `hunt_worker`. Empty: the one in the directory of `huntd`."),
    NUMBER(worker, deadline_ms, 1, 10'000, reload,
         "Longest time of a hunt in its worker, from the start of the worker; then the worker is "
         "killed and the request gets 504. What its core is stopped for, "
         "beyond 20 ms, does not count."),
    LARGE(worker, memory_bytes, 1024 * 1024, 4ULL << 30, reload,
         "Memory of a script, the size of its arena; above it the script fails (500)."),
    NUMBER(worker, max_live, 1, 4096, reload,
         "Live workers per core, including those that wait for a job."),
    NUMBER(worker, queue_max, 0, 1'000'000, reload,
         "Requests that wait for a worker, per core; above it 503."),
    NUMBER(worker, queue_deadline_ms, 1, 30'000, reload,
         "Longest wait for a worker; then 503."),
    NUMBER(worker, queue_target_ms, 1, 30'000, reload,
         "Longest wait while the queue is a standing queue (not empty for half a second): a "
         "request that would wait longer gets 503 at once."),
    NUMBER(worker, hunts_in_flight_max, 1, 1'000'000, reload,
         "Hunts between admission and the end of their commit, per core; more wait in the queue."),
    NUMBER(worker, hunter_queue_max, 1, 1'000'000, reload,
         "Requests of one hunter that wait for their turn: they run one at a time. Above it 503 at "
         "once, so that one hunter cannot take the time and the memory of the others."),
    TEXT(worker, isolation, isolation, reload,
         "How one hunt is isolated from the next: a process per hunt started by exec or by fork, "
         "a task per hunt whose memory is put back after it, or a process for many hunts."),
    NUMBER(worker, warm, 0, 4096, reload,
         "Idle workers started in advance, per core; they count towards `worker.max_live`."),
    NUMBER(worker, hunts_per_worker, 1, 1'000'000, reload,
         "With `\"batch\"` and `\"task\"`: a worker exits after this many hunts."),
    FLAG(worker, batch_per_hunt, reload,
         "With `\"batch\"` and `\"task\"`: a worker runs one hunt_id only, so that a script that breaks "
         "out of its VM meets no other hunt. Use it for fewer hunts than `worker.max_live`: above "
         "that, workers are replaced from one hunt to the next."),
    NUMBER(worker, idle_ms, 10, 3'600'000, reload,
         "A worker without a job for this time exits, except the `worker.warm` ones."),
    NUMBER(worker, priority, 0, limits::priority_max, restart,
         "Workers run at this nice value, negated. Set it below `cores.priority`, so that "
         "scripts do not delay the cores."),
    TEXTS(redis, address, tcp_or_unix, 1, redis_servers_max, restart,
         "Address of Redis. Of several, the first that is a primary and can be used is taken, at each "
         "connect. With `redis.cluster`: some of its nodes."),
    FLAG(redis, cluster, restart,
         "Whether `redis.address` names nodes of a Redis Cluster. They are asked for the other nodes and "
         "for the slots of each; one that replies is enough."),
    TEXTS(redis, sentinels, tcp, 0, redis_servers_max, restart,
         "Addresses of Redis Sentinel. At each connect they are asked where the primary is; "
         "`redis.address` must not be set then."),
    TEXT(redis, sentinel_primary, redis_name, restart,
         "Name of the primary, as in `sentinel monitor NAME …`."),
    TEXT(redis, sentinel_user, redis_user, reload,
         "User of the sentinels' ACL, whose password is in `redis.sentinel_password_file`. Empty: the "
         "default user."),
    TEXT(redis, sentinel_password_file, path, reload,
         "File with the password of the sentinels, read again as `redis.password_file`. Empty: no AUTH."),
    TEXT(redis, user, redis_user, reload,
         "User of Redis' ACL (Redis 6.0 and later), whose password is in `redis.password_file`. Empty: "
         "the default user."),
    TEXT(redis, password_file, path, reload,
         "File with the password, for example a systemd credential. Empty: no AUTH. It is read again at "
         "a reload, and when Redis has rejected the password."),
    FLAG(redis, tls, restart,
         "Whether Redis, and its sentinels, are connected to by TLS (1.2 or later). Their certificates "
         "are checked. The `redis.tls_` files are read at each connect, so a renewed one needs no "
         "restart."),
    TEXT(redis, tls_ca_file, path, restart,
         "PEM file with the certificates of the authorities that may issue those of Redis. Empty: the "
         "system's."),
    TEXT(redis, tls_cert_file, path, restart,
         "PEM file with huntd's own certificate, and its chain, for a Redis that asks for one "
         "(`tls-auth-clients`). Empty: none."),
    TEXT(redis, tls_key_file, path, restart,
         "PEM file with the key of `redis.tls_cert_file`, which other users may not read."),
    TEXT(redis, tls_server_name, redis_user, restart,
         "The name that the certificate of Redis must have. Empty: the one in `redis.address`, or its IP "
         "address. Sentinels name addresses, so set it with `redis.sentinels` unless the certificates "
         "have them."),
    NUMBER(redis, database, 0, 1'000'000, restart,
         "Number of the database."),
    LARGE(redis, idempotency_ttl_s, 60, 31'536'000, restart,
         "How long a response is stored for retries with the same `Idempotency-Key`."),
    NUMBER(redis, linger_us, 0, 100'000, restart,
         "Shortest time between two writes of a core; the commands between them are sent "
         "together. A command after a longer pause is sent at once. Saves CPU of Redis, adds "
         "latency."),
    FLAG(redis, allow_eviction, restart,
         "Permits a Redis whose `maxmemory-policy` is not `noeviction`. At its memory limit it "
         "deletes awarded loot and stored responses: a retry may then be awarded again."),
    NUMBER(redis, memory_max_percent, 1, 100, restart,
         "If Redis uses this share of its `maxmemory`, hunts get 503 `redis-unavailable`; stored "
         "responses are still returned. 100: Redis alone decides. Without a `maxmemory`, or if it "
         "evicts, the share has no effect."),
    NUMBER(redis, wait_replicas, 0, limits::redis_replicas_max, restart,
         "A 200 is sent when so many replicas have the commit too (`WAIT`). If they do not have it in "
         "time, the response is 503 `outcome-unknown`; if fewer are connected, hunts get 503 "
         "`redis-unavailable`. 0: huntd waits for none."),
    NUMBER(redis, wait_ms, 1, 2000, restart,
         "How long Redis waits for `redis.wait_replicas`. Further commits of the core wait behind it."),
    TEXT(kafka, bootstrap, bootstrap, restart,
         "Brokers for the first connection. Empty: no Kafka, and the aggregator reads the outbox "
         "in Redis."),
    TEXT(kafka, topic, topic, restart,
         "Topic of the loot events."),
    TEXT(kafka, dead_topic, topic, restart,
         "Dead-letter topic: the aggregator writes records to it that cannot be counted. Must "
         "differ from `kafka.topic`."),
    NUMBER(kafka, linger_ms, 0, 1000, restart,
         "How long an event may wait for other events, to be sent together."),
    NUMBER(kafka, queue_messages_max, 1, 10'000'000, restart,
         "Events in the queue of the Kafka client, per core."),
    NUMBER(kafka, delivery_timeout_ms, 1000, 86'400'000, restart,
         "Longest time until Kafka acknowledges an event; then the client gives up. The event is "
         "still in the outbox, and the sweep emits it again."),
    NUMBER(kafka, sweep_after_s, 1, 86'400, restart,
         "An event that has been in the outbox for this time is emitted again."),
    NUMBER(aggregator, interval_s, 1, 3600, restart,
         "Longest time between two merges into PostgreSQL."),
    TEXT(aggregator, postgres, postgres, restart,
         "The database. Put a password into a `passfile`, not here."),
    TEXT(aggregator, listen, listen, restart,
         "Address of the aggregator's `/metrics`, `/livez` and `/readyz`."),
    TEXT(aggregator, unix_mode, file_mode, restart,
         "Permissions of the file of a `unix:` socket in `aggregator.listen`, in octal."),
    TEXT(aggregator, group, group, restart,
         "The Kafka consumer group."),
    NUMBER(aggregator, retention_days, 0, 36'500, restart,
         "Rows of hunts that have awarded nothing for this many days are deleted from "
         "`hunt_session`. 0: no row is deleted."),
    TEXT(aggregator, schema, pg_name, restart,
         "The schema of the tables: hunt-aggregator and huntctl look in no other. Empty: the first "
         "one in the `search_path` of the connection."),
    TEXT(aggregator, writer_role, pg_name, restart,
         "A role to which `hunt-aggregator --migrate` and `--print-schema` grant what "
         "hunt-aggregator and huntctl need, without the right to create anything. Empty: none."),
    TEXT(aggregator, reader_role, pg_name, restart,
         "A role to which they grant SELECT on the tables and views. Empty: none."),
    NUMBER(aggregator, merge_timeout_s, 1, 3600, restart,
         "PostgreSQL ends a statement of a merge that takes longer (`statement_timeout`); a lock may "
         "take half as long. The merge is retried with fewer rows per transaction."),
    LARGE(aggregator, merge_bytes, 1024 * 1024, 512ULL << 20, restart,
         "Bytes of rows that one transaction of a merge reads, and memory of events that it writes. "
         "A larger merge takes several transactions."),
};
// clang-format on

#undef NUMBER
#undef LARGE
#undef TEXT
#undef TEXTS
#undef FLAG

std::string quoted(const std::string& text) {
  std::ostringstream written;
  written << toml::value<std::string>(text);
  return written.str();
}

// A key's value as TOML.
std::string value_text(const Key& key, Config& config) {
  if (key.texts != nullptr) {
    const std::vector<std::string>& texts = *key.texts(config);
    if (texts.size() == 1) return quoted(texts[0]);
    std::string all;
    for (const std::string& text : texts) all += (all.empty() ? "" : ", ") + quoted(text);
    return "[" + all + "]";
  }
  if (key.flag != nullptr) return *key.flag(config) ? "true" : "false";
  if (key.text == nullptr)
    return std::to_string(key.number != nullptr ? *key.number(config) : *key.large(config));
  return quoted(*key.text(config));
}

// The number of letters to add, remove or change to turn one word into the other.
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
  std::vector<std::string_view> known;
  for (const Key& key : keys_table) known.emplace_back(key.name);
  known.insert(known.end(), std::begin(kafka_sections), std::end(kafka_sections));
  return nearest_of(unknown, known);
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

// Collects error messages, one per line.
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

// The error if `text` is not an address.
std::optional<std::string> address_fault(const std::string& text) {
  Result<Address> const address = parse_address(text);
  if (!address) return address.error().message;
  return std::nullopt;
}

// The error if `text` is not an address to listen on.
std::optional<std::string> listen_fault(const std::string& text) {
  if (text.starts_with("unix:") && !text.starts_with("unix:/"))
    return "the path of a unix socket must begin with /";
  return address_fault(text);
}

// The error if `text` does not name proxies.
std::optional<std::string> proxies_fault(const std::string& text) {
  if (text == "unix:") return std::nullopt;
  Result<Cidr> const network = parse_cidr(text);
  if (!network) return network.error().message + "; or \"unix:\"";
  return std::nullopt;
}

// The error if `text` is not an origin as browsers write it (RFC 6454 section 6.2), nor "*".
std::optional<std::string> origin_fault(const std::string& text) {
  constexpr const char* form =
      "must be \"*\" or SCHEME://HOST[:PORT] in lower case without a path, such as "
      "\"https://game.example\"";
  if (text == "*") return std::nullopt;
  size_t const scheme = text.find("://");
  std::string const host = scheme == std::string::npos ? "" : text.substr(scheme + 3);
  bool const plain = std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("+-.:[]_/").find(c) != std::string_view::npos;
  });
  if (scheme == 0 || host.empty() || host.find('/') != std::string::npos || !plain) return form;
  if (text.size() > origin_bytes_max)
    return fmt::format("must be at most {} bytes", origin_bytes_max);
  return std::nullopt;
}

std::optional<std::string> file_mode_fault(const std::string& text) {
  bool const octal = std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '7'; });
  if (octal && (text.size() == 3 || (text.size() == 4 && text[0] == '0'))) return std::nullopt;
  return "must be three octal digits, such as \"0660\"";
}

// The error if `text` is not a list of addresses, separated by commas. It may be empty.
std::optional<std::string> bootstrap_fault(const std::string& text) {
  for (size_t begin = 0; !text.empty() && begin <= text.size();) {
    size_t const comma = std::min(text.find(',', begin), text.size());
    Result<Address> const address = parse_address(text.substr(begin, comma - begin));
    if (!address)
      return "must be HOST:PORT, or several separated by commas: " + address.error().message;
    if (address->unix_socket) return "must be HOST:PORT, not a unix socket";
    begin = comma + 1;
  }
  return std::nullopt;
}

std::optional<std::string> topic_fault(const std::string& text) {
  bool const right_size = !text.empty() && text.size() <= limits::topic_bytes_max;
  if (right_size && text != "." && text != ".." && std::ranges::all_of(text, is_id_char))
    return std::nullopt;
  return fmt::format("must be 1 to {} of A-Z a-z 0-9 _ . -", limits::topic_bytes_max);
}

// The error if a text does not pass its check.
std::optional<std::string> text_fault(Check check, const std::string& text) {
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return "must not contain line breaks or other control characters";
  switch (check) {
    case Check::path:
      return std::nullopt;
    case Check::directory:
    case Check::group:
    case Check::postgres:
      if (text.empty()) return "must not be empty";
      return std::nullopt;
    case Check::pg_name:
      if (text.size() > limits::pg_name_bytes_max)
        return fmt::format("must be at most {} bytes", limits::pg_name_bytes_max);
      return std::nullopt;
    case Check::redis_user:
      if (text.find(' ') != std::string::npos) return "must not contain spaces";
      return std::nullopt;
    case Check::redis_name:
      if (text.empty() || text.find(' ') != std::string::npos)
        return "must not be empty, and must not contain spaces";
      return std::nullopt;
    case Check::tcp:
      if (text.starts_with("unix:")) return "must be HOST:PORT, not a unix socket";
      return address_fault(text);
    case Check::tcp_or_unix:
      return address_fault(text);
    case Check::listen:
      return listen_fault(text);
    case Check::proxies:
      return proxies_fault(text);
    case Check::origins:
      return origin_fault(text);
    case Check::file_mode:
      return file_mode_fault(text);
    case Check::bootstrap:
      return bootstrap_fault(text);
    case Check::topic:
      return topic_fault(text);
    case Check::isolation:
      if (text != "process" && text != "fork" && text != "batch" && text != "task")
        return "must be \"process\", \"fork\", \"task\" or \"batch\"";
      return std::nullopt;
    case Check::auth_mode:
      if (text != "none" && text != "bearer" && text != "hunter" && text != "jwt")
        return "must be \"none\", \"bearer\", \"hunter\" or \"jwt\"";
      return std::nullopt;
    case Check::claim:
      if (text.size() > limits::claim_bytes_max)
        return fmt::format("must be at most {} bytes", limits::claim_bytes_max);
      return std::nullopt;
    case Check::access_log:
      if (text != "off" && text != "errors" && text != "sampled" && text != "all")
        return "must be \"off\", \"errors\", \"sampled\" or \"all\"";
      return std::nullopt;
  }
  CHECK(false);
  return std::nullopt;
}

// The permitted values in words, for references.
std::string range_of(const Key& key) {
  if (key.flag != nullptr) return "true or false";
  if (key.text == nullptr && key.texts == nullptr) return fmt::format("{} to {}", key.min, key.max);
  switch (key.check) {
    case Check::path:
      return "a path";
    case Check::directory:
      return "a directory";
    case Check::tcp:
      return fmt::format("address, or an array of {} to {}", key.min, key.max);
    case Check::tcp_or_unix:
      return fmt::format("address or `unix:/path`, or an array of {} to {}", key.min, key.max);
    case Check::listen:
      if (key.text != nullptr) return "address or `unix:/path`";
      return fmt::format("address or `unix:/path`, or an array of {} to {}", key.min, key.max);
    case Check::proxies:
      return fmt::format("`ADDRESS/BITS`, an address or `unix:`, or an array of {} to {}", key.min,
                         key.max);
    case Check::origins:
      return fmt::format("`SCHEME://HOST[:PORT]` or `*`, or an array of {} to {}", key.min,
                         key.max);
    case Check::file_mode:
      return "an octal number in quotes";
    case Check::bootstrap:
      return "addresses, separated by commas";
    case Check::topic:
      return "a topic's name";
    case Check::group:
      return "a name";
    case Check::postgres:
      return "libpq URI or keywords";
    case Check::pg_name:
    case Check::redis_user:
    case Check::redis_name:
      return "a name";
    case Check::isolation:
      return "`\"process\"`, `\"fork\"`, `\"task\"`, `\"batch\"`";
    case Check::auth_mode:
      return "`\"none\"`, `\"bearer\"`, `\"hunter\"`, `\"jwt\"`";
    case Check::claim:
      return "a text";
    case Check::access_log:
      return "`\"off\"`, `\"errors\"`, `\"sampled\"`, `\"all\"`";
  }
  CHECK(false);
  return "";
}

// Reads one text, or an array of them. `where` names the key.
void read_texts(const Key& key, const toml::node& node, const std::string& where, Config& config,
                Problems& problems) {
  std::vector<const toml::node*> nodes{&node};
  if (const toml::array* const array = node.as_array(); array != nullptr) {
    nodes.clear();
    for (const toml::node& each : *array) nodes.push_back(&each);
  }
  if (nodes.size() < key.min || nodes.size() > key.max)
    return problems.add(
        where, fmt::format("must be {} to {} texts, not {}", key.min, key.max, nodes.size()));
  std::vector<std::string> texts;
  for (const toml::node* each : nodes) {
    std::optional<std::string> const text = each->value_exact<std::string>();
    if (!text) return problems.add(where, "must be text in quotes, or an array of such texts");
    if (std::optional<std::string> const fault = text_fault(key.check, *text))
      return problems.add(where, *fault);
    if (std::ranges::find(texts, *text) != texts.end())
      return problems.add(where, fmt::format("has \"{}\" twice", *text));
    texts.push_back(*text);
  }
  *key.texts(config) = std::move(texts);
}

void read_value(const Key& key, const toml::node& node, Config& config, Problems& problems) {
  std::string const where = fmt::format("{}: {}", problems.at(node), key.name);
  config.origin[key.name] = problems.at(node);
  if (key.texts != nullptr) return read_texts(key, node, where, config, problems);
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

// Reads `node` if its name is that of a section of librdkafka's properties; else returns false.
bool read_properties(const std::string& name, const toml::node& node, Config& config,
                     Problems& problems) {
  if (std::ranges::find(kafka_sections, std::string_view(name)) == std::end(kafka_sections))
    return false;
  KafkaSectionReader const reader{
      [&](const toml::node& at, const std::string& key, const std::string& fault) {
        problems.add(fmt::format("{}: {}", problems.at(at), key), fault);
      },
      [&](const toml::node& at, const std::string& key) { config.origin[key] = problems.at(at); }};
  if (const toml::table* const table = node.as_table(); table != nullptr)
    read_kafka_section(*table, name, config, reader);
  else
    reader.report(node, name, fmt::format("must be a section: [{}]", name));
  return true;
}

// True if only this host can reach a listening address.
bool is_loopback(const std::string& listen) {
  Result<Address> const address = parse_address(listen);
  if (!address) return false;
  if (address->unix_socket) return true;
  in_addr v4{};
  if (inet_pton(AF_INET, address->host.c_str(), &v4) == 1)
    return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
  // Another name may resolve to any address.
  return address->host == "localhost" || address->host == "::1";
}

// "FILE:LINE: KEY" of a key that is set, "FILE: KEY" of another one.
std::string place_of(const char* name, const Config& config, const Problems& problems) {
  auto const found = config.origin.find(name);
  return fmt::format("{}: {}", found == config.origin.end() ? problems.file : found->second, name);
}

void check_redis(const Config& config, Problems& problems) {
  auto const where = [&](const char* name) { return place_of(name, config, problems); };
  if (!config.redis.user.empty() && config.redis.password_file.empty())
    problems.add(where("redis.user"), "needs redis.password_file");
  if (!config.redis.sentinel_user.empty() && config.redis.sentinel_password_file.empty())
    problems.add(where("redis.sentinel_user"), "needs redis.sentinel_password_file");
  if (!config.redis.sentinels.empty() && config.origin.contains("redis.address"))
    problems.add(where("redis.address"),
                 "has no effect, because redis.sentinels is set: remove one of the two");
  if (config.redis.tls_cert_file.empty() != config.redis.tls_key_file.empty())
    problems.add(
        where(config.redis.tls_key_file.empty() ? "redis.tls_cert_file" : "redis.tls_key_file"),
        "set both redis.tls_cert_file and redis.tls_key_file, or neither");
  std::pair<const char*, const std::string&> const of_tls[] = {
      {"redis.tls_ca_file", config.redis.tls_ca_file},
      {"redis.tls_cert_file", config.redis.tls_cert_file},
      {"redis.tls_key_file", config.redis.tls_key_file},
      {"redis.tls_server_name", config.redis.tls_server_name}};
  for (const auto& [key, value] : of_tls)
    if (!config.redis.tls && !value.empty())
      problems.add(where(key), "has no effect: set redis.tls = true");
  if (config.redis.wait_replicas > 0 && config.redis.wait_ms >= config.http.request_deadline_ms)
    problems.add(where("redis.wait_ms"),
                 fmt::format("must be less than http.request_deadline_ms ({})",
                             config.http.request_deadline_ms));
  auto const is_socket = [](const std::string& address) { return address.starts_with("unix:"); };
  if (config.redis.cluster) {
    if (!config.redis.sentinels.empty())
      problems.add(where("redis.sentinels"),
                   "has no effect with redis.cluster: a cluster replaces its primaries itself");
    if (config.redis.database != 0)
      problems.add(where("redis.database"), "must be 0: a cluster has no other (redis.cluster)");
    if (std::ranges::any_of(config.redis.address, is_socket))
      problems.add(
          where("redis.cluster"),
          "needs TCP: redis.address names a unix socket, and the nodes name host and port");
  }
  if (config.redis.tls && config.redis.sentinels.empty() &&
      std::ranges::any_of(config.redis.address, is_socket))
    problems.add(where("redis.tls"), "needs TCP: redis.address names a unix socket");
}

void check_auth(const Config& config, Problems& problems) {
  auto const where = [&](const char* name) { return place_of(name, config, problems); };
  if (config.auth.mode == "none" && !config.auth.allow_unauthenticated &&
      !std::ranges::all_of(config.http.listen, is_loopback))
    problems.add(where("http.listen"),
                 "is not a loopback address, and auth.mode is \"none\": any caller could act as "
                 "any hunter. Set auth.mode to \"bearer\", \"hunter\" or \"jwt\", or set "
                 "auth.allow_unauthenticated = true if a proxy authenticates the callers");
  const auto& auth = config.auth;
  if (auth.mode == "none" && !(auth.tokens_file.empty() && auth.hunter_keys_file.empty() &&
                               auth.jwks_file.empty() && auth.revoked_file.empty()))
    problems.add(where("auth.mode"),
                 "is \"none\", so the file of secrets has no effect: set auth.mode");
  if (auth.mode == "bearer" && auth.tokens_file.empty())
    problems.add(where("auth.mode"), "\"bearer\" needs auth.tokens_file");
  if (auth.mode == "hunter" && auth.hunter_keys_file.empty())
    problems.add(where("auth.mode"), "\"hunter\" needs auth.hunter_keys_file");
  if (auth.mode == "jwt" && auth.jwks_file.empty())
    problems.add(where("auth.mode"), "\"jwt\" needs auth.jwks_file");
  if (auth.mode == "bearer" && !auth.revoked_file.empty())
    problems.add(where("auth.revoked_file"),
                 "has no effect on \"bearer\": remove a token from auth.tokens_file instead");
}

// The rules that concern more than one key.
void check_together(Config& config, Problems& problems) {
  auto const where = [&](const char* name) { return place_of(name, config, problems); };
  if (config.worker.queue_deadline_ms + config.worker.deadline_ms >=
      config.http.request_deadline_ms)
    problems.add(where("http.request_deadline_ms"),
                 fmt::format("must be more than worker.queue_deadline_ms + worker.deadline_ms ({})",
                             config.worker.queue_deadline_ms + config.worker.deadline_ms));
  if (config.http.proxy_protocol && config.http.trusted_proxies.empty())
    problems.add(where("http.proxy_protocol"),
                 "needs http.trusted_proxies: the addresses of the proxies that send the header");
  check_auth(config, problems);
  check_redis(config, problems);
  if (config.kafka.topic == config.kafka.dead_topic)
    problems.add(where("kafka.dead_topic"),
                 "must differ from kafka.topic, or every dead letter would be read again");
  const std::string& admin = config.admin.listen;
  if (std::ranges::find(config.http.listen, admin) != config.http.listen.end() &&
      !admin.ends_with(":0"))
    problems.add(where("admin.listen"),
                 "must differ from http.listen: the public port does not have the admin paths");
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
      else if (!read_properties(full, node, config, problems))
        problems.add(fmt::format("{}: {}", problems.at(node), full),
                     fmt::format("unknown key; did you mean {}?", nearest_key(full)));
    }
  }
  if (problems.text.empty()) check_together(config, problems);
  if (!problems.text.empty()) return Error{problems.text};
  return config;
}

Result<std::string> read_config_text(const std::string& path) {
  errno = 0;
  std::ifstream file(path);
  std::string text(limits::config_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad())  // a directory can be opened, but not read
    return Error{fmt::format("{}: cannot be read ({}); name the config file with -c FILE", path,
                             std::strerror(errno))};
  text.resize(static_cast<size_t>(file.gcount()));
  if (text.size() > limits::config_bytes_max)
    return Error{fmt::format("{}: is larger than {} bytes; name the config file with -c FILE", path,
                             limits::config_bytes_max)};
  return text;
}

Result<Config> load_config(const std::string& path) {
  Result<std::string> const text = read_config_text(path);
  if (!text) return text.error();
  return parse_config(*text, path);
}

std::string print_config(const Config& config) {
  Config copy = config;
  std::string text;
  std::string section;
  for (const Key& key : keys_table) {
    std::string_view const name = key.name;
    std::string const its_section(name.substr(0, name.find('.')));
    if (its_section != section) {
      if (section == "kafka") text += print_kafka_sections(config);
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
    keys.push_back({key.name, key.text != nullptr || key.texts != nullptr, key.flag != nullptr,
                    value_text(key, defaults), key.min, key.max, key.when == When::reload,
                    range_of(key), key.help});
  return keys;
}

std::vector<std::string> keys_that_wait_for_restart(const Config& running, const Config& next) {
  Config before = running;
  Config after = next;
  std::vector<std::string> names;
  for (const Key& key : keys_table)
    if (key.when == When::restart && value_text(key, before) != value_text(key, after))
      names.emplace_back(key.name);
  add_changed_properties(running, next, names);
  return names;
}

std::string nearest_of(std::string_view unknown, const std::vector<std::string_view>& known) {
  unknown = unknown.substr(0, 64);  // longer than any key; bounds the work
  std::string best;
  size_t best_distance = SIZE_MAX;
  for (std::string_view const word : known)
    if (size_t const distance = edit_distance(unknown, word); distance < best_distance) {
      best_distance = distance;
      best = word;
    }
  return best;
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
      return Error{fmt::format("an IPv6 address must be in brackets, not \"{}\"", text)};
    address.host = address.host.substr(1, address.host.size() - 2);
  } else if (address.host.find(':') != std::string::npos) {
    return Error{fmt::format("an IPv6 address must be in brackets, not \"{}\"", text)};
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

mode_t file_mode_of(const std::string& octal) {
  return static_cast<mode_t>(std::stoul(octal, nullptr, 8));
}

std::string address_text(const Address& address) {
  if (address.unix_socket) return "unix:" + address.host;
  bool const v6 = address.host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", address.host, v6 ? "]" : "", address.port);
}

std::string redis_text(const Config::Redis& redis) {
  if (!redis.sentinels.empty()) return redis.sentinel_primary;
  std::string all;
  for (const std::string& address : redis.address) all += (all.empty() ? "" : ", ") + address;
  return all;
}

}  // namespace huntd
