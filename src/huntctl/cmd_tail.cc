// SPDX-License-Identifier: Apache-2.0
// huntctl tail: follows what a hunt writes by hunt.log, and why its runs fail.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/utf8.h"
#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/interrupt.h"
#include "huntctl/json_response.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;

// Often enough that a core, which keeps hunt_lines_max lines, has not replaced them.
constexpr int64_t poll_every_ms = 500;

struct Options {
  std::string hunt;
  std::string admin;
  uint64_t count = 0;  // 0: any number
  double for_s = 0;    // 0: until Ctrl-C
};

struct Line {
  int64_t at_ms = 0;
  std::string kind;
  std::string hunter_id;
  std::string request_id;
  std::string text;
  std::string json;
};

// How far each core has been read. A huntd that was started again counts from 0.
struct Position {
  int64_t started_at_ms = -1;
  std::map<uint64_t, uint64_t> next;  // by core
};

struct Taken {
  std::vector<Line> lines;  // of the hunt, the oldest first
  uint64_t missed = 0;      // of all hunts, which huntd had replaced
};

std::string text_at(const element& from, const char* name) {
  return std::string(std::string_view(from[name]));
}

void take_core(const element& core, const std::string& hunt, Position& position, Taken& taken) {
  uint64_t const number = uint64_t(core["core"]);
  uint64_t const added = uint64_t(core["added"]);
  auto const [at, is_new] = position.next.try_emplace(number, added);
  uint64_t expected = is_new ? added : at->second;
  for (element const entry : array(core["lines"])) {
    uint64_t const line_number = uint64_t(entry.at(0));
    if (line_number < at->second) continue;
    taken.missed += line_number - expected;
    expected = line_number + 1;
    element const line = entry.at(1);
    if (line.is_null()) {
      ++taken.missed;
      continue;
    }
    if (text_at(line, "hunt_id") != hunt) continue;
    taken.lines.push_back({int64_t(line["at_ms"]), text_at(line, "kind"),
                           text_at(line, "hunter_id"), text_at(line, "request_id"),
                           text_at(line, "text"), simdjson::minify(line)});
  }
  at->second = added;
}

Result<Taken> take(const std::string& address, const std::string& hunt, Position& position) {
  Result<std::string> const json = get_from_admin_port(address, "/lines.json");
  if (!json) return json.error();
  return parse_response(*json, "lines.json", [&](element document) -> Result<Taken> {
    if (!bool(document["shown"]))
      return Error{
          "huntd does not show lines: other hosts can reach its admin port, and they have the names of "
          "hunters (admin.listen)"};
    int64_t const started_at_ms = int64_t(document["started_at_ms"]);
    bool const restarted = position.started_at_ms != -1 && position.started_at_ms != started_at_ms;
    position.started_at_ms = started_at_ms;
    if (restarted)
      for (auto& [core, next] : position.next) next = 0;
    Taken taken;
    for (element const core : array(document["cores"])) take_core(core, hunt, position, taken);
    std::stable_sort(taken.lines.begin(), taken.lines.end(),
                     [](const Line& a, const Line& b) { return a.at_ms < b.at_ms; });
    return taken;
  });
}

// Returns the exit code if the reader has gone.
std::optional<int> show(const Line& line, bool json) {
  if (json) return print_object_line(line.json);
  print(fmt::format("{} {} {} {}{}\n", utc_text(line.at_ms), printable(line.hunter_id),
                    line.request_id, line.kind == "error" ? "FAILED " : "", printable(line.text)));
  return flush_output();
}

int tail(const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Interrupt interrupt;
  Position position;
  // Lines from now on. A huntd that cannot be reached now is an error; later it may be restarted.
  if (Result<Taken> const first = take(*address, options.hunt, position); !first)
    return fail(first.error());
  uint64_t shown = 0;
  bool lost = false;
  int64_t const end_ms = monotonic_ms() + static_cast<int64_t>(options.for_s * 1000);
  while (!interrupt.pause(poll_every_ms)) {
    Result<Taken> const taken = take(*address, options.hunt, position);
    if (!taken && !lost) print_note("huntctl: " + taken.error().message + "\n");
    lost = !taken;
    if (!taken) continue;
    if (taken->missed > 0)
      print_note(fmt::format("huntctl: {} lines were replaced before they could be read\n",
                             count_text(taken->missed)));
    for (const Line& line : taken->lines) {
      if (std::optional<int> const gone = show(line, context.json)) return *gone;
      if (++shown == options.count) return exit_ok;
    }
    if (options.for_s > 0 && monotonic_ms() >= end_ms) break;
  }
  // With lines, each of them is the object.
  if (shown == 0)
    print_object(fmt::format(R"({{"hunt":{},"lines":0}})", json_string(options.hunt)));
  return exit_ok;
}

}  // namespace

void add_tail(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("tail", "Follow what a hunt logs and why its runs fail, until Ctrl-C");
  command->add_option("HUNT", options->hunt, "The hunt")->required();
  add_count_option(*command, options->count, "End after N lines");
  add_period_option(*command, "--for", options->for_s, "End after SECONDS");
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &tail);
}

}  // namespace huntd::huntctl
