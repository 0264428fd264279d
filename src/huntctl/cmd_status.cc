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
  uint64_t hunts = 0;
  uint64_t hunts_on_owner = 0;
  std::map<std::string, uint64_t> gauges;
};

struct Status {
  std::string version;
  int64_t started_at_ms = 0;
  int64_t taken_at_ms = 0;
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
    for (element const core : array(document["cores"])) status.cores.push_back(read_core(core));
    return status;
  });
}

// Returns the reasons that /healthz or /readyz gives; none if it responds with 200 and `member` is
// true.
Result<std::vector<std::string>> complaints(const std::string& address, const char* path,
                                            const char* member) {
  using Reasons = std::vector<std::string>;
  Result<HttpResponse> const response = http_get(address, admin_port, path);
  if (!response) return response.error();
  return parse_response(response->body, path, [&](element document) -> Result<Reasons> {
    Reasons reasons;
    for (element const reason : array(document["reasons"]))
      reasons.emplace_back(std::string_view(reason["reason"]));
    bool const good = bool(document[member]) && response->status == 200;
    if (!good && reasons.empty())
      reasons.push_back(
          fmt::format("{} responds with status {} and without a reason", path, response->status));
    return reasons;
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
    if (!core.redis_server.empty()) servers.insert(core.redis_server);
  return servers;
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
  Result<std::vector<std::string>> unhealthy = complaints(address, "/healthz", "healthy");
  if (!unhealthy) return unhealthy.error();
  Result<std::vector<std::string>> not_ready = complaints(address, "/readyz", "ready");
  if (!not_ready) return not_ready.error();
  return Health{std::move(*unhealthy), std::move(*not_ready)};
}

// Prints the members of /status.json, and `healthy`, `ready` and `reasons`.
int print_json(const std::string& address, const std::string& status_json) {
  Result<std::string> object = object_of(status_json, "status.json");
  if (!object) return fail(object.error());
  // Another server than huntd may respond with an object too.
  if (Result<Status> const readable = read_status(status_json); !readable)
    return fail(readable.error());
  Result<Health> const health = read_health(address);
  if (!health) return fail(health.error());
  add_member(*object, "healthy", health->unhealthy.empty() ? "true" : "false");
  add_member(*object, "ready", health->not_ready.empty() ? "true" : "false");
  std::string reasons = "[";
  for (const std::string& reason : health->reasons()) {
    if (reasons.size() > 1) reasons += ',';
    reasons += json_string(reason);
  }
  add_member(*object, "reasons", reasons + "]");
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

  std::string text =
      fmt::format("huntd {}, {} cores, up {}, {}, {}\n\n", now->version, now->cores.size(),
                  span_text(now->taken_at_ms - now->started_at_ms),
                  health->unhealthy.empty() ? "healthy" : "stalled",
                  health->not_ready.empty() ? "ready" : "not ready");
  text += table(*before, *now);
  for (const std::string& server : redis_servers(*now)) text += fmt::format("\n{}", server);
  for (const std::string& reason : health->reasons()) text += fmt::format("\n{}", reason);
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
