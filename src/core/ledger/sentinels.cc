// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/sentinels.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <initializer_list>
#include <iterator>

#include "base/check.h"
#include "core/ledger/connect_limits.h"
#include "core/ledger/redis_words.h"

namespace huntd::server {
namespace {

void append_command(std::string& out, std::initializer_list<std::string_view> words) {
  out.append("*").append(std::to_string(words.size())).append("\r\n");
  for (std::string_view word : words)
    out.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
}

// Same words as for a Redis, with the keys of the sentinels.
std::string in_words(std::string_view error) {
  if (error.find("unknown command") != error.npos)
    return "this is not a sentinel (" + std::string(error) + ")";
  std::string words = redis_fault_in_words(error);
  for (std::string_view const key : {"redis.password_file", "redis.user"})
    for (size_t at = 0; (at = words.find(key, at)) != words.npos; at += key.size())
      words.insert(at + std::strlen("redis."), "sentinel_");
  return words;
}

}  // namespace

SentinelCall::~SentinelCall() {
  if (reader_ != nullptr) redisReaderFree(reader_);
}

Task<Result<Address>> SentinelCall::ask(Address at, std::string name, const RedisLogin& login,
                                        bool& rejected) {
  CHECK(free());
  uint64_t const deadline_at_ns = scheduler_.now_ns() + limits::sentinel_wait_ns;
  failure_.clear();
  replies_.clear();
  connecting_ = waited_for_ = true;
  network_.connect(at, *this);
  while (connecting_ && scheduler_.now_ns() < deadline_at_ns)
    co_await changed_.wait(deadline_at_ns);
  if (connecting_) failure_ = "connect: timed out";
  if (failure_.empty()) send(name, login);
  while (failure_.empty() && replies_.size() < expected_) {
    if (scheduler_.now_ns() >= deadline_at_ns) failure_ = "no reply";
    if (failure_.empty()) co_await changed_.wait(deadline_at_ns);
  }
  waited_for_ = false;
  Result<Address> found =
      failure_.empty() ? read_replies(name, rejected) : Error{in_words(failure_)};
  close();
  co_return found;
}

void SentinelCall::send(std::string_view name, const RedisLogin& login) {
  expected_ = 1;
  std::string out;
  if (!login.password.empty()) {
    ++expected_;
    if (login.user.empty())
      append_command(out, {"AUTH", login.password});
    else
      append_command(out, {"AUTH", login.user, login.password});
  }
  append_command(out, {"SENTINEL", "get-master-addr-by-name", name});
  stream_->send(out);
}

// REQUIRES: all replies have arrived.
Result<Address> SentinelCall::read_replies(std::string_view name, bool& rejected) const {
  for (const RedisReply& reply : replies_) {
    if (!reply.is_error()) continue;
    rejected = is_login_rejection(reply.text());
    return Error{in_words(reply.text())};
  }
  const RedisReply& reply = replies_.back();
  if (reply.is_nil())
    return Error{"it knows no primary " + std::string(name) + " (redis.sentinel_primary)"};
  std::string_view const port_text = reply[1].text();
  Address primary{false, std::string(reply[0].text()), 0};
  const char* const end = port_text.data() + port_text.size();
  auto const [read_to, fault] = std::from_chars(port_text.data(), end, primary.port);
  if (reply.size() != 2 || primary.host.empty() || fault != std::errc() || read_to != end)
    return Error{"malformed reply"};
  return primary;
}

void SentinelCall::close() {
  stream_.reset();
  if (reader_ != nullptr) redisReaderFree(reader_);
  reader_ = nullptr;
}

void SentinelCall::on_connected(Result<StreamPtr> stream) {
  connecting_ = false;
  if (!waited_for_) return;  // closes it
  if (stream) {
    stream_ = std::move(*stream);
    stream_->set_user(*this);
    stream_->read();
    reader_ = redisReaderCreateWithFunctions(RedisReply::functions());
  } else {
    failure_ = stream.error().message;
  }
  changed_.set({});
}

void SentinelCall::on_bytes(std::string_view bytes) {
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK)
    failure_ = "malformed reply";
  while (failure_.empty()) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader_, &parsed) != REDIS_OK) failure_ = reader_->errstr;
    if (parsed == nullptr) break;
    replies_.emplace_back(static_cast<RedisReply::Node*>(parsed));
    if (replies_.size() > expected_) failure_ = "a reply without a command";
  }
  if (failure_.empty() && reader_->len > limits::sentinel_reply_bytes_max)
    failure_ = "reply too large";
  changed_.set({});
}

void SentinelCall::on_end(int error) {
  if (failure_.empty() && replies_.size() < expected_)
    failure_ = error == 0 ? "the server closed the connection" : std::strerror(error);
  changed_.set({});
}

void SentinelCall::on_sent(int error) {
  if (error != 0) on_end(error);
}

Task<Result<Address>> Sentinels::primary() {
  size_t const count = servers_.sentinels.size();
  size_t const first = latest_;
  std::string failures;
  for (size_t i = 0; i < count; ++i) {
    latest_ = (first + i) % count;
    Result<Address> found = co_await ask(latest_);
    if (found) co_return found;
    failures.append(i == 0 ? "" : "; ").append(found.error().message);
  }
  latest_ = first;
  co_return Error{std::move(failures)};
}

Task<Result<Address>> Sentinels::primary_by_latest() {
  Result<Address> found = co_await ask(latest_);
  if (!found) latest_ = (latest_ + 1) % servers_.sentinels.size();
  co_return found;
}

Task<Result<Address>> Sentinels::ask(size_t index) {
  const Address& sentinel = servers_.sentinels[index];
  Result<std::vector<Address>> const addresses = co_await lookup_.addresses(sentinel);
  if (!addresses) co_return addresses.error();
  std::string failures;
  for (const Address& at : *addresses) {
    Result<Address> found = co_await ask_at(at);
    if (found) co_return found;
    failures.append(failures.empty() ? "" : "; ")
        .append("sentinel ")
        .append(address_text(at))
        .append(": ")
        .append(found.error().message);
  }
  co_return Error{std::move(failures)};
}

// A password that is rejected is read again.
Task<Result<Address>> Sentinels::ask_at(Address at) {
  for (bool again = false;; again = true) {
    auto call = std::find_if(calls_.begin(), calls_.end(),
                             [](const SentinelCall& each) { return each.free(); });
    if (call == calls_.end()) {
      if (calls_.size() >= limits::sentinel_calls_max)
        co_return Error{"too many connects to sentinels have not ended"};
      calls_.emplace_back(network_, scheduler_);
      call = std::prev(calls_.end());
    }
    bool rejected = false;
    Result<Address> found = co_await call->ask(at, servers_.primary, login_, rejected);
    if (found || !rejected || again || login_.password_file.empty()) co_return found;
    Result<bool> const is_new =
        co_await lookup_.read_password(login_, "redis.sentinel_password_file");
    if (!is_new) co_return Error{found.error().message + "; " + is_new.error().message};
    if (!*is_new) co_return found;
  }
}

}  // namespace huntd::server
