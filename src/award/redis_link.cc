#include "award/redis_link.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t greeting_deadline_ms = 2000;

void append_length(std::string& out, char kind, size_t length) {
  char digits[24];
  char* const end = std::to_chars(digits, std::end(digits), length).ptr;
  out.push_back(kind);
  out.append(digits, static_cast<size_t>(end - digits)).append("\r\n");
}

}  // namespace

RedisLink::RedisLink(Network& network, Scheduler& scheduler, Clock& clock, CoreStats& stats,
                     Options options)
    : network_(network),
      scheduler_(scheduler),
      clock_(clock),
      stats_(stats),
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
    while (connecting_) co_await event_.wait();
    bool greeted = false;
    if (connected_) greeted = co_await greet();
    if (greeted) {
      up_ = true;
      stats_.set(Gauge::redis_up, 1);
      log::info("redis is up");
      backoff_ms = limits::redis_backoff_first_ms;
      for (Slot<Signal>* waiter : std::exchange(up_waiters_, {})) waiter->set({});
      while (connected_) co_await event_.wait();
      up_ = false;
      stats_.set(Gauge::redis_up, 0);
    }
    log::warning("redis is away", {{"error", last_error_}, {"retry_in_ms", backoff_ms}});
    stats_.add(Counter::redis_reconnects);
    Slot<Signal> pause(scheduler_);
    // A random half keeps the cores from knocking all at once.
    uint64_t const wait_ms = backoff_ms / 2 + clock_.random() % (backoff_ms / 2 + 1);
    co_await pause.wait(scheduler_.now_ns() + wait_ms * ns_per_ms);
    backoff_ms = std::min(2 * backoff_ms, limits::redis_backoff_max_ms);
  }
}

Task<bool> RedisLink::until_up(uint64_t deadline_at_ns) {
  if (up_) co_return true;
  Slot<Signal> slot(scheduler_);
  up_waiters_.push_back(&slot);
  std::optional<Signal> came = co_await slot.wait(deadline_at_ns);
  std::erase(up_waiters_, &slot);
  co_return came.has_value() && up_;
}

Task<bool> RedisLink::greet() {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + greeting_deadline_ms * ns_per_ms;
  if (!options_.password.empty()) {
    List<std::string_view> auth{"AUTH", options_.password};
    RedisReply reply = co_await command(std::move(auth), deadline_at_ns);
    if (reply.text() != "OK") {
      drop(reply.lost() ? "no answer to AUTH" : std::string(reply.text()).c_str());
      co_return false;
    }
  }
  if (options_.database != 0) {
    std::string const number = std::to_string(options_.database);
    List<std::string_view> select{"SELECT", number};
    RedisReply reply = co_await command(std::move(select), deadline_at_ns);
    if (reply.text() != "OK") {
      drop(reply.lost() ? "no answer to SELECT" : std::string(reply.text()).c_str());
      co_return false;
    }
  }
  for (RedisScript& script : scripts_) {
    List<std::string_view> load{"SCRIPT", "LOAD", script.text};
    RedisReply reply = co_await command(std::move(load), deadline_at_ns);
    if (reply.is_error() || reply.text().size() != 40) {
      drop(reply.lost() ? "no answer to SCRIPT LOAD" : std::string(reply.text()).c_str());
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
  event_.set({});
}

bool RedisLink::append(std::span<const std::string_view> words, Slot<RedisReply>* slot) {
  if (!connected_ || waiting_.size() >= limits::redis_in_flight_max ||
      out_.size() >= limits::redis_out_bytes_max)
    return false;
  write(words);
  waiting_.push_back({slot, scheduler_.now_ns(), 0, RedisReply()});
  stats_.add(Counter::redis_commands);
  return true;
}

// An array of bulk strings, as the RESP specification has it; hiredis would take two pieces of
// memory for each command.
void RedisLink::write(std::span<const std::string_view> words) {
  append_length(out_, '*', words.size());
  for (std::string_view word : words) {
    append_length(out_, '$', word.size());
    out_.append(word).append("\r\n");
  }
}

void RedisLink::append_mark() {
  char digits[24];
  char* const end = std::to_chars(digits, std::end(digits), ++last_mark_).ptr;
  std::string_view const words[] = {"ECHO", {digits, static_cast<size_t>(end - digits)}};
  write(words);
  waiting_.push_back({nullptr, scheduler_.now_ns(), last_mark_, RedisReply()});
}

Task<RedisReply> RedisLink::command(List<std::string_view> words, uint64_t deadline_at_ns) {
  Slot<RedisReply> slot(scheduler_);
  uint64_t const ticket = first_ticket_ + waiting_.size();
  if (!append(words, &slot)) co_return RedisReply();
  std::optional<RedisReply> reply = co_await slot.wait(deadline_at_ns);
  if (reply) co_return std::move(*reply);
  // Too late: its place in the order stays, for whoever reads the replies.
  if (ticket >= first_ticket_) waiting_[ticket - first_ticket_].slot = nullptr;
  co_return RedisReply();
}

Task<RedisReply> RedisLink::evaluate(const RedisScript& script, List<std::string_view> keys,
                                     List<std::string_view> arguments, uint64_t deadline_at_ns) {
  if (!up_) co_return RedisReply();
  std::string const key_count = std::to_string(keys.size());
  List<std::string_view> words{"EVALSHA", script.sha1, key_count};
  words.insert(words.end(), keys.begin(), keys.end());
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (int attempt = 0;; ++attempt) {
    List<std::string_view> copy = words;
    RedisReply reply = co_await command(std::move(copy), deadline_at_ns);
    if (attempt > 0 || !reply.is_error() || !reply.text().starts_with("NOSCRIPT")) co_return reply;
    stats_.add(Counter::redis_noscript);
    List<std::string_view> load{"SCRIPT", "LOAD", script.text};
    RedisReply loaded = co_await command(std::move(load), deadline_at_ns);
    if (loaded.lost()) co_return RedisReply();
  }
}

bool RedisLink::send_and_forget(List<std::string_view> words) {
  if (!up_) return false;
  return append(words, nullptr);
}

void RedisLink::flush(Leave leave) {
  // A server that says nothing is as good as gone, whatever TCP still believes.
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
  append_mark();
  stats_.add(Counter::redis_batches);
  stream_->send(out_);
}

void RedisLink::on_bytes(std::string_view bytes) {
  if (!connected_) return;
  if (redisReaderFeed(reader_, bytes.data(), bytes.size()) != REDIS_OK)
    return drop("reply not understood");
  for (;;) {
    void* parsed = nullptr;
    if (redisReaderGetReply(reader_, &parsed) != REDIS_OK) return drop(reader_->errstr);
    if (parsed == nullptr) {
      if (reader_->len > limits::redis_reply_bytes_max) return drop("reply too large");
      // After a failover: who is the primary now is found by connecting again.
      if (demoted_ && answered_ == 0) drop("the server has become a replica");
      return;
    }
    RedisReply reply(static_cast<RedisReply::Node*>(parsed));
    demoted_ = demoted_ || (reply.is_error() && reply.text().starts_with("READONLY"));
    if (!take(std::move(reply))) return;
  }
}

// False where the connection has ended over it.
bool RedisLink::take(RedisReply reply) {
  if (answered_ == waiting_.size()) {
    drop("a reply that nobody asked for");
    return false;
  }
  Waiting& place = waiting_[answered_];
  if (place.mark == 0) {
    place.reply = std::move(reply);
    ++answered_;
    if (!up_) deliver(1);
    return true;
  }
  // While it greets it waits for each reply, and judges it.
  if (!up_) {
    deliver(1);
    return true;
  }
  uint64_t mark = 0;
  std::string_view const text = reply.text();
  std::from_chars(text.data(), text.data() + text.size(), mark);
  if (!reply.is_error() && mark == place.mark) {
    deliver(answered_ + 1);
    return true;
  }
  // An error is the server's own word: BUSY, LOADING, NOAUTH.
  std::string const why = reply.is_error() ? std::string(text) : "replies are out of step";
  drop(why.c_str());
  return false;
}

// The first `count` go to who waits for them.
void RedisLink::deliver(size_t count) {
  answered_ = 0;
  for (size_t i = 0; i < count; ++i) {
    Waiting place = std::move(waiting_.front());
    waiting_.pop_front();
    ++first_ticket_;
    if (place.slot != nullptr) place.slot->set(std::move(place.reply));
  }
}

void RedisLink::disbelieve(std::string_view command) {
  log::error("a reply of Redis that can't be", {{"command", command}});
  drop("a reply that can't be");
}

void RedisLink::on_end(int error) {
  drop(error == 0 ? "the server closed the connection" : std::strerror(error));
}

void RedisLink::on_sent(int error) {
  if (error != 0) drop(std::strerror(error));
}

void RedisLink::drop(const char* why) {
  if (!connected_) return;
  last_error_ = why;
  connected_ = false;
  up_ = false;
  stream_.reset();
  out_.clear();
  answered_ = 0;
  // Everyone who waits learns that the reply is lost.
  while (!waiting_.empty()) {
    if (Slot<RedisReply>* slot = waiting_.front().slot; slot != nullptr) slot->set(RedisReply());
    waiting_.pop_front();
    ++first_ticket_;
  }
  event_.set({});
}

}  // namespace huntd
