// SPDX-License-Identifier: Apache-2.0
#include "generator.h"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>

#include "base/check.h"
#include "base/clock.h"
#include "metrics/shared_region.h"

namespace huntd::load {
namespace {

constexpr uint64_t retry_ns = 100'000'000;    // after a connect that failed
constexpr size_t sends_waited_for_max = 256;  // far below the size of the completion queue
constexpr std::array<std::string_view, 4> phase_names = {"connect", "warm-up", "measured",
                                                         "draining"};

uint64_t to_ns(double seconds) { return static_cast<uint64_t>(std::llround(seconds * 1e9)); }
double to_s(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto const seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

Result<Address> address_of(const std::string& target) {
  size_t const colon = target.rfind(':');
  std::string host = target.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (int const error = getaddrinfo(host.c_str(), target.c_str() + colon + 1, &hints, &found))
    return Error{fmt::format("{}: {}", target, gai_strerror(error))};
  Address address;
  address.length = found->ai_addrlen;
  std::memcpy(&address.bytes, found->ai_addr, found->ai_addrlen);
  freeaddrinfo(found);
  return address;
}

uint64_t total_of(const Options& options) {
  return static_cast<uint64_t>(std::ceil(options.rate * (options.warmup_s + options.seconds)));
}

}  // namespace

Generator::Generator(const Options& options)
    : options_(options),
      warmup_ns_(to_ns(options.warmup_s)),
      measured_ns_(to_ns(options.seconds)),
      timeout_ns_(options.timeout_ms * 1'000'000),
      tick_ns_(options.closed ? 0 : options.tick_us * 1000),
      requests_(options),
      schedule_(options.closed ? 1 : options.rate, options.connections, total_of(options),
                options.seed),
      sent_count_(options.connections),
      repeats_(options.connections) {
  to_be_late_.reserve(options.connections);
}

Result<void> Generator::run() {
  // Sleeps end on time instead of up to 50 µs later.
  (void)prctl(PR_SET_TIMERSLACK, 1UL);
  auto const address = address_of(options_.target);
  if (!address) return address.error();
  peer_ = *address;
  if (auto const opened = ring_.open(); !opened) return opened;
  ConnectionUser& user = *this;
  for (uint32_t i = 0; i < options_.connections; ++i)
    connections_.emplace_back(ring_, user, peer_, i);
  if (auto const opened = open_connections(); !opened) {
    progress_.end();
    return opened;
  }
  load();
  drain();
  abandon_rest();
  progress_.end();
  return {};
}

Result<void> Generator::open_connections() {
  uint64_t const started_ns = monotonic_ns();
  double const ns_between = 1e9 / options_.connect_rate;
  auto const begins_ns = [&](uint32_t number) {
    return number == options_.connections ? UINT64_MAX
                                          : started_ns + static_cast<uint64_t>(number * ns_between);
  };
  uint64_t const deadline_ns =
      started_ns + static_cast<uint64_t>(options_.connections * ns_between) + timeout_ns_;
  uint64_t next_report_ns = started_ns + ns_per_s;
  for (uint32_t started = 0; started < options_.connections || open_ < options_.connections;) {
    uint64_t const now_ns = monotonic_ns();
    bool const too_late = now_ns >= deadline_ns;
    bool const all_failed = open_ == 0 && started > 0 && connecting_ == 0;
    if (open_ == 0 && (all_failed || too_late))
      return Error{fmt::format("{}: cannot connect: {}", options_.target,
                               std::strerror(last_error_ == 0 ? ETIMEDOUT : last_error_))};
    if (too_late) break;  // the missing connections are retried under load
    if (now_ns >= next_report_ns) {
      progress_.connecting(open_, options_.connections);
      next_report_ns += ns_per_s;
    }
    while (begins_ns(started) <= now_ns) connect(connections_[started++]);
    reconnect_due(now_ns);
    tick(std::min({deadline_ns, next_report_ns, begins_ns(started)}));
  }
  return {};
}

void Generator::load() {
  uint64_t const start_ns = monotonic_ns();
  uint64_t const measured_from_ns = start_ns + warmup_ns_;
  end_ns_ = measured_from_ns + measured_ns_;
  schedule_.start(start_ns);
  tally_.start(measured_from_ns, end_ns_, timeout_ns_);
  reports_.start(start_ns);
  phase_ = Phase::warm_up;
  for (Connection& connection : connections_) on_free(connection);
  for (;;) {
    pace();
    uint64_t const now_ns = monotonic_ns();
    if (phase_ == Phase::warm_up && now_ns >= measured_from_ns) begin_measuring(now_ns);
    if (now_ns >= end_ns_) break;
    report(now_ns);
    reconnect_due(now_ns);
    send_due(now_ns);
    tick(
        std::min({schedule_.next_due_ns(), phase_ == Phase::warm_up ? measured_from_ns : end_ns_}));
  }
  end_measuring(monotonic_ns());
}

void Generator::begin_measuring(uint64_t now_ns) {
  phase_ = Phase::measured;
  account_.started_at_ms = wall_ms();
  account_.measured_s = -to_s(now_ns);
  account_.cpu_s = -cpu_seconds();
}

void Generator::end_measuring(uint64_t now_ns) {
  account_.cpu_s += cpu_seconds();
  account_.measured_s += to_s(now_ns);
  phase_ = Phase::draining;
}

void Generator::drain() {
  uint64_t const deadline_ns = end_ns_ + timeout_ns_;
  for (;;) {
    pace();
    uint64_t const now_ns = monotonic_ns();
    send_due(now_ns);
    if (outstanding() == 0 || now_ns >= deadline_ns) return;
    report(now_ns);
    reconnect_due(now_ns);
    tick(deadline_ns);
  }
}

void Generator::abandon_rest() {
  uint64_t const now_ns = monotonic_ns();
  for (Connection& connection : connections_) {
    if (connection.waits_for_response() || repeats_[connection.number()])
      tally_.lost(connection.due_ns(), now_ns, Loss::unanswered);
    while (schedule_.waits(connection.number()))
      tally_.lost(schedule_.take(connection.number()), now_ns, Loss::unanswered);
    connection.abandon();
  }
}

void Generator::send_due(uint64_t now_ns) {
  while (auto const number = schedule_.come_due(now_ns)) {
    Connection& connection = connections_[*number];
    if (!connection.is_free()) continue;  // sent by on_free()
    uint64_t const due_ns = schedule_.take(*number);
    send(connection, due_ns);
    to_be_late_.push_back(due_ns);
  }
}

void Generator::send(Connection& connection, uint64_t due_ns) {
  uint32_t const number = connection.number();
  connection.send(requests_.next(number, sent_count_[number]++), due_ns);
  tally_.sent(due_ns);
}

void Generator::connect(Connection& connection) {
  ++connecting_;
  connection.connect();
}

void Generator::reconnect_due(uint64_t now_ns) {
  while (!retries_.empty() && retries_.front().at_ns <= now_ns) {
    Connection& connection = *retries_.front().connection;
    retries_.pop_front();
    connect(connection);
  }
}

void Generator::pace() {
  uint64_t const until_ns = ticked_ns_ + tick_ns_;
  if (tick_ns_ == 0 || monotonic_ns() >= until_ns) return;
  timespec const until{static_cast<time_t>(until_ns / ns_per_s),
                       static_cast<long>(until_ns % ns_per_s)};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

void Generator::tick(uint64_t until_ns) {
  uint64_t const now_ns = monotonic_ns();
  ticked_ns_ = now_ns;
  // The next system call sends them.
  for (uint64_t const due_ns : to_be_late_) tally_.late(due_ns, now_ns);
  // Their completions come within that call, which must wait for one more.
  auto const sends = static_cast<unsigned>(std::min(to_be_late_.size(), sends_waited_for_max));
  to_be_late_.clear();
  if (phase_ == Phase::measured) ++account_.ticks;
  if (!retries_.empty()) until_ns = std::min(until_ns, retries_.front().at_ns);
  until_ns = std::min(until_ns, reports_.next_ns);
  ring_.submit_and_wait(until_ns > now_ns ? std::min(until_ns - now_ns, ns_per_s) : 0, {1 + sends});
  ring_.reap();
}

uint64_t Generator::outstanding() const {
  const Counts& counts = tally_.whole();
  uint64_t const asked = options_.closed ? counts.sent : schedule_.come();
  return asked - counts.answered - counts.broken - counts.unparseable;
}

void Generator::report(uint64_t now_ns) {
  if (now_ns < reports_.next_ns) return;
  const Counts& counts = tally_.whole();
  progress_.load({phase_names[static_cast<size_t>(phase_)], to_s(now_ns - reports_.start_ns),
                  counts.sent, counts.answered, outstanding(), counts.errors()},
                 tally_.take_recent(), to_s(now_ns - reports_.last_ns));
  reports_.last_ns = now_ns;
  reports_.next_ns = std::max(reports_.next_ns + ns_per_s, now_ns + ns_per_s / 2);
}

void Generator::on_open(Connection& connection) {
  --connecting_;
  ++open_;
  if (phase_ != Phase::connecting) on_free(connection);
}

void Generator::on_free(Connection& connection) {
  if (!connection.is_free()) return;
  uint32_t const number = connection.number();
  if (repeats_[number]) {
    repeats_[number] = false;
    connection.send(requests_.again(number, sent_count_[number] - 1), connection.due_ns());
    return;
  }
  if (schedule_.waits(number)) return send(connection, schedule_.take(number));
  if (!options_.closed || phase_ == Phase::draining) return;
  uint64_t const now_ns = monotonic_ns();
  if (now_ns < end_ns_) send(connection, now_ns);
}

void Generator::on_response(Connection& connection, const Response& response) {
  tally_.answered(connection.due_ns(), monotonic_ns(), response.status, response.events);
  on_free(connection);
}

void Generator::on_lost(Connection& connection, Ended reason) {
  if (options_.repeat_closed && reason == Ended::reset && connection.met_close()) {
    repeats_[connection.number()] = true;  // once: the next connection has not served others
    ++account_.repeated;
    return;
  }
  Loss const loss = reason == Ended::unparseable ? Loss::unparseable : Loss::broken;
  tally_.lost(connection.due_ns(), monotonic_ns(), loss);
}

void Generator::on_ended(Connection& connection, Ended reason, int error) {
  if (reason == Ended::not_connected) {
    --connecting_;
    ++account_.connects_failed;
    last_error_ = error;
  } else {
    --open_;
    ++account_.reconnects;
    if (reason == Ended::reset) ++account_.resets;
    // A server that closes without a response must not be retried in a tight loop.
    if (connection.proven()) return connect(connection);
  }
  retries_.push_back({monotonic_ns() + retry_ns, &connection});
}

}  // namespace huntd::load
