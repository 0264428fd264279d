// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_link.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd::server {
namespace {

constexpr uint64_t handshake_timeout_ms = 2000;

void append_length(std::string& out, char kind, size_t length) {
  char digits[24];
  char* const end = std::to_chars(digits, std::end(digits), length).ptr;
  out.push_back(kind);
  out.append(digits, static_cast<size_t>(end - digits)).append("\r\n");
}

}  // namespace

RedisLink::RedisLink(Network& network, Scheduler& scheduler, Clock& clock, CoreMetrics& metrics,
                     Options options)
    : network_(network),
      scheduler_(scheduler),
      clock_(clock),
      metrics_(metrics),
      options_(std::move(options)) {}

RedisLink::~RedisLink() {
  if (reader_ != nullptr) redisReaderFree(reader_);
  if (linger_.armed()) scheduler_.disarm(linger_);
}

RedisScript* RedisLink::add_script(std::string text) {
  scripts_.push_back({std::move(text), ""});
  return &scripts_.back();
}

Task<> RedisLink::run() {
  uint64_t backoff_ms = limits::redis_backoff_first_ms;
  for (;;) {
    connecting_ = true;
    network_.connect(options_.address, *this);
    while (connecting_) co_await changed_.wait();
    bool ready = false;
    if (connected_) ready = co_await handshake();
    if (ready) {
      up_ = true;
      metrics_.set(Gauge::redis_up, 1);
      log::info("redis is up");
      backoff_ms = limits::redis_backoff_first_ms;
      for (OneShot<Signal>* waiter : std::exchange(up_waiters_, {})) waiter->set({});
      while (connected_) co_await changed_.wait();
      up_ = false;
      metrics_.set(Gauge::redis_up, 0);
    }
    log::warning("redis is unavailable", {{"error", last_error_}, {"retry_in_ms", backoff_ms}});
    metrics_.add(Counter::redis_reconnects);
    OneShot<Signal> pause(scheduler_);
    // Half of the pause is random, so that the cores do not reconnect all at once.
    uint64_t const wait_ms = backoff_ms / 2 + clock_.random() % (backoff_ms / 2 + 1);
    co_await pause.wait(scheduler_.now_ns() + wait_ms * ns_per_ms);
    backoff_ms = std::min(2 * backoff_ms, limits::redis_backoff_max_ms);
  }
}

Task<bool> RedisLink::until_up(uint64_t deadline_at_ns) {
  if (up_) co_return true;
  OneShot<Signal> slot(scheduler_);
  up_waiters_.push_back(&slot);
  std::optional<Signal> came = co_await slot.wait(deadline_at_ns);
  std::erase(up_waiters_, &slot);
  co_return came.has_value() && up_;
}

// Sends a command and drops the connection unless the reply is OK.
Task<bool> RedisLink::expect_ok(PoolVector<std::string_view> words, uint64_t deadline_at_ns) {
  std::string const name(words[0]);
  RedisReply const reply = co_await command(std::move(words), deadline_at_ns);
  if (reply.text() == "OK") co_return true;
  std::string const reason = reply.lost() ? "no reply to " + name : std::string(reply.text());
  drop(reason.c_str());
  co_return false;
}

Task<bool> RedisLink::handshake() {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + handshake_timeout_ms * ns_per_ms;
  if (!options_.password.empty()) {
    PoolVector<std::string_view> auth{"AUTH", options_.password};
    bool const ok = co_await expect_ok(std::move(auth), deadline_at_ns);
    if (!ok) co_return false;
  }
  if (options_.database != 0) {
    std::string const number = std::to_string(options_.database);
    PoolVector<std::string_view> select{"SELECT", number};
    bool const ok = co_await expect_ok(std::move(select), deadline_at_ns);
    if (!ok) co_return false;
  }
  for (RedisScript& script : scripts_) {
    PoolVector<std::string_view> load{"SCRIPT", "LOAD", script.text};
    RedisReply reply = co_await command(std::move(load), deadline_at_ns);
    if (reply.is_error() || reply.text().size() != 40) {
      drop(reply.lost() ? "no reply to SCRIPT LOAD" : std::string(reply.text()).c_str());
      co_return false;
    }
    script.sha1 = reply.text();
  }
  co_return true;
}

void RedisLink::on_connected(Result<StreamPtr> stream) {
  connecting_ = false;
  if (stream) {
    stream_ = std::move(*stream);
    stream_->set_user(*this);
    stream_->read();
    if (reader_ != nullptr) redisReaderFree(reader_);
    reader_ = redisReaderCreateWithFunctions(RedisReply::functions());
    reader_->maxbuf = 64 * 1024;
    out_.clear();
    demoted_ = false;
    connected_ = true;
  } else {
    last_error_ = stream.error().message;
  }
  changed_.set({});
}

bool RedisLink::append(std::span<const std::string_view> words, OneShot<RedisReply>* slot) {
  if (!connected_ || waiting_.size() >= limits::redis_in_flight_max ||
      out_.size() >= limits::redis_out_bytes_max)
    return false;
  write(words);
  waiting_.push_back({slot, scheduler_.now_ns(), 0, RedisReply()});
  metrics_.add(Counter::redis_commands);
  return true;
}

// Appends an array of bulk strings (RESP). hiredis would allocate twice per command.
void RedisLink::write(std::span<const std::string_view> words) {
  append_length(out_, '*', words.size());
  for (std::string_view word : words) {
    append_length(out_, '$', word.size());
    out_.append(word).append("\r\n");
  }
}

void RedisLink::append_marker() {
  char digits[24];
  char* const end = std::to_chars(digits, std::end(digits), ++last_marker_).ptr;
  std::string_view const words[] = {"ECHO", {digits, static_cast<size_t>(end - digits)}};
  write(words);
  waiting_.push_back({nullptr, scheduler_.now_ns(), last_marker_, RedisReply()});
}

Task<RedisReply> RedisLink::command(PoolVector<std::string_view> words, uint64_t deadline_at_ns) {
  OneShot<RedisReply> slot(scheduler_);
  uint64_t const ticket = first_ticket_ + waiting_.size();
  if (!append(words, &slot)) co_return RedisReply();
  std::optional<RedisReply> reply = co_await slot.wait(deadline_at_ns);
  if (reply) co_return std::move(*reply);
  // Too late. The entry stays, because its reply still has its turn in the order.
  if (ticket >= first_ticket_) waiting_[ticket - first_ticket_].slot = nullptr;
  co_return RedisReply();
}

Task<RedisReply> RedisLink::evaluate(const RedisScript& script, PoolVector<std::string_view> keys,
                                     PoolVector<std::string_view> arguments,
                                     uint64_t deadline_at_ns) {
  if (!up_) co_return RedisReply();
  std::string const key_count = std::to_string(keys.size());
  PoolVector<std::string_view> words{"EVALSHA", script.sha1, key_count};
  words.insert(words.end(), keys.begin(), keys.end());
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (int attempt = 0;; ++attempt) {
    PoolVector<std::string_view> copy = words;
    RedisReply reply = co_await command(std::move(copy), deadline_at_ns);
    if (attempt > 0 || !reply.is_error() || !reply.text().starts_with("NOSCRIPT")) co_return reply;
    metrics_.add(Counter::redis_noscript);
    PoolVector<std::string_view> load{"SCRIPT", "LOAD", script.text};
    RedisReply loaded = co_await command(std::move(load), deadline_at_ns);
    if (loaded.lost()) co_return RedisReply();
  }
}

bool RedisLink::send_ignoring_reply(PoolVector<std::string_view> words) {
  if (!up_) return false;
  return append(words, nullptr);
}

void RedisLink::flush(Leave leave) {
  // The server may be gone although TCP still has its connection.
  if (!waiting_.empty() &&
      scheduler_.now_ns() > waiting_.front().queued_at_ns + limits::redis_silence_max_ns)
    return drop("no reply for 5 s");
  if (!connected_ || out_.empty() || stream_->sending()) return;
  uint64_t const now_ns = scheduler_.now_ns();
  if (leave == Leave::when_due && up_ && now_ns < sent_at_ns_ + options_.linger_ns &&
      out_.size() < limits::redis_linger_bytes_max) {
    if (!linger_.armed()) scheduler_.arm(linger_, sent_at_ns_ + options_.linger_ns);
    return;
  }
  if (linger_.armed()) scheduler_.disarm(linger_);
  sent_at_ns_ = now_ns;
  append_marker();
  metrics_.add(Counter::redis_batches);
  stream_->send(out_);
}

void RedisLink::on_bytes(std::string_view bytes) {
  if (!connected_) return;
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK)
    return drop("malformed reply");
  for (;;) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader_, &parsed) != REDIS_OK) return drop(reader_->errstr);
    if (parsed == nullptr) {
      if (reader_->len > limits::redis_reply_bytes_max) return drop("reply too large");
      // After a failover, a new connection finds the primary.
      if (demoted_ && replied_ == 0) drop("the server has become a replica");
      return;
    }
    RedisReply reply(static_cast<RedisReply::Node*>(parsed));
    demoted_ = demoted_ || (reply.is_error() && reply.text().starts_with("READONLY"));
    if (!take(std::move(reply))) return;
  }
}

// Returns false if it dropped the connection.
bool RedisLink::take(RedisReply reply) {
  if (replied_ == waiting_.size()) {
    drop("a reply without a command");
    return false;
  }
  Waiting& next = waiting_[replied_];
  if (next.marker == 0) {
    next.reply = std::move(reply);
    ++replied_;
    if (!up_) deliver(1);
    return true;
  }
  // The handshake waits for each of its replies and checks it, so it needs no marker.
  if (!up_) {
    deliver(1);
    return true;
  }
  uint64_t marker = 0;
  std::string_view const text = reply.text();
  std::from_chars(text.data(), text.data() + text.size(), marker);
  if (!reply.is_error() && marker == next.marker) {
    deliver(replied_ + 1);
    return true;
  }
  // The server may have a reason of its own: BUSY, LOADING, NOAUTH.
  std::string const reason = reply.is_error() ? std::string(text) : "replies are out of sync";
  drop(reason.c_str());
  return false;
}

// Passes the first `count` replies to the coroutines that wait for them.
void RedisLink::deliver(size_t count) {
  replied_ = 0;
  for (size_t i = 0; i < count; ++i) {
    Waiting first = std::move(waiting_.front());
    waiting_.pop_front();
    ++first_ticket_;
    if (first.slot != nullptr) first.slot->set(std::move(first.reply));
  }
}

void RedisLink::fail_protocol(std::string_view command) {
  log::error("malformed Redis reply, resetting the connection", {{"command", command}});
  drop("malformed reply");
}

void RedisLink::on_end(int error) {
  drop(error == 0 ? "the server closed the connection" : std::strerror(error));
}

void RedisLink::on_sent(int error) {
  if (error != 0) drop(std::strerror(error));
}

void RedisLink::drop(const char* reason) {
  if (!connected_) return;
  last_error_ = reason;
  connected_ = false;
  up_ = false;
  stream_.reset();
  out_.clear();
  replied_ = 0;
  // The replies still due are lost.
  while (!waiting_.empty()) {
    if (OneShot<RedisReply>* slot = waiting_.front().slot; slot != nullptr) slot->set(RedisReply());
    waiting_.pop_front();
    ++first_ticket_;
  }
  changed_.set({});
}

}  // namespace huntd::server
