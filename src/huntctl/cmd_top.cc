// SPDX-License-Identifier: Apache-2.0
// huntctl top: a live view of the host, from /status.json, /latency.json and /hunts.json.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/health_call.h"
#include "huntctl/http_call.h"
#include "huntctl/hunts_report.h"
#include "huntctl/interrupt.h"
#include "huntctl/json_response.h"
#include "huntctl/terminal.h"
#include "huntctl/text_table.h"
#include "huntctl/top_keys.h"
#include "huntctl/top_view.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t first_delay_ms = 1000;    // the first figures need not wait for a long delay
constexpr int64_t reply_timeout_ms = 5000;  // without --timeout: the view should not seem dead
constexpr int64_t paused_ms = 3'600'000;
constexpr size_t pipe_columns = 1000;  // all of them

struct Options {
  std::string admin;
  double delay_s = top_delay_s;
  uint64_t count = 0;  // 0: until q or Ctrl-C
};

struct Taken {
  TopSample sample;
  std::string json;
};

// The body of /hunts.json; empty if huntd is older and has none.
Result<std::string> take_hunts(const std::string& address) {
  Result<HttpResponse> response = http_get(address, admin_port, "/hunts.json");
  if (!response) return response.error();
  return response->status == 404 ? "" : std::move(response->body);
}

Result<Taken> take(const std::string& address) {
  Result<std::string> const status_json = get_from_admin_port(address, "/status.json");
  if (!status_json) return status_json.error();
  Result<Status> status = read_status(*status_json);
  if (!status) return status.error();
  Result<std::string> const latency_json = get_from_admin_port(address, "/latency.json");
  if (!latency_json) return latency_json.error();
  Result<LatencyReport> latency = read_latency_report(*latency_json);
  if (!latency) return latency.error();
  Result<Health> health = read_health(address);
  if (!health) return health.error();
  Result<std::string> const hunts_json = take_hunts(address);
  if (!hunts_json) return hunts_json.error();
  Result<HuntsReport> hunts =
      hunts_json->empty() ? Result<HuntsReport>(HuntsReport()) : read_hunts_report(*hunts_json);
  if (!hunts) return hunts.error();
  std::string json = "{}";
  add_member(json, "status", *status_json);
  add_member(json, "latency", *latency_json);
  if (!hunts_json->empty()) add_member(json, "hunts", *hunts_json);
  return Taken{{std::move(*status), std::move(*latency), std::move(*health), std::move(*hunts)},
               std::move(json)};
}

int64_t ms_of(double seconds) { return static_cast<int64_t>(seconds * 1000); }

// Without a terminal: a block or an object each time.
int print_blocks(const Options& options, const std::string& address, bool json) {
  Interrupt interrupt;
  Result<Taken> before = take(address);
  if (!before) return fail(before.error());  // later ones are shown: huntd may be restarted
  int exit_code = exit_ok;
  for (uint64_t shown = 0; options.count == 0 || shown < options.count; ++shown) {
    int64_t const delay_ms = ms_of(options.delay_s);
    if (interrupt.pause(shown == 0 ? std::min(first_delay_ms, delay_ms) : delay_ms)) return exit_ok;
    Result<Taken> now = take(address);
    exit_code = now ? exit_ok : exit_code_of(now.error());
    std::optional<int> gone;
    if (json) {
      std::string error = "{}";
      if (!now) {
        add_member(error, "error", json_string(now.error().message));
        add_member(error, "exit_code", std::to_string(exit_code));
      }
      gone = print_object_line(now ? now->json : error);
    } else {
      print(utc_text(wall_ms()) + '\n');
      if (!now) print("huntctl: " + now.error().message + '\n');
      if (now)
        for (const std::string& line :
             top_lines(frame_between(before->sample, now->sample), pipe_columns))
          print(line + '\n');
      print("\n");
      gone = flush_output();
    }
    if (gone) return *gone;
    if (now) before = std::move(now);
  }
  return exit_code;
}

// The view in a terminal.
class Top {
 public:
  Top(const Options& options, const std::string& address, TopSample first)
      : address_(address), count_(options.count), before_(std::move(first)) {
    state_.delay_s = options.delay_s;
    frame_ = frame_between(before_, before_);
    next_ms_ = monotonic_ms() + std::min(first_delay_ms, ms_of(options.delay_s));
  }

  // Until q, Ctrl-C or --count. Returns the exit code.
  int run() {
    for (;;) {
      if (std::optional<int> const gone = draw()) return *gone;
      if (count_ > 0 && shown_ == count_) return exit_ok;
      int64_t const left_ms = std::max<int64_t>(0, next_ms_ - monotonic_ms());
      switch (interrupt_.wait(state_.paused ? paused_ms : left_ms, keys_at_)) {
        case Interrupt::Wake::interrupted:
          return exit_ok;
        case Interrupt::Wake::resized:
          break;
        case Interrupt::Wake::input:
          read_keys();
          if (state_.quit) return exit_ok;
          break;
        case Interrupt::Wake::time:
          if (state_.paused) break;
          refresh();
          ++shown_;
      }
    }
  }

 private:
  void refresh() {
    if (Result<Taken> now = take(address_)) {
      frame_ = frame_between(before_, now->sample);
      before_ = std::move(now->sample);
    } else {
      frame_.problem = now.error().message;
    }
    next_ms_ = monotonic_ms() + ms_of(state_.delay_s);
  }

  void read_keys() {
    std::array<char, 256> bytes;
    ssize_t const n = read(keys_at_, bytes.data(), bytes.size());
    if (n <= 0) {
      keys_at_ = -1;  // the terminal sends nothing any more
      return;
    }
    double const delay_s = state_.delay_s;
    bool const paused = state_.paused;
    size_t const rows = terminal_size().rows;
    for (int const key : keys_in({bytes.data(), static_cast<size_t>(n)}))
      if (!state_.quit) apply_key(state_, key, rows > 3 ? rows - 3 : 1);
    if (paused && !state_.paused) next_ms_ = monotonic_ms();
    if (state_.delay_s != delay_s) next_ms_ = monotonic_ms() + ms_of(state_.delay_s);
  }

  std::optional<int> draw() {
    print(
        drawn_on_screen(top_screen(frame_, state_, terminal_size(), wants_colour(STDOUT_FILENO))));
    return flush_output();
  }

  const std::string address_;
  const uint64_t count_;
  uint64_t shown_ = 0;
  TopState state_;
  TopSample before_;
  TopFrame frame_;
  int64_t next_ms_ = 0;  // when the next figures are read
  Interrupt interrupt_;
  FullScreen screen_;
  int keys_at_ = screen_.keys();
};

int top(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  if (context.timeout_s == 0) start_timeout(reply_timeout_ms, true);
  if (context.json || !draws_in_place()) return print_blocks(options, *address, context.json);
  Result<Taken> first = take(*address);
  if (!first) return fail(first.error());
  return Top(options, *address, std::move(first->sample)).run();
}

}  // namespace

void add_top(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "top", "Show rates, outcomes, latency and the cores live, until q (in a pipe: until Ctrl-C)");
  add_admin_option(*command, options->admin);
  add_period_option(*command, "--delay", options->delay_s, "Seconds between two figures (2)");
  add_count_option(*command, options->count, "End after N times");
  set_body(*command, context, options, &top);
}

}  // namespace huntd::huntctl
