// SPDX-License-Identifier: Apache-2.0
// huntctl status: prints the cores, and whether huntd is healthy.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/format_text.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/health_call.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr int64_t rate_period_ms = 1000;

struct Options {
  std::string admin;
};

struct CoreStatus {
  uint64_t core = 0;
  std::string state;
  uint64_t pid = 0;
  uint64_t cpu = 0;
  int64_t started_at_ms = 0;
  uint64_t restarts = 0;
  std::string bundle;
  std::string redis_server;
  std::string redis_address;
  std::string kafka_reason;  // why Kafka takes no events
  uint64_t hunts = 0;
  uint64_t hunts_on_owner = 0;
  std::map<std::string, uint64_t> gauges;
};

struct Status {
  std::string version;
  int64_t started_at_ms = 0;
  int64_t taken_at_ms = 0;
  uint64_t pid = 0;  // of the parent
  struct {
    bool runs = false;
    bool of_start = false;  // the result is that of the start
    std::string result;     // of the newest one
    int64_t at_ms = 0;
    std::string error;
    std::string progress;
    bool serves_saved = false;
  } reload;
  std::vector<CoreStatus> cores;
};

CoreStatus read_core(const element& core) {
  CoreStatus status;
  status.core = uint64_t(core["core"]);
  status.state = std::string_view(core["state"]);
  status.pid = uint64_t(core["pid"]);
  status.cpu = uint64_t(core["cpu"]);
  status.started_at_ms = int64_t(core["started_at_ms"]);
  status.restarts = uint64_t(core["restarts"]);
  status.bundle = std::string_view(core["bundle"]);
  status.redis_server = std::string_view(core["redis"]["server"]);
  status.redis_address = std::string_view(core["redis"]["address"]);
  status.kafka_reason = std::string_view(core["kafka"]["reason"]);
  for (auto const& [name, n] : object(core["counters"])) {
    if (name.starts_with("huntd_hunts_total{")) status.hunts += uint64_t(n);
    if (name == "huntd_hunts_owner_total") status.hunts_on_owner = uint64_t(n);
  }
  for (auto const& [name, n] : object(core["gauges"]))
    status.gauges[std::string(name)] = uint64_t(n);
  return status;
}

Result<Status> read_status(const std::string& json) {
  return parse_response(json, "status.json", [](element document) -> Result<Status> {
    Status status;
    status.version = std::string_view(document["version"]);
    status.started_at_ms = int64_t(document["started_at_ms"]);
    status.taken_at_ms = int64_t(document["taken_at_ms"]);
    status.pid = uint64_t(document["pid"]);
    element const reload = document["reload"];
    status.reload = {uint64_t(reload["started"]) > uint64_t(reload["finished"]),
                     uint64_t(reload["finished"]) == 0,
                     std::string(std::string_view(reload["result"])),
                     int64_t(reload["at_ms"]),
                     std::string(std::string_view(reload["error"])),
                     std::string(std::string_view(reload["progress"])),
                     bool(reload["serves_saved"])};
    for (element const core : array(document["cores"])) status.cores.push_back(read_core(core));
    return status;
  });
}

std::vector<std::string> row_of(CoreStatus core, const Status& now, std::optional<double> rate) {
  bool const runs = core.pid != 0;
  return {std::to_string(core.core),
          core.state,
          std::to_string(core.cpu),
          runs ? std::to_string(core.pid) : "-",
          runs ? span_text(now.taken_at_ms - core.started_at_ms) : "-",
          std::to_string(core.restarts),
          core.bundle.empty() ? "-" : core.bundle.substr(0, 12),
          rate ? fmt::format("{:.1f}", *rate) : "-",
          count_text(core.hunts),
          core.hunts == 0
              ? "-"
              : fmt::format("{:.2f} %", 100.0 * static_cast<double>(core.hunts_on_owner) /
                                            static_cast<double>(core.hunts)),
          count_text(core.gauges["huntd_connections_open"]),
          count_text(core.gauges["huntd_workers_live"]),
          count_text(core.gauges["huntd_queue_length"]),
          count_text(core.gauges["huntd_outbox_pending"]),
          core.gauges["huntd_redis_up"] == 1 ? "up" : "down"};
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
  double const seconds = static_cast<double>(now.taken_at_ms - before.taken_at_ms) / 1e3;
  for (size_t i = 0; i < now.cores.size(); ++i) {
    std::optional<double> rate;
    if (i < before.cores.size() && seconds > 0)
      rate = static_cast<double>(now.cores[i].hunts - before.cores[i].hunts) / seconds;
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
  return text;
}

// What is not as it should be although huntd is ready: no hunter notices it.
std::vector<std::string> degradations(const Status& now) {
  std::map<std::string, std::string> cores;  // by reason
  uint64_t waiting = 0;
  for (const CoreStatus& core : now.cores) {
    if (core.gauges.contains("huntd_outbox_pending"))
      waiting += core.gauges.at("huntd_outbox_pending");
    if (core.kafka_reason.empty()) continue;
    std::string& names = cores[core.kafka_reason];
    names += fmt::format("{}{}", names.empty() ? "" : ", ", core.core);
  }
  std::vector<std::string> found;
  for (const auto& [reason, names] : cores)
    found.push_back(fmt::format("Kafka takes no events of core {}: {}", names, reason));
  if (!found.empty())
    found.push_back(fmt::format(
        "no loot is lost: events wait in the outbox until Kafka takes them (at the last count {})",
        waiting));
  return found;
}

std::string quoted_list(const std::vector<std::string>& texts) {
  std::string list;
  for (const std::string& text : texts) list += (list.empty() ? "" : ",") + json_string(text);
  return "[" + list + "]";
}

struct Health {
  std::vector<std::string> unhealthy;  // why; empty if huntd is healthy
  std::vector<std::string> not_ready;

  bool well() const { return unhealthy.empty() && not_ready.empty(); }
  std::vector<std::string> reasons() const {
    std::vector<std::string> all = unhealthy;
    for (const std::string& reason : not_ready)
      if (std::find(all.begin(), all.end(), reason) == all.end()) all.push_back(reason);
    return all;
  }
};

Result<Health> read_health(const std::string& address) {
  Result<std::vector<std::string>> unhealthy = health_reasons(address, "/healthz", "healthy");
  if (!unhealthy) return unhealthy.error();
  Result<std::vector<std::string>> not_ready = health_reasons(address, "/readyz", "ready");
  if (!not_ready) return not_ready.error();
  return Health{std::move(*unhealthy), std::move(*not_ready)};
}

// Prints the members of /status.json, and `healthy`, `ready`, `reasons` and `degraded`.
int print_json(const std::string& address, const std::string& status_json) {
  Result<std::string> object = object_of(status_json, "status.json");
  if (!object) return fail(object.error());
  // Another server than huntd may respond with an object too.
  Result<Status> const status = read_status(status_json);
  if (!status) return fail(status.error());
  Result<Health> const health = read_health(address);
  if (!health) return fail(health.error());
  add_member(*object, "healthy", health->unhealthy.empty() ? "true" : "false");
  add_member(*object, "ready", health->not_ready.empty() ? "true" : "false");
  add_member(*object, "reasons", quoted_list(health->reasons()));
  add_member(*object, "degraded", quoted_list(degradations(*status)));
  print_object(std::move(*object));
  if (health->well()) return exit_ok;
  return fail(fmt::format("huntd is {}: {}", health->unhealthy.empty() ? "not ready" : "stalled",
                          join_texts(health->reasons(), "; ")));
}

int status(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<std::string> const first = get_from_admin_port(*address, "/status.json");
  if (!first) return fail(first.error());
  if (context.json) return print_json(*address, *first);
  pause_command(rate_period_ms);
  Result<std::string> const second = get_from_admin_port(*address, "/status.json");
  if (!second) return fail(second.error());
  Result<Status> const before = read_status(*first);
  if (!before) return fail(before.error());
  Result<Status> const now = read_status(*second);
  if (!now) return fail(now.error());
  Result<Health> const health = read_health(*address);
  if (!health) return fail(health.error());

  std::vector<std::string> const degraded = degradations(*now);
  std::string text = fmt::format(
      "huntd {}, process {}, {} cores, up {}, {}, {}{}\n\n", now->version, now->pid,
      now->cores.size(), span_text(now->taken_at_ms - now->started_at_ms),
      health->unhealthy.empty() ? "healthy" : "stalled",
      health->not_ready.empty() ? "ready" : "not ready", degraded.empty() ? "" : ", degraded");
  text += table(*before, *now);
  for (const std::string& server : redis_servers(*now)) text += fmt::format("\n{}", server);
  text += reload_text(*now);
  for (const std::string& reason : health->reasons()) text += fmt::format("\n{}", reason);
  for (const std::string& line : degraded) text += fmt::format("\n{}", line);
  if (!text.ends_with('\n')) text += '\n';
  print(text);
  return health->well() ? exit_ok : exit_failure;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "status", "Print the cores, their state and rates (exit 1: huntd is not healthy)");
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &status);
}

}  // namespace huntd::huntctl
