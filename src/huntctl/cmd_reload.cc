// SPDX-License-Identifier: Apache-2.0
// huntctl reload: makes huntd read its config and scripts again, and waits for the result.
#include <fmt/format.h>
#include <signal.h>
#include <simdjson.h>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/format_text.h"
#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/parent_process.h"
#include "huntctl/progress.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::element;

constexpr int64_t poll_every_ms = 100;
// From the signal to the start of the check, which is at once unless the parent is stopped.
constexpr int64_t start_wait_ms = 30'000;

struct Options {
  std::string admin;
  uint64_t pid = 0;  // 0: that of the admin port
};

// What /status.json says of the parent and of the newest reload.
struct Status {
  uint64_t pid = 0;
  uint64_t start_ticks = 0;
  uint64_t started = 0;
  uint64_t finished = 0;
  std::string result;
  std::string bundle;
  std::string error;
  std::string progress;
  std::vector<std::string> waiting_keys;
};

Result<Status> read_status(const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/status.json");
  if (!json) return json.error();
  return parse_response(*json, "status.json", [](element document) -> Result<Status> {
    Status status;
    status.pid = uint64_t(document["pid"]);
    status.start_ticks = uint64_t(document["start_ticks"]);
    element const reload = document["reload"];
    status.started = uint64_t(reload["started"]);
    status.finished = uint64_t(reload["finished"]);
    status.result = std::string_view(reload["result"]);
    status.bundle = std::string_view(reload["bundle"]);
    status.error = std::string_view(reload["error"]);
    status.progress = std::string_view(reload["progress"]);
    status.waiting_keys = texts_of(reload, "waiting_keys");
    return status;
  });
}

Result<void> signal_parent(const Options& options, const Status& before) {
  if (options.pid != 0 && options.pid != before.pid)
    return Error{fmt::format("the admin port is that of process {}, not of {} (--pid)", before.pid,
                             options.pid),
                 ErrorKind::usage};
  Result<ParentProcess> const parent = ParentProcess::find(before.pid, before.start_ticks);
  if (!parent) return parent.error();
  return parent->signal(SIGHUP);
}

// Waits until a check that started after `before` has ended.
Result<Status> wait_for_result(const std::string& address, const Status& before) {
  PeerCall const waiting("the check of huntd");
  Progress progress("reload");
  int64_t const started_ms = monotonic_ms();
  for (;;) {
    Result<Status> now = read_status(address);
    if (!now) return now.error();
    if (now->pid != before.pid || now->start_ticks != before.start_ticks)
      return Error{"huntd was restarted meanwhile", ErrorKind::unreachable};
    if (now->finished > before.started) return now;
    if (now->started <= before.finished && monotonic_ms() - started_ms > start_wait_ms)
      return Error{fmt::format("huntd, process {}, does not react to SIGHUP", before.pid),
                   ErrorKind::unreachable};
    progress.say(now->progress.empty() ? "waiting" : now->progress);
    std::this_thread::sleep_for(std::chrono::milliseconds(poll_every_ms));
  }
}

// Whether the scripts are those that were deployed, so that hunts.dir was not read.
Result<bool> serves_deployed(const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/bundles.json");
  if (!json) return json.error();
  return parse_response(*json, "bundles.json", [](element document) -> Result<bool> {
    return bool(document["deployed"]);
  });
}

int reload(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<Status> const before = read_status(*address);
  if (!before) return fail(before.error());
  if (Result<void> const sent = signal_parent(options, *before); !sent) return fail(sent.error());
  int64_t const started_ms = monotonic_ms();
  Result<Status> const after = wait_for_result(*address, *before);
  if (!after) return fail(after.error());
  Result<bool> const deployed = serves_deployed(*address);
  if (!deployed) return fail(deployed.error());
  print_object(fmt::format(
      R"({{"result":{},"bundle":{},"deployed":{},"waiting_keys":{},"reload":{},"took_ms":{}}})",
      json_string(after->result), json_string(after->bundle), *deployed,
      json_array(after->waiting_keys), json_number(after->finished), monotonic_ms() - started_ms));
  if (*deployed)
    print_note(
        "hunts.dir was not read: a deployed bundle is live (`huntctl bundles`), and `huntctl deploy "
        "--hunts-dir` ends that\n");
  if (after->result != "applied") return fail("the reload was rejected: " + after->error);
  print(fmt::format("reloaded: bundle {}\n", after->bundle));
  if (!after->waiting_keys.empty())
    print_note(
        fmt::format("a restart has yet to apply: {}\n", join_texts(after->waiting_keys, ", ")));
  return exit_ok;
}

}  // namespace

void add_reload(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "reload",
      "Make huntd read its config and scripts again, and wait for the result (exit 1: rejected)");
  add_admin_option(*command, options->admin);
  command->add_option("--pid", options->pid, "Fail unless huntd is this process ($MAINPID)");
  set_body(*command, context, options, &reload);
}

}  // namespace huntd::huntctl
