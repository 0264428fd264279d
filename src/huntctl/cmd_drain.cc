// SPDX-License-Identifier: Apache-2.0
// huntctl drain, huntctl undrain: huntd says that it is not ready, so that it gets no new traffic,
// and serves on; and the reverse. By a signal to the parent.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <thread>

#include "base/clock.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/parent_process.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;

constexpr auto poll_period = std::chrono::milliseconds(20);

struct Options {
  std::string admin;
  const char* wanted = "";  // the state of the host, as in /status.json
  int signal_number = 0;
  const char* done = "";  // for people
};

struct Host {
  uint64_t pid = 0;
  uint64_t start_ticks = 0;
  std::string state;
  uint64_t connections = 0;
};

Result<Host> read_host(const std::string& address) {
  Result<std::string> const json = get_from_admin_port(address, "/status.json");
  if (!json) return json.error();
  return parse_response(*json, "status.json", [](element document) -> Result<Host> {
    Host host;
    host.pid = uint64_t(document["pid"]);
    host.start_ticks = uint64_t(document["start_ticks"]);
    host.state = std::string_view(document["host"]);
    for (element const core : array(document["cores"]))
      host.connections += uint64_t(core["gauges"]["huntd_connections_open"]);
    return host;
  });
}

int report(const Options& options, const Host& host, bool changed) {
  print_object(fmt::format(R"({{"host":"{}","changed":{},"pid":{},"connections":{}}})", host.state,
                           changed, host.pid, host.connections));
  print(fmt::format("{}{}; open connections: {}\n", changed ? "" : "nothing to do: ", options.done,
                    host.connections));
  return exit_ok;
}

int run(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<Host> host = read_host(*address);
  if (!host) return fail(host.error());
  if (host->state == options.wanted) return report(options, *host, false);
  if (host->state == "stopping") return fail("huntd is stopping");
  Result<ParentProcess> const parent = ParentProcess::find(host->pid, host->start_ticks);
  if (!parent) return fail(parent.error());
  if (Result<void> const sent = parent->signal(options.signal_number); !sent)
    return fail(sent.error());

  PeerCall const waiting(fmt::format("huntd, process {}", parent->pid()));
  int64_t const timeout_ms = answer_timeout_ms();
  int64_t const until_ms = monotonic_ms() + timeout_ms;
  while (host->state != options.wanted) {
    if (host->state == "stopping") return fail("huntd is stopping");
    if (monotonic_ms() >= until_ms)
      return fail_unreachable(
          fmt::format("huntd, process {}, has not acted on the signal within {}", parent->pid(),
                      seconds_text(timeout_ms)));
    std::this_thread::sleep_for(poll_period);
    host = read_host(*address);
    if (!host) return fail(host.error());
  }
  return report(options, *host, true);
}

void add(CLI::App& app, Context& context, const char* name, const char* help, Options of_command) {
  auto const options = std::make_shared<Options>(std::move(of_command));
  CLI::App* const command = app.add_subcommand(name, help);
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &run);
}

}  // namespace

void add_drain(CLI::App& app, Context& context) {
  add(app, context, "drain",
      "Make huntd say that it is not ready, while it serves on (on its host)",
      {"", "drained", SIGUSR1, "drained: /readyz says 503, and requests are served on"});
  add(app, context, "undrain", "End `huntctl drain` (on huntd's host)",
      {"", "serving", SIGUSR2, "no longer drained"});
}

}  // namespace huntd::huntctl
