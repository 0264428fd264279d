// SPDX-License-Identifier: Apache-2.0
#include "drivers/redis_client.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "base/clock.h"
#include "base/net.h"
#include "base/private_file.h"
#include "drivers/peer_timeout.h"

namespace huntd {

namespace {

// True for the errors with which Redis rejects each command of a client.
bool serves_no_client(std::string_view error) {
  for (std::string_view const code : {"NOAUTH", "WRONGPASS", "LOADING", "MASTERDOWN"})
    if (error.starts_with(code)) return true;
  return false;
}

}  // namespace

std::string_view text_of(const redisReply* reply) {
  if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS) return {};
  return {reply->str, static_cast<size_t>(reply->len)};
}

Result<void> RedisClient::connect() {
  if (context_) return {};
  Result<Address> address = parse_address(config_.address);
  if (!address) return Error{"redis.address: " + address.error().message};
  int64_t const give_up_at_ms = monotonic_ms() + peer_timeout_ms();
  connected_to_ = config_.address;
  if (address->unix_socket || is_numeric(address->host)) return connect_to(*address, give_up_at_ms);
  // The addresses get at least half of the time.
  Result<std::vector<Address>> found = look_up(*address, give_up_at_ms - peer_timeout_ms() / 2);
  if (!found) return found.error();
  std::stable_partition(found->begin(), found->end(),
                        [this](const Address& each) { return each.host != left_host_; });
  std::string failures;
  Error last;
  for (size_t i = 0; i < found->size(); ++i) {
    connected_to_ = fmt::format("{} ({})", config_.address, address_text((*found)[i]));
    auto const left = static_cast<int64_t>(found->size() - i);
    int64_t const now_ms = monotonic_ms();
    Result<void> const connected =
        connect_to((*found)[i], now_ms + std::max<int64_t>(give_up_at_ms - now_ms, 0) / left);
    if (connected || connected.error().kind == ErrorKind::usage) return connected;
    last = connected.error();
    failures += fmt::format("{}{}", i == 0 ? "" : "; ", last.message);
  }
  return Error{std::move(failures), last.kind};
}

Result<void> RedisClient::connect_beside(const RedisClient& other) {
  if (context_) return {};
  connected_to_ = other.connected_to_;
  return connect_to(other.at_, monotonic_ms() + peer_timeout_ms());
}

void RedisClient::leave() {
  left_host_ = at_.host;
  context_.reset();
}

// Waits for the resolver until `give_up_at_ms`, or until a signal comes.
Result<std::vector<Address>> RedisClient::look_up(const Address& name, int64_t give_up_at_ms) {
  if (!lookup_) lookup_ = std::make_unique<NameLookup>(name.host);
  if (Result<void> started = lookup_->start(); !started)
    return Error{"redis: " + started.error().message, ErrorKind::unreachable};
  std::optional<Result<std::vector<std::string>>> found = lookup_->take();
  if (!found) {
    pollfd ended{.fd = lookup_->descriptor(), .events = POLLIN, .revents = 0};
    int64_t const wait_ms = std::max<int64_t>(give_up_at_ms - monotonic_ms(), 0);
    static_cast<void>(::poll(&ended, 1, static_cast<int>(wait_ms)));
    found = lookup_->take();
  }
  if (!found)
    return Error{fmt::format("redis: cannot resolve {}: no reply yet", name.host),
                 ErrorKind::unreachable};
  if (!*found) return Error{"redis: " + found->error().message, ErrorKind::unreachable};
  std::vector<Address> addresses;
  for (const std::string& host : **found) addresses.push_back({false, host, name.port});
  return addresses;
}

Result<void> RedisClient::connect_to(const Address& address, int64_t give_up_at_ms) {
  auto const span = [](int64_t ms) {
    return timeval{.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  };
  at_ = address;
  timeval const connect_time = span(std::max<int64_t>(give_up_at_ms - monotonic_ms(), 1));
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
  redisSetTimeout(context_.get(), span(peer_timeout_ms()));
  // On a Unix socket it would fail, and the connection with it.
  if (!address.unix_socket) redisEnableKeepAlive(context_.get());
  Result<void> authenticated = authenticate();
  if (!authenticated) context_.reset();
  return authenticated;
}

Result<void> RedisClient::authenticate() {
  if (!config_.password_file.empty()) {
    Result<std::string> const password = read_secret(config_.password_file, "redis.password_file");
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
  if (!context_) return;
  std::vector<const char*> starts;
  std::vector<size_t> lengths;
  for (std::string_view word : words) {
    starts.push_back(word.data());
    lengths.push_back(word.size());
  }
  redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), starts.data(),
                         lengths.data());
}

Error RedisClient::lost() {
  // On a blocking socket with a timeout, hiredis' text is that of EAGAIN. It has no error if read()
  // has given up.
  bool const silent = context_->err == 0 || (context_->err == REDIS_ERR_IO && errno == EAGAIN);
  Error error{silent ? fmt::format("redis: {}: no reply within {:g} s", connected_to_,
                                   peer_timeout_ms() / 1000.0)
                     : fmt::format("redis: {}: {}", connected_to_, context_->errstr),
              ErrorKind::unreachable};
  context_.reset();
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

Result<RedisReply> RedisClient::read() {
  if (!context_) return Error{"redis: not connected"};
  uint32_t const timeout_ms = whole_reply_timeout_ms();
  int64_t const give_up_at_ms = timeout_ms > 0 ? monotonic_ms() + timeout_ms : INT64_MAX;
  void* reply = nullptr;
  if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return lost();
  if (reply == nullptr)
    if (Result<void> sent = send(); !sent) return sent.error();
  while (reply == nullptr) {
    if (monotonic_ms() >= give_up_at_ms) return lost();
    if (redisBufferRead(context_.get()) != REDIS_OK) return lost();
    if (redisGetReplyFromReader(context_.get(), &reply) != REDIS_OK) return lost();
  }
  return checked(reply);
}

Result<void> RedisClient::send() {
  if (!context_) return Error{"redis: not connected"};
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
    if (redisBufferRead(context_.get()) != REDIS_OK) return lost();
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
