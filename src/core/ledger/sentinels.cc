// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/sentinels.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <numeric>
#include <optional>

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

Task<Result<NamedPrimary>> SentinelCall::ask(Address at, std::string name, const RedisLogin& login,
                                             uint64_t deadline_at_ns, bool& rejected) {
  CHECK(free());
  deadline_at_ns = std::min(deadline_at_ns, scheduler_.now_ns() + limits::sentinel_wait_ns);
  failure_.clear();
  replies_.clear();
  connecting_ = waited_for_ = true;
  network_.connect(at, *this);
  while (connecting_ && failure_.empty() && scheduler_.now_ns() < deadline_at_ns)
    co_await changed_.wait(deadline_at_ns);
  if (connecting_ && failure_.empty()) failure_ = "connect: timed out";
  if (failure_.empty()) send(name, login);
  while (failure_.empty() && replies_.size() < expected_) {
    if (scheduler_.now_ns() >= deadline_at_ns) failure_ = "no reply";
    if (failure_.empty()) co_await changed_.wait(deadline_at_ns);
  }
  waited_for_ = false;
  Result<NamedPrimary> found =
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
Result<NamedPrimary> SentinelCall::read_replies(std::string_view name, bool& rejected) const {
  for (const RedisReply& reply : replies_) {
    if (!reply.is_error()) continue;
    rejected = is_login_rejection(reply.text());
    return Error{in_words(reply.text())};
  }
  const RedisReply& reply = replies_.back();
  if (reply.is_nil())
    return Error{"it knows no primary " + std::string(name) + " (redis.sentinel_primary)"};
  std::optional<NamedPrimary> primary = read_named_primary(reply[0].text(), reply[1].text());
  if (reply.size() != 2 || !primary) return Error{"malformed reply"};
  return std::move(*primary);
}

void SentinelCall::give_up() {
  if (!waited_for_) return;
  failure_ = "given up";
  changed_.set({});
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
    reader_ = redisReaderCreateWithFunctions(RedisReply::functions());
    stream_->read();
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
  bool const too_early = failure_.empty() && replies_.size() < expected_;
  if (too_early) failure_ = stream_->fault();
  if (too_early && failure_.empty())
    failure_ = error == 0 ? "the server closed the connection" : std::strerror(error);
  changed_.set({});
}

void SentinelCall::on_sent(int error) {
  if (error != 0) on_end(error);
}

Task<Sentinels::Named> Sentinels::primary() {
  size_t const count = servers_.sentinels.size();
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(order.begin(), order.end(),
                        [this](size_t index) { return !silent_[index]; });
  asking_ = true;
  given_up_ = false;
  deadline_at_ns_ = scheduler_.now_ns() + limits::sentinels_wait_ns;
  Named result;
  std::vector<NamedPrimary> named;
  size_t asked = 0;
  while (asked < count && may_ask() && !result.choice.by_majority) {
    size_t const index = order[asked++];
    Result<NamedPrimary> found = co_await ask(index);
    if (given_up_) break;
    silent_[index] = !found;
    if (found)
      named.push_back(std::move(*found));
    else
      result.failures.append(result.failures.empty() ? "" : "; ").append(found.error().message);
    result.choice = choose_primary(named, count);
  }
  asking_ = false;
  if (asked < count && !result.choice.by_majority)
    result.failures.append("; no time was left to ask the other sentinels");
  co_return result;
}

void Sentinels::give_up() {
  if (!asking_) return;
  given_up_ = true;
  lookup_.give_up();
  for (SentinelCall& call : calls_) call.give_up();
}

Task<Result<NamedPrimary>> Sentinels::ask(size_t index) {
  const Address& sentinel = servers_.sentinels[index];
  Result<std::vector<Address>> const addresses =
      co_await lookup_.addresses(sentinel, deadline_at_ns_);
  if (!addresses) co_return addresses.error();
  std::string failures;
  for (const Address& at : *addresses) {
    if (!failures.empty() && !may_ask()) break;
    Result<NamedPrimary> found = co_await ask_at(at);
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
Task<Result<NamedPrimary>> Sentinels::ask_at(Address at) {
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
    Result<NamedPrimary> found =
        co_await call->ask(at, servers_.primary, login_, deadline_at_ns_, rejected);
    if (found || !rejected || again || login_.password_file.empty()) co_return found;
    Result<bool> const is_new =
        co_await lookup_.read_password(login_, "redis.sentinel_password_file", deadline_at_ns_);
    if (!is_new) co_return Error{found.error().message + "; " + is_new.error().message};
    if (!*is_new) co_return found;
  }
}

}  // namespace huntd::server
