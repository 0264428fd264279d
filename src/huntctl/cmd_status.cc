// huntctl status: the cores, and whether they are well.
#include <fmt/format.h>
#include <simdjson.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr const char* admin_port = "admin port (--admin)";
constexpr std::chrono::seconds rate_period{1};

struct Options {
  std::string admin;
  bool json = false;
};

struct CoreStatus {
  uint64_t core = 0;
  std::string state;
  uint64_t pid = 0;
  uint64_t cpu = 0;
  int64_t started_at_ms = 0;
  uint64_t restarts = 0;
  std::string bundle;
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
  for (auto const& [name, n] : object(core["counters"])) {
    if (name.starts_with("huntd_hunts_total{")) status.hunts += uint64_t(n);
    if (name == "huntd_hunts_owner_total") status.hunts_on_owner = uint64_t(n);
  }
  for (auto const& [name, n] : object(core["gauges"]))
    status.gauges[std::string(name)] = uint64_t(n);
  return status;
}

Result<Status> read_status(const std::string& json) {
  try {
    simdjson::dom::parser parser;
    element const document = parser.parse(json);
    Status status;
    status.version = std::string_view(document["version"]);
    status.started_at_ms = int64_t(document["started_at_ms"]);
    status.taken_at_ms = int64_t(document["taken_at_ms"]);
    for (element const core : array(document["cores"])) status.cores.push_back(read_core(core));
    return status;
  } catch (const simdjson::simdjson_error& error) {
    return Error{
        fmt::format("the answer is no status.json of this huntctl's version: {}", error.what())};
  }
}

Result<std::string> get_status(const std::string& address) {
  Result<HttpAnswer> const answer = http_get(address, admin_port, "/status.json");
  if (!answer) return answer.error();
  if (answer->status != 200)
    return Error{fmt::format("{} answers /status.json with {}: is it huntd's admin port?", address,
                             answer->status)};
  return answer->body;
}

// What /healthz or /readyz complains of; empty where all is well.
Result<std::vector<std::string>> complaints(const std::string& address, const char* path) {
  Result<HttpAnswer> const answer = http_get(address, admin_port, path);
  if (!answer) return answer.error();
  std::vector<std::string> reasons;
  if (answer->status == 200) return reasons;
  try {
    simdjson::dom::parser parser;
    for (element const reason : array(parser.parse(answer->body)["reasons"]))
      reasons.emplace_back(std::string_view(reason["reason"]));
  } catch (const simdjson::simdjson_error&) {
    return Error{fmt::format("{} answers {} with {}", address, path, answer->status)};
  }
  return reasons;
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
    CoreStatus core = now.cores[i];
    bool const has_rate = i < before.cores.size() && seconds > 0;
    double const rate =
        has_rate ? static_cast<double>(core.hunts - before.cores[i].hunts) / seconds : 0;
    table.add_row({std::to_string(core.core), core.state, std::to_string(core.cpu),
                   core.pid == 0 ? "-" : std::to_string(core.pid),
                   core.pid == 0 ? "-" : span_text(now.taken_at_ms - core.started_at_ms),
                   std::to_string(core.restarts),
                   core.bundle.empty() ? "-" : core.bundle.substr(0, 12),
                   has_rate ? fmt::format("{:.1f}", rate) : "-", count_text(core.hunts),
                   core.hunts == 0
                       ? "-"
                       : fmt::format("{:.2f} %", 100.0 * static_cast<double>(core.hunts_on_owner) /
                                                     static_cast<double>(core.hunts)),
                   count_text(core.gauges["huntd_connections_open"]),
                   count_text(core.gauges["huntd_workers_live"]),
                   count_text(core.gauges["huntd_queue_length"]),
                   count_text(core.gauges["huntd_outbox_pending"]),
                   core.gauges["huntd_redis_up"] == 1 ? "up" : "away"});
  }
  return table.str();
}

int status(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error().message);
  std::string const address =
      options.admin.empty() ? callable_address(config->admin.listen) : options.admin;

  Result<std::string> const first = get_status(address);
  if (!first) return fail(first.error().message);
  if (options.json) {
    std::fputs(first->c_str(), stdout);
    return exit_ok;
  }
  std::this_thread::sleep_for(rate_period);
  Result<std::string> const second = get_status(address);
  if (!second) return fail(second.error().message);
  Result<Status> const before = read_status(*first);
  if (!before) return fail(before.error().message);
  Result<Status> const now = read_status(*second);
  if (!now) return fail(now.error().message);
  Result<std::vector<std::string>> const stalls = complaints(address, "/healthz");
  if (!stalls) return fail(stalls.error().message);
  Result<std::vector<std::string>> const waits = complaints(address, "/readyz");
  if (!waits) return fail(waits.error().message);

  std::string text =
      fmt::format("huntd {}, {} cores, up {}, {}, {}\n\n", now->version, now->cores.size(),
                  span_text(now->taken_at_ms - now->started_at_ms),
                  stalls->empty() ? "healthy" : "stalled", waits->empty() ? "ready" : "not ready");
  text += table(*before, *now);
  for (const auto* reasons : {&*stalls, &*waits})
    for (const std::string& reason : *reasons) text += fmt::format("\n{}", reason);
  if (!stalls->empty() || !waits->empty()) text += '\n';
  std::fputs(text.c_str(), stdout);
  return stalls->empty() && waits->empty() ? exit_ok : exit_failure;
}

}  // namespace

void add_status(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "status", "The cores, what they do, and whether they are well (exit 1: they are not)");
  command->add_option("--admin", options->admin,
                      "Admin address, host:port (default: admin.listen)");
  command->add_flag("--json", options->json, "As /status.json gives it");
  command->callback([options, &context] {
    context.run = [options, &context] { return status(*options, context); };
  });
}

}  // namespace huntd::huntctl
