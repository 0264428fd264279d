// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/server_call.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "core/ledger/connect_limits.h"
#include "core/ledger/redis_words.h"

namespace huntd::server {
namespace {

void append_command(std::string& out, const std::vector<std::string>& words) {
  out.append("*").append(std::to_string(words.size())).append("\r\n");
  for (std::string_view word : words)
    out.append("$").append(std::to_string(word.size())).append("\r\n").append(word).append("\r\n");
}

}  // namespace

ServerCall::~ServerCall() {
  if (reader_ != nullptr) redisReaderFree(reader_);
}

Task<Result<Replies>> ServerCall::ask(Address at, Commands commands, const RedisLogin& login,
                                      uint64_t deadline_at_ns, bool& rejected) {
  CHECK(free());
  deadline_at_ns = std::min(deadline_at_ns, scheduler_.now_ns() + limits::server_call_wait_ns);
  failure_.clear();
  replies_.clear();
  connecting_ = waited_for_ = true;
  network_.connect(at, *this);
  while (connecting_ && failure_.empty() && scheduler_.now_ns() < deadline_at_ns)
    co_await changed_.wait(deadline_at_ns);
  if (connecting_ && failure_.empty()) failure_ = "connect: timed out";
  if (failure_.empty()) send(commands, login);
  while (failure_.empty() && replies_.size() < expected_) {
    if (scheduler_.now_ns() >= deadline_at_ns) failure_ = "no reply";
    if (failure_.empty()) co_await changed_.wait(deadline_at_ns);
  }
  waited_for_ = false;
  Result<Replies> replies =
      failure_.empty() ? take_replies(commands.size(), rejected) : Error{failure_};
  close();
  co_return replies;
}

void ServerCall::send(const Commands& commands, const RedisLogin& login) {
  expected_ = commands.size();
  std::string out;
  if (!login.password.empty()) {
    ++expected_;
    append_command(out, login.user.empty()
                            ? std::vector<std::string>{"AUTH", login.password}
                            : std::vector<std::string>{"AUTH", login.user, login.password});
  }
  for (const std::vector<std::string>& words : commands) append_command(out, words);
  stream_->send(out);
}

// The last `count` ones. REQUIRES: all replies have arrived.
Result<Replies> ServerCall::take_replies(size_t count, bool& rejected) {
  for (const RedisReply& reply : replies_) {
    if (!reply.is_error()) continue;
    rejected = is_login_rejection(reply.text());
    return Error{std::string(reply.text())};
  }
  Replies taken = std::exchange(replies_, {});
  taken.erase(taken.begin(), taken.end() - static_cast<ptrdiff_t>(count));
  return taken;
}

void ServerCall::give_up() {
  if (!waited_for_) return;
  failure_ = "given up";
  changed_.set({});
}

void ServerCall::close() {
  stream_.reset();
  if (reader_ != nullptr) redisReaderFree(reader_);
  reader_ = nullptr;
}

void ServerCall::on_connected(Result<StreamPtr> stream) {
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

void ServerCall::on_bytes(std::string_view bytes) {
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK)
    failure_ = "malformed reply";
  while (failure_.empty()) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader_, &parsed) != REDIS_OK) failure_ = reader_->errstr;
    if (parsed == nullptr) break;
    replies_.emplace_back(static_cast<RedisReply::Node*>(parsed));
    if (replies_.size() > expected_) failure_ = "a reply without a command";
  }
  if (failure_.empty() && reader_->len > reply_bytes_max_) failure_ = "reply too large";
  changed_.set({});
}

void ServerCall::on_end(int error) {
  bool const too_early = failure_.empty() && replies_.size() < expected_;
  if (too_early) failure_ = stream_->fault();
  if (too_early && failure_.empty())
    failure_ = error == 0 ? "the server closed the connection" : std::strerror(error);
  changed_.set({});
}

void ServerCall::on_sent(int error) {
  if (error != 0) on_end(error);
}

Task<Result<Replies>> ServerCalls::ask(Address at, Commands commands, uint64_t deadline_at_ns) {
  for (bool again = false;; again = true) {
    auto call = std::find_if(calls_.begin(), calls_.end(),
                             [](const ServerCall& each) { return each.free(); });
    if (call == calls_.end()) {
      if (calls_.size() >= limits::server_calls_max)
        co_return Error{"too many connects to other servers have not ended"};
      calls_.emplace_back(network_, scheduler_, reply_bytes_max_);
      call = std::prev(calls_.end());
    }
    bool rejected = false;
    Result<Replies> replies = co_await call->ask(at, commands, login_, deadline_at_ns, rejected);
    if (replies) co_return replies;
    replies = Error{in_words_(replies.error().message)};
    if (!rejected || again || login_.password_file.empty()) co_return replies;
    Result<bool> const is_new =
        co_await lookup_.read_password(login_, password_key_, deadline_at_ns);
    if (!is_new) co_return Error{replies.error().message + "; " + is_new.error().message};
    if (!*is_new) co_return replies;
  }
}

void ServerCalls::give_up() {
  for (ServerCall& call : calls_) call.give_up();
}

}  // namespace huntd::server
