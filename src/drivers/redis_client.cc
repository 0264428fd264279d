// SPDX-License-Identifier: Apache-2.0
#include "drivers/redis_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/net.h"
#include "base/private_file.h"
#include "drivers/peer_timeout.h"
#include "drivers/redis_cluster.h"

namespace huntd {

namespace {

// True for the errors with which Redis rejects each command of a client.
bool serves_no_client(std::string_view error) {
  for (std::string_view const code : {"NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN"})
    if (error.starts_with(code)) return true;
  return false;
}

uint32_t sentinel_timeout_ms() { return std::min(peer_timeout_ms(), limits::sentinel_timeout_ms); }

}  // namespace

std::string_view text_of(const redisReply* reply) {
  if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS) return {};
  return {reply->str, static_cast<size_t>(reply->len)};
}

RedisClient::RedisClient(Config::Redis config, uint32_t own_timeout_ms)
    : RedisClient(std::move(config), Peer::redis, own_timeout_ms) {
  if (config_.cluster) cluster_ = std::make_unique<RedisCluster>(config_, own_timeout_ms);
}
RedisClient::RedisClient(Config::Redis config, Peer peer, uint32_t own_timeout_ms)
    : config_(std::move(config)), peer_(peer), own_timeout_ms_(own_timeout_ms) {}
RedisClient::~RedisClient() = default;
RedisClient::RedisClient(RedisClient&&) noexcept = default;
RedisClient& RedisClient::operator=(RedisClient&&) noexcept = default;

bool RedisClient::connected() const {
  return cluster_ ? cluster_->connected() : context_ != nullptr;
}

size_t RedisClient::primaries() const { return cluster_ ? cluster_->primaries().size() : 1; }

Result<RedisReply> RedisClient::execute_at(size_t primary,
                                           const std::vector<std::string_view>& words) {
  if (!cluster_) return execute(words);
  std::vector<ClusterNode> const all = cluster_->primaries();
  if (primary >= all.size()) return Error{"redis: not connected"};
  return cluster_->execute_at(all[primary], words);
}

Result<std::string> RedisClient::layout() {
  return cluster_ ? cluster_->layout() : Result<std::string>(std::string());
}

uint32_t RedisClient::timeout_ms() const {
  return peer_ == Peer::redis ? peer_timeout_ms(own_timeout_ms_) : sentinel_timeout_ms();
}

// The full name of a config key.
std::string RedisClient::key(std::string_view name) const {
  return fmt::format("redis.{}{}", peer_ == Peer::redis ? "" : "sentinel_", name);
}

Result<void> RedisClient::connect() {
  if (cluster_) return cluster_->connect();
  if (context_) return {};
  return connect_until(monotonic_ms() + timeout_ms());
}

Result<void> RedisClient::connect_until(int64_t give_up_at_ms) {
  std::string failures;
  std::vector<Candidate> servers;
  if (config_.sentinels.empty()) {
    servers = configured_servers(failures);
  } else {
    Result<PrimaryChoice> named = ask_sentinels();
    if (!named) return named.error();
    for (NamedPrimary& each : named->candidates) {
      Address address{false, std::move(each.host), each.port};
      std::string const text = address_text(address);
      servers.push_back({std::move(address), text, text});
    }
    give_up_at_ms = monotonic_ms() + timeout_ms();
  }
  std::vector<Candidate> candidates = find_candidates(servers, failures, give_up_at_ms);
  return try_each(std::move(candidates), std::move(failures), give_up_at_ms);
}

// Those of redis.address. Appends to `failures` which are malformed.
std::vector<RedisClient::Candidate> RedisClient::configured_servers(std::string& failures) const {
  std::vector<Candidate> servers;
  for (const std::string& text : config_.address) {
    Result<Address> address = parse_address(text);
    if (address)
      servers.push_back({std::move(*address), text, text});
    else
      failures += fmt::format("{}redis: {}: {}", failures.empty() ? "" : "; ", text,
                              address.error().message);
  }
  return servers;
}

// The addresses of all servers, in the order in which they are to be tried. Appends to `failures`
// which names have none.
std::vector<RedisClient::Candidate> RedisClient::find_candidates(
    const std::vector<Candidate>& servers, std::string& failures, int64_t give_up_at_ms) {
  std::vector<Candidate> candidates;
  for (const Candidate& server : servers) {
    const Address& address = server.address;
    if (address.unix_socket || is_numeric(address.host)) {
      candidates.push_back(server);
      continue;
    }
    // The addresses get at least half of the time.
    Result<std::vector<Address>> const found = look_up(address, give_up_at_ms - timeout_ms() / 2);
    if (!found)
      failures += fmt::format("{}{}", failures.empty() ? "" : "; ", found.error().message);
    if (!found) continue;
    for (const Address& each : *found)
      candidates.push_back(
          {each, fmt::format("{} ({})", server.server, address_text(each)), server.server});
  }
  std::stable_partition(candidates.begin(), candidates.end(), [this](const Candidate& each) {
    return address_text(each.address) != left_;
  });
  return candidates;
}

// `failures` are those that have been found already.
Result<void> RedisClient::try_each(std::vector<Candidate> candidates, std::string failures,
                                   int64_t give_up_at_ms) {
  bool const must_be_primary = candidates.size() > 1 || !config_.sentinels.empty();
  ErrorKind kind = ErrorKind::unreachable;
  for (size_t i = 0; i < candidates.size(); ++i) {
    auto const left = static_cast<int64_t>(candidates.size() - i);
    int64_t const now_ms = monotonic_ms();
    int64_t const share_ms = std::max<int64_t>(give_up_at_ms - now_ms, 0) / left;
    Result<void> connected = connect_to(candidates[i], now_ms + share_ms);
    if (connected && must_be_primary) connected = check_primary();
    if (connected || connected.error().kind == ErrorKind::usage) return connected;
    kind = connected.error().kind;
    failures += fmt::format("{}{}", failures.empty() ? "" : "; ", connected.error().message);
  }
  return Error{std::move(failures), kind};
}

// Asks until more than half of all sentinels name one primary; those that named none at the last
// question are asked last. Returns at least one candidate.
Result<PrimaryChoice> RedisClient::ask_sentinels() {
  size_t const count = config_.sentinels.size();
  silent_.resize(count);
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(order.begin(), order.end(),
                        [this](size_t index) { return !silent_[index]; });
  int64_t const give_up_at_ms = monotonic_ms() + limits::sentinels_timeout_ms;
  PrimaryChoice choice;
  std::vector<NamedPrimary> named;
  std::string failures;
  for (size_t const index : order) {
    int64_t const now_ms = monotonic_ms();
    if (choice.by_majority || now_ms >= give_up_at_ms) break;
    Result<NamedPrimary> found =
        ask_sentinel(index, std::min(give_up_at_ms, now_ms + sentinel_timeout_ms()));
    silent_[index] = !found;
    if (found)
      named.push_back(std::move(*found));
    else if (found.error().kind == ErrorKind::usage)
      return found.error();
    else
      failures += fmt::format("{}{}", failures.empty() ? "" : "; ", found.error().message);
    choice = choose_primary(named, count);
  }
  if (choice.candidates.empty()) return Error{std::move(failures), ErrorKind::unreachable};
  return choice;
}

Result<NamedPrimary> RedisClient::ask_sentinel(size_t index, int64_t give_up_at_ms) {
  for (size_t i = sentinels_.size(); i < config_.sentinels.size(); ++i) {
    Config::Redis one = config_;
    one.sentinels.clear();
    one.address = {config_.sentinels[i]};
    one.user = config_.sentinel_user;
    one.password_file = config_.sentinel_password_file;
    one.database = 0;
    sentinels_.emplace_back(
        new RedisClient(std::move(one), Peer::sentinel, limits::sentinel_timeout_ms));
  }
  RedisClient& sentinel = *sentinels_[index];
  sentinel.question_ends_at_ms_ = give_up_at_ms;
  auto const fail = [&](const std::string& why, ErrorKind kind = ErrorKind::unreachable) {
    return Error{fmt::format("sentinel {}: {}", config_.sentinels[index], why), kind};
  };
  if (Result<void> connected = sentinel.connect_until(give_up_at_ms); !connected)
    return fail(connected.error().message, connected.error().kind);
  Result<RedisReply> const reply =
      sentinel.execute({"SENTINEL", "get-master-addr-by-name", config_.sentinel_primary});
  sentinel.close();
  if (!reply) return fail(reply.error().message);
  const redisReply& found = **reply;
  if (found.type == REDIS_REPLY_NIL)
    return fail(
        fmt::format("it knows no primary {} (redis.sentinel_primary)", config_.sentinel_primary));
  if (found.type != REDIS_REPLY_ARRAY || found.elements != 2) return fail("malformed reply");
  std::optional<NamedPrimary> primary =
      read_named_primary(text_of(found.element[0]), text_of(found.element[1]));
  if (!primary) return fail("malformed reply");
  return std::move(*primary);
}

bool RedisClient::is_replaced() {
  if (!context_ || config_.sentinels.empty()) return false;
  Result<PrimaryChoice> const named = ask_sentinels();
  if (!named || !named->by_majority) return false;
  const NamedPrimary& primary = named->candidates[0];
  return address_text({false, primary.host, primary.port}) != server_;
}

Result<void> RedisClient::connect_beside(const RedisClient& other) {
  if (context_) return {};
  return connect_to({other.at_, other.connected_to_, other.server_}, monotonic_ms() + timeout_ms());
}

Result<void> RedisClient::check_primary() {
  if (cluster_) return {};  // each command goes to a primary
  Result<RedisReply> info = execute({"INFO", "replication"});
  if (!info && info.error().kind == ErrorKind::unreachable) close();
  if (!info && !context_) return info.error();
  // Who may not ask may still read.
  if (!info || text_of(info->get()).find("role:slave") == std::string_view::npos) return {};
  left_ = address_text(at_);
  close();
  bool const several = connected_to_ != redis_text(config_);
  return Error{fmt::format("redis: {}the server is a replica", several ? connected_to_ + ": " : ""),
               ErrorKind::unreachable};
}

// Waits for the resolver until `give_up_at_ms`, or until a signal comes.
Result<std::vector<Address>> RedisClient::look_up(const Address& name, int64_t give_up_at_ms) {
  NameLookup& lookup = lookups_.try_emplace(name.host, name.host).first->second;
  if (Result<void> started = lookup.start(); !started)
    return Error{"redis: " + started.error().message, ErrorKind::unreachable};
  std::optional<Result<std::vector<std::string>>> found = lookup.take();
  if (!found) {
    pollfd ended{.fd = lookup.descriptor(), .events = POLLIN, .revents = 0};
    int64_t const wait_ms = std::max<int64_t>(give_up_at_ms - monotonic_ms(), 0);
    static_cast<void>(::poll(&ended, 1, static_cast<int>(wait_ms)));
    found = lookup.take();
  }
  if (!found)
    return Error{fmt::format("redis: cannot resolve {}: no reply yet", name.host),
                 ErrorKind::unreachable};
  if (!*found) return Error{"redis: " + found->error().message, ErrorKind::unreachable};
  std::vector<Address> addresses;
  for (const std::string& host : **found) addresses.push_back({false, host, name.port, name.host});
  return addresses;
}

Result<void> RedisClient::connect_to(const Candidate& candidate, int64_t give_up_at_ms) {
  const Address& address = candidate.address;
  auto const span = [](int64_t ms) {
    return timeval{.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  };
  at_ = address;
  connected_to_ = candidate.shown;
  server_ = candidate.server;
  timeval const connect_time = span(std::max<int64_t>(give_up_at_ms - monotonic_ms(), 1));
  close();
  context_.reset(address.unix_socket
                     ? redisConnectUnixWithTimeout(address.host.c_str(), connect_time)
                     : redisConnectWithTimeout(address.host.c_str(), address.port, connect_time));
  if (!context_) return Error{"redis: out of memory"};
  if (context_->err != 0) {
    Error error{fmt::format("redis: {}: {}", connected_to_, context_->errstr),
                ErrorKind::unreachable};
    context_.reset();
    return error;
  }
  redisSetTimeout(context_.get(), span(timeout_ms()));
  // On a Unix socket it would fail, and the connection with it.
  if (!address.unix_socket) redisEnableKeepAlive(context_.get());
  Result<void> ready = config_.tls ? secure(give_up_at_ms) : Result<void>();
  if (ready) ready = authenticate();
  if (!ready) close();
  return ready;
}

// Puts TLS on the new connection.
Result<void> RedisClient::secure(int64_t give_up_at_ms) {
  Result<tls::Context> const context = tls::load_context(tls::files_of(config_));
  if (!context) return Error{context.error().message, ErrorKind::usage};
  std::string name = config_.tls_server_name;
  if (name.empty()) name = at_.name.empty() ? at_.host : at_.name;
  Result<std::unique_ptr<TlsSocket>> opened =
      TlsSocket::open(context_->fd, *context, std::move(name), give_up_at_ms);
  if (!opened)
    return Error{fmt::format("redis: {}: {}", connected_to_, opened.error().message),
                 ErrorKind::unreachable};
  tls_ = std::move(*opened);
  return {};
}

void RedisClient::close() {
  if (cluster_) cluster_->close();
  tls_.reset();
  context_.reset();
  out_.clear();
  fault_.clear();
}

Result<void> RedisClient::authenticate() {
  if (!config_.password_file.empty()) {
    Result<std::string> const password =
        read_secret(config_.password_file, key("password_file").c_str());
    if (!password) return Error{password.error().message, ErrorKind::usage};
    std::vector<std::string_view> words{"AUTH"};
    if (!config_.user.empty()) words.emplace_back(config_.user);
    words.emplace_back(*password);
    Result<RedisReply> reply = execute(words);
    if (!reply) return reply.error();
  }
  if (config_.database != 0) {
    Result<RedisReply> reply = execute({"SELECT", std::to_string(config_.database)});
    if (!reply) return reply.error();
  }
  return {};
}

void RedisClient::append(const std::vector<std::string_view>& words) {
  if (cluster_) return cluster_->append(words);
  if (!context_) return;
  std::vector<const char*> starts;
  std::vector<size_t> lengths;
  for (std::string_view word : words) {
    starts.push_back(word.data());
    lengths.push_back(word.size());
  }
  if (!tls_) {
    redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), starts.data(),
                           lengths.data());
    return;
  }
  char* formatted = nullptr;
  int const bytes = redisFormatCommandArgv(&formatted, static_cast<int>(words.size()),
                                           starts.data(), lengths.data());
  CHECK(bytes >= 0);
  out_.append(formatted, static_cast<size_t>(bytes));
  redisFreeCommand(formatted);
}

// Reads from the socket once. Returns false if that failed: see lost().
bool RedisClient::receive() {
  if (!tls_) return redisBufferRead(context_.get()) == REDIS_OK;
  std::string plain;
  Result<void> const received = tls_->receive(plain);
  if (!received) fault_ = received.error().message;
  return received && redisReaderFeed(context_->reader, plain.data(), plain.size()) == REDIS_OK;
}

Error RedisClient::lost() {
  // On a blocking socket with a timeout, hiredis' text is that of EAGAIN. It has no error if read()
  // has given up.
  bool const silent =
      fault_.empty() && (context_->err == 0 || (context_->err == REDIS_ERR_IO && errno == EAGAIN));
  Error error{
      silent
          ? fmt::format("redis: {}: no reply within {:g} s", connected_to_, timeout_ms() / 1000.0)
          : fmt::format("redis: {}: {}", connected_to_, fault_.empty() ? context_->errstr : fault_),
      ErrorKind::unreachable};
  close();
  return error;
}

Result<RedisReply> RedisClient::checked(void* received) {
  RedisReply reply(static_cast<redisReply*>(received), &freeReplyObject);
  if (reply->type == REDIS_REPLY_ERROR) {
    std::string_view const text(reply->str, static_cast<size_t>(reply->len));
    return Error{fmt::format("redis: {}", text),
                 serves_no_client(text) ? ErrorKind::unreachable : ErrorKind::other};
  }
  return reply;
}

// Waits for input. Returns false if there is none in time. With INT64_MAX it does not wait: the
// socket's own timeout is for each part of a reply.
bool RedisClient::readable_until(int64_t give_up_at_ms) const {
  if (give_up_at_ms == INT64_MAX) return true;
  int64_t const wait_ms = give_up_at_ms - monotonic_ms();
  if (wait_ms <= 0) return false;
  pollfd readable{.fd = context_->fd, .events = POLLIN, .revents = 0};
  return ::poll(&readable, 1, static_cast<int>(std::min<int64_t>(wait_ms, INT_MAX))) != 0;
}

Result<RedisReply> RedisClient::read() {
  if (cluster_) return cluster_->read();
  if (!context_) return Error{"redis: not connected"};
  uint32_t const timeout_ms = whole_reply_timeout_ms();
  int64_t const give_up_at_ms =
      std::min(timeout_ms > 0 ? monotonic_ms() + timeout_ms : INT64_MAX, question_ends_at_ms_);
  size_t received = 0;
  void* reply = nullptr;
  if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return lost();
  if (reply == nullptr)
    if (Result<void> sent = send(); !sent) return sent.error();
  while (reply == nullptr) {
    if (!readable_until(give_up_at_ms)) return lost();
    size_t const unread = context_->reader->len;
    if (!receive()) return lost();
    received += context_->reader->len - unread;
    if (peer_ == Peer::sentinel && received > limits::sentinel_reply_bytes_max) {
      close();
      return Error{fmt::format("redis: {}: reply too large", connected_to_),
                   ErrorKind::unreachable};
    }
    if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return lost();
  }
  return checked(reply);
}

Result<void> RedisClient::send() {
  if (!context_) return Error{"redis: not connected"};
  if (tls_) {
    Result<void> const done = tls_->send(std::exchange(out_, {}));
    if (done) return {};
    fault_ = done.error().message;
    return lost();
  }
  int sent = 0;
  while (sent == 0)
    if (redisBufferWrite(context_.get(), &sent) != REDIS_OK) return lost();
  return {};
}

Result<std::optional<RedisReply>> RedisClient::received() {
  if (!context_) return Error{"redis: not connected"};
  void* reply = nullptr;
  while (true) {
    if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return lost();
    if (reply != nullptr) break;
    pollfd readable{.fd = context_->fd, .events = POLLIN, .revents = 0};
    if (::poll(&readable, 1, 0) <= 0) return std::optional<RedisReply>();
    if (!receive()) return lost();
  }
  Result<RedisReply> taken = checked(reply);
  if (!taken) return taken.error();
  return std::optional<RedisReply>(std::move(*taken));
}

Result<RedisReply> RedisClient::execute(const std::vector<std::string_view>& words) {
  append(words);
  return read();
}

}  // namespace huntd
