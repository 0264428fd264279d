// SPDX-License-Identifier: Apache-2.0
// huntctl status: prints the cores, and whether huntd is healthy.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/format_text.h"
#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/health_call.h"
#include "huntctl/http_call.h"
#include "huntctl/interrupt.h"
#include "huntctl/json_response.h"
#include "huntctl/status_report.h"
#include "huntctl/terminal.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t rate_period_ms = 1000;

struct Options {
  std::string admin;
  double watch_s = 0;  // 0: once
  uint64_t count = 0;  // 0: until Ctrl-C
};

std::vector<std::string> row_of(const CoreStatus& core, const Status& now,
                                std::optional<double> rate) {
  bool const runs = core.pid != 0;
  uint64_t const hunts = core.hunts();
  auto const on_owner = core.counters.find("huntd_hunts_owner_total");
  double const owner_hunts =
      on_owner == core.counters.end() ? 0 : static_cast<double>(on_owner->second);
  return {
      std::to_string(core.core),
      core.state,
      std::to_string(core.cpu),
      runs ? std::to_string(core.pid) : "-",
      runs ? span_text(now.taken_at_ms - core.started_at_ms) : "-",
      std::to_string(core.restarts),
      core.bundle.empty() ? "-" : core.bundle.substr(0, 12),
      rate ? fmt::format("{:.1f}", *rate) : "-",
      count_text(hunts),
      hunts == 0 ? "-" : fmt::format("{:.2f} %", 100.0 * owner_hunts / static_cast<double>(hunts)),
      count_text(core.gauge("huntd_connections_open")),
      count_text(core.gauge("huntd_workers_live")),
      count_text(core.gauge("huntd_queue_length")),
      count_text(core.gauge("huntd_outbox_pending")),
      core.gauge("huntd_redis_up") == 1 ? "up" : "down"};
}

std::string table(const Status& before, const Status& now) {
  TextTable table;
  table.add_column("core", TextTable::Align::right);
  table.add_column("state", TextTable::Align::left);
  for (const char* head : {"cpu", "pid", "up", "restarts"})
    table.add_column(head, TextTable::Align::right);
  table.add_column("bundle", TextTable::Align::left);
  for (const char* head :
       {"hunts/s", "hunts", "on owner", "connections", "workers", "queue", "outbox"})
    table.add_column(head, TextTable::Align::right);
  table.add_column("redis", TextTable::Align::left);
  Activity const activity = activity_between(before, now);
  for (size_t i = 0; i < now.cores.size(); ++i) {
    std::optional<double> rate;
    if (activity.seconds > 0) rate = rate_of(activity.cores[i], "huntd_hunts_total");
    table.add_row(row_of(now.cores[i], now, rate));
  }
  return table.str();
}

// The servers that the cores use: one, unless the address leads to several.
std::set<std::string> redis_servers(const Status& now) {
  std::set<std::string> servers;
  for (const CoreStatus& core : now.cores)
    if (!core.redis_server.empty())
      servers.insert(fmt::format("{} at {}", core.redis_server, core.redis_address));
  return servers;
}

// A line for the newest reload, and one if the check of another one runs. Empty before the first.
std::string reload_text(const Status& now) {
  const auto& reload = now.reload;
  std::string text;
  if (reload.runs)
    text = fmt::format("\na reload is being checked{}{}", reload.progress.empty() ? "" : ": ",
                       reload.progress);
  std::string const ago = span_text(now.taken_at_ms - reload.at_ms);
  if (reload.result == "applied") text += fmt::format("\nreloaded {} ago", ago);
  if (reload.result == "rejected")
    text += fmt::format(
        "\n{} {} ago; huntd serves the {} scripts:\n{}",
        reload.of_start ? "hunts.dir was rejected at the start" : "the newest reload was rejected",
        ago, reload.serves_saved ? "saved" : "previous", reload.error);
  if (!reload.waiting_keys.empty())
    text += fmt::format("\na restart has yet to apply: {}", join_texts(reload.waiting_keys, ", "));
  return text;
}

struct Sample {
  std::string json;  // the object of /status.json
  Status status;
  Health health;

  int exit_code() const { return health.well() ? exit_ok : exit_failure; }
};

Result<Sample> take_sample(const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/status.json");
  if (!json) return json.error();
  Result<std::string> object = object_of(*json, "status.json");
  if (!object) return object.error();
  // Another server than huntd may respond with an object too.
  Result<Status> status = read_status(*json);
  if (!status) return status.error();
  Result<Health> health = read_health(address);
  if (!health) return health.error();
  return Sample{std::move(*object), std::move(*status), std::move(*health)};
}

// Why huntd is not well. REQUIRES: it is not.
std::string complaint_of(const Health& health) {
  return fmt::format("huntd is {}: {}", health.unhealthy.empty() ? "not ready" : "stalled",
                     join_texts(health.reasons(), "; "));
}

// The members of /status.json, and `healthy`, `ready`, `reasons` and `degraded`.
std::string json_of(const Sample& sample) {
  std::string object = sample.json;
  add_member(object, "healthy", sample.health.unhealthy.empty() ? "true" : "false");
  add_member(object, "ready", sample.health.not_ready.empty() ? "true" : "false");
  add_member(object, "reasons", json_array(sample.health.reasons()));
  add_member(object, "degraded", json_array(degradations(sample.status)));
  return object;
}

int print_json(const std::string& address) {
  Result<Sample> const sample = take_sample(address);
  if (!sample) return fail(sample.error());
  print_object(json_of(*sample));
  return sample->health.well() ? exit_ok : fail(complaint_of(sample->health));
}

std::string text_of(const Status& before, const Sample& sample) {
  const Status& now = sample.status;
  const Health& health = sample.health;
  std::vector<std::string> const degraded = degradations(now);
  std::string text = fmt::format(
      "huntd {}, process {}, {} cores, up {}, {}, {}{}\n\n", now.version, now.pid, now.cores.size(),
      span_text(now.taken_at_ms - now.started_at_ms),
      health.unhealthy.empty() ? "healthy" : "stalled",
      health.not_ready.empty() ? "ready" : "not ready", degraded.empty() ? "" : ", degraded");
  text += table(before, now);
  for (const std::string& server : redis_servers(now)) text += fmt::format("\n{}", server);
  text += reload_text(now);
  for (const std::string& reason : health.reasons()) text += fmt::format("\n{}", reason);
  for (const std::string& line : degraded) text += fmt::format("\n{}", line);
  if (!text.ends_with('\n')) text += '\n';
  return text;
}

// One object of --json, which says for itself what is not well.
std::string line_of(const Result<Sample>& sample, int exit_code) {
  std::string object = sample ? json_of(*sample) : "{}";
  if (exit_code == exit_ok) return object;
  add_member(object, "error",
             json_string(sample ? complaint_of(sample->health) : sample.error().message));
  add_member(object, "exit_code", std::to_string(exit_code));
  return object;
}

// Prints one of the blocks of --watch. Returns the exit code if the reader has gone.
std::optional<int> show(const Status& before, const Result<Sample>& sample, int exit_code,
                        bool json) {
  if (json) return print_object_line(line_of(sample, exit_code));
  std::string const text =
      fmt::format("{}\n{}\n", utc_text(wall_ms()),
                  sample ? text_of(before, *sample) : "huntctl: " + sample.error().message + "\n");
  print(draws_in_place() ? drawn_in_place(text, terminal_size().rows) : text);
  return flush_output();
}

int watch(const Options& options, const std::string& address, bool json) {
  Interrupt interrupt;
  Result<Sample> before = take_sample(address);
  if (!before) return fail(before.error());  // later ones are shown: huntd may be restarted
  auto const period_ms = static_cast<int64_t>(options.watch_s * 1000);
  int exit_code = exit_ok;
  for (uint64_t shown = 0; options.count == 0 || shown < options.count; ++shown) {
    // The first block needs two samples, which need not be as far apart as the others.
    if (interrupt.pause(shown == 0 ? std::min(rate_period_ms, period_ms) : period_ms))
      return exit_ok;
    Result<Sample> now = take_sample(address);
    exit_code = now ? now->exit_code() : exit_code_of(now.error());
    if (std::optional<int> const gone = show(before->status, now, exit_code, json)) return *gone;
    if (now) before = std::move(now);
  }
  return exit_code;
}

int status(const Options& options, const Context& context) {
  if (options.count > 0 && options.watch_s == 0) return fail_usage("--count needs --watch");
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  if (options.watch_s > 0) return watch(options, *address, context.json);
  if (context.json) return print_json(*address);
  Result<Sample> const before = take_sample(*address);
  if (!before) return fail(before.error());
  pause_command(rate_period_ms);
  Result<Sample> const now = take_sample(*address);
  if (!now) return fail(now.error());
  print(text_of(before->status, *now));
  return now->exit_code();
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "status", "Print the cores, their state and rates (exit 1: huntd is not healthy)");
  add_admin_option(*command, options->admin);
  add_period_option(*command, "--watch", options->watch_s,
                    "Repeat every SECONDS (without a number: 2), until Ctrl-C")
      ->expected(0, 1)
      ->default_str("2");
  add_count_option(*command, options->count, "With --watch: end after N times");
  set_body(*command, context, options, &status);
}

}  // namespace huntd::huntctl
