// SPDX-License-Identifier: Apache-2.0
#include "drivers/redis_client.h"

#include <fmt/format.h>
#include <sys/time.h>

#include "base/private_file.h"
#include "drivers/driver_limits.h"

namespace huntd {

std::string_view text_of(const redisReply* reply) {
  if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS) return {};
  return {reply->str, static_cast<size_t>(reply->len)};
}

RedisClient::RedisClient(std::string address, std::string password_file, uint32_t database)
    : address_(std::move(address)), password_file_(std::move(password_file)), database_(database) {}

Result<void> RedisClient::connect() {
  if (context_) return {};
  Result<Address> address = parse_address(address_);
  if (!address) return Error{"redis.address: " + address.error().message};
  timeval const timeout{.tv_sec = limits::peer_timeout_ms / 1000, .tv_usec = 0};
  context_.reset(address->unix_socket
                     ? redisConnectUnixWithTimeout(address->host.c_str(), timeout)
                     : redisConnectWithTimeout(address->host.c_str(), address->port, timeout));
  if (!context_) return Error{"redis: out of memory"};
  if (context_->err != 0) {
    Error error{fmt::format("redis: {}: {}", address_, context_->errstr)};
    context_.reset();
    return error;
  }
  redisSetTimeout(context_.get(), timeout);
  // On a Unix socket it would fail, and the connection with it.
  if (!address->unix_socket) redisEnableKeepAlive(context_.get());
  Result<void> authenticated = authenticate();
  if (!authenticated) context_.reset();
  return authenticated;
}

Result<void> RedisClient::authenticate() {
  if (!password_file_.empty()) {
    Result<std::string> const password = read_secret(password_file_, "redis.password_file");
    if (!password) return password.error();
    Result<RedisReply> reply = execute({"AUTH", *password});
    if (!reply) return reply.error();
  }
  if (database_ != 0) {
    Result<RedisReply> reply = execute({"SELECT", std::to_string(database_)});
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

Result<RedisReply> RedisClient::read() {
  if (!context_) return Error{"redis: not connected"};
  void* received = nullptr;
  if (redisGetReply(context_.get(), &received) != REDIS_OK) {
    Error error{fmt::format("redis: {}: {}", address_, context_->errstr)};
    context_.reset();
    return error;
  }
  RedisReply reply(static_cast<redisReply*>(received), &freeReplyObject);
  if (reply->type == REDIS_REPLY_ERROR)
    return Error{
        fmt::format("redis: {}", std::string_view(reply->str, static_cast<size_t>(reply->len)))};
  return reply;
}

Result<RedisReply> RedisClient::execute(const std::vector<std::string_view>& words) {
  append(words);
  return read();
}

}  // namespace huntd
