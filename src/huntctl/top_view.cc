// SPDX-License-Identifier: Apache-2.0
#include "huntctl/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <string_view>
#include <utility>

#include "huntctl/latency_interval.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using Lines = std::vector<std::string>;

constexpr size_t hottest_hunts_max = 10;  // that are shown
constexpr size_t hunt_name_columns_min = 8;

// A column of a table, which is left out in a narrow terminal if its rank is high.
struct Column {
  const char* head;
  TextTable::Align align;
  int rank;
  std::vector<std::string> cells;
};

size_t width_of(const Column& column) {
  size_t width = columns_of(column.head);
  for (const std::string& cell : column.cells) width = std::max(width, columns_of(cell));
  return width;
}

void append_table(Lines& lines, std::vector<Column> columns, size_t width) {
  auto const too_wide = [&] {
    size_t sum = 2 * (columns.size() - 1);
    for (const Column& column : columns) sum += width_of(column);
    return sum > width;
  };
  while (columns.size() > 1 && too_wide())
    columns.erase(std::max_element(columns.begin(), columns.end(),
                                   [](auto const& a, auto const& b) { return a.rank < b.rank; }));
  TextTable table;
  for (const Column& column : columns) table.add_column(column.head, column.align);
  for (size_t row = 0; row < columns.front().cells.size(); ++row) {
    std::vector<std::string> cells;
    for (const Column& column : columns) cells.push_back(column.cells[row]);
    table.add_row(std::move(cells));
  }
  std::string const text = table.str();
  for (size_t at = 0; at < text.size();) {
    size_t const end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
}

// The items with two spaces between, on as many lines as they need.
void append_items(Lines& lines, const std::vector<std::string>& items, size_t width) {
  std::string line;
  for (const std::string& item : items) {
    if (!line.empty() && columns_of(line) + 2 + columns_of(item) > width)
      lines.push_back(std::exchange(line, {}));
    line += (line.empty() ? "" : "  ") + item;
  }
  if (!line.empty()) lines.push_back(std::move(line));
}

// The first `columns` columns of a text without escape sequences.
std::string cut(std::string_view text, size_t columns) {
  size_t end = 0;
  for (size_t seen = 0; end < text.size(); ++end) {
    bool const starts = (static_cast<unsigned char>(text[end]) & 0xc0) != 0x80;
    if (starts && seen++ == columns) break;
  }
  return std::string(text.substr(0, end));
}

std::string rate_text(double rate) {
  return rate >= 1000 ? count_text(static_cast<uint64_t>(rate + 0.5)) : fmt::format("{:.1f}", rate);
}

std::string rate_or_dash(const Activity& activity, const Rates& rates, std::string_view metric) {
  return activity.seconds > 0 ? rate_text(rate_of(rates, metric)) : "-";
}

uint64_t sum_of_gauge(const Status& status, std::string_view gauge) {
  uint64_t sum = 0;
  for (const CoreStatus& core : status.cores) sum += core.gauge(gauge);
  return sum;
}

bool up_on_all(const Status& status, std::string_view gauge) {
  return std::all_of(status.cores.begin(), status.cores.end(),
                     [&](const CoreStatus& core) { return core.gauge(gauge) == 1; });
}

std::string mib_text(uint64_t bytes) { return count_text(bytes >> 20) + " MiB"; }

std::string redis_text(const Status& status) {
  uint64_t used = 0;
  uint64_t limit = 0;
  for (const CoreStatus& core : status.cores) {
    used = std::max(used, core.gauge("huntd_redis_memory_used_bytes"));
    limit = std::max(limit, core.gauge("huntd_redis_memory_max_bytes"));
  }
  return fmt::format("Redis {}, {}{}", up_on_all(status, "huntd_redis_up") ? "up" : "DOWN",
                     mib_text(used), limit > 0 ? " of " + mib_text(limit) : "");
}

// The first line, for a title.
std::string host_line(const TopFrame& frame) {
  const Status& status = frame.now.status;
  const Health& health = frame.now.health;
  return fmt::format("huntd {}  {}, {}  up {}  {}", status.version,
                     health.unhealthy.empty() ? "healthy" : "stalled",
                     health.not_ready.empty() ? "ready" : "not ready",
                     span_text(status.taken_at_ms - status.started_at_ms),
                     utc_text(status.taken_at_ms));
}

void append_host(Lines& lines, const TopFrame& frame, size_t width) {
  const Status& status = frame.now.status;
  const Activity& activity = frame.activity;
  auto const rate = [&](std::string_view metric) {
    return rate_or_dash(activity, activity.all, metric);
  };
  auto const gauge = [&](std::string_view name) { return count_text(sum_of_gauge(status, name)); };
  append_items(
      lines,
      {"hunts/s " + rate("huntd_hunts_total"), "requests/s " + rate("huntd_http_requests_total"),
       "5xx/s " + rate("huntd_http_requests_total{code=\"5xx\"}"),
       "connections " + gauge("huntd_connections_open"), "workers " + gauge("huntd_workers_live"),
       "queue " + gauge("huntd_queue_length")},
      width);
  append_items(
      lines,
      {"outbox " + gauge("huntd_outbox_pending"), redis_text(status),
       fmt::format("Kafka {}", up_on_all(status, "huntd_kafka_up") ? "up" : "DOWN"),
       "acknowledged/s " + rate("huntd_kafka_acked_total"),
       "in flight " + gauge("huntd_kafka_in_flight"), "awards/s " + rate("huntd_awards_total")},
      width);
}

// The outcomes that there were, the most frequent first.
void append_outcomes(Lines& lines, const Activity& activity, size_t width) {
  constexpr std::string_view before = "huntd_hunts_total{outcome=\"";
  std::vector<std::pair<double, std::string>> found;
  for (const auto& [name, rate] : activity.all)
    if (name.starts_with(before) && rate > 0)
      found.emplace_back(rate, name.substr(before.size(), name.rfind('"') - before.size()));
  std::stable_sort(found.begin(), found.end(), std::greater<>());
  std::vector<std::string> items = {"outcomes/s"};
  for (const auto& [rate, outcome] : found)
    items.push_back(fmt::format("{} {}", outcome, rate_text(rate)));
  if (found.empty()) items.emplace_back("-");
  append_items(lines, items, width);
}

double seconds_of(const LatencyReport& interval) {
  return static_cast<double>(interval.taken_at_ms - interval.from_ms) / 1e3;
}

void append_stages(Lines& lines, const LatencyReport& interval, size_t width) {
  using enum TextTable::Align;
  std::vector<Column> columns = {
      {"stage", left, 0, {}}, {"per s", right, 3, {}}, {"p50", right, 1, {}}, {"p90", right, 4, {}},
      {"p99", right, 2, {}},  {"p99.9", right, 6, {}}, {"max", right, 5, {}}};
  double const seconds = seconds_of(interval);
  for (const StageLatency& stage : interval.all.stages) {
    columns[0].cells.push_back(stage.stage);
    columns[1].cells.push_back(seconds > 0 ? rate_text(static_cast<double>(stage.count) / seconds)
                                           : "-");
    double const figures[] = {stage.p50_us, stage.p90_us, stage.p99_us, stage.p99_9_us,
                              stage.max_us};
    for (size_t i = 0; i < std::size(figures); ++i)
      columns[i + 2].cells.push_back(stage.count == 0 ? "-" : time_text(figures[i]));
  }
  append_table(lines, std::move(columns), width);
}

const StageLatency* stage_of(const LatencyReport& interval, uint64_t number,
                             std::string_view name) {
  for (const CoreLatency& core : interval.cores)
    if (core.core == number)
      for (const StageLatency& stage : core.stages)
        if (stage.stage == name) return &stage;
  return nullptr;
}

// The part of the interval that the core's loop was at work.
std::string busy_text(const LatencyReport& interval, uint64_t core) {
  const StageLatency* const tick = stage_of(interval, core, "tick");
  double const seconds = seconds_of(interval);
  if (tick == nullptr || seconds <= 0) return "-";
  double const worked_s = static_cast<double>(tick->count) * tick->mean_us / 1e6;
  return fmt::format("{:.0f} %", std::min(100.0, 100 * worked_s / seconds));
}

std::string p99_text(const LatencyReport& interval, uint64_t core) {
  const StageLatency* const request = stage_of(interval, core, "request");
  return request == nullptr || request->count == 0 ? "-" : time_text(request->p99_us);
}

void append_cores(Lines& lines, const TopFrame& frame, size_t width) {
  using enum TextTable::Align;
  std::vector<Column> columns = {
      {"core", right, 0, {}},        {"state", left, 3, {}},    {"cpu", right, 11, {}},
      {"busy", right, 2, {}},        {"hunts/s", right, 1, {}}, {"requests/s", right, 7, {}},
      {"p99", right, 4, {}},         {"workers", right, 5, {}}, {"queue", right, 6, {}},
      {"connections", right, 9, {}}, {"outbox", right, 8, {}},  {"redis", left, 10, {}},
      {"restarts", right, 12, {}},   {"pid", right, 13, {}}};
  const Activity& activity = frame.activity;
  static const Rates none;
  for (size_t i = 0; i < frame.now.status.cores.size(); ++i) {
    const CoreStatus& core = frame.now.status.cores[i];
    const Rates& rates = i < activity.cores.size() ? activity.cores[i] : none;
    std::string const cells[] = {std::to_string(core.core),
                                 core.state,
                                 std::to_string(core.cpu),
                                 busy_text(frame.interval, core.core),
                                 rate_or_dash(activity, rates, "huntd_hunts_total"),
                                 rate_or_dash(activity, rates, "huntd_http_requests_total"),
                                 p99_text(frame.interval, core.core),
                                 count_text(core.gauge("huntd_workers_live")),
                                 count_text(core.gauge("huntd_queue_length")),
                                 count_text(core.gauge("huntd_connections_open")),
                                 count_text(core.gauge("huntd_outbox_pending")),
                                 core.gauge("huntd_redis_up") == 1 ? "up" : "DOWN",
                                 std::to_string(core.restarts),
                                 core.pid == 0 ? "-" : std::to_string(core.pid)};
    for (size_t c = 0; c < columns.size(); ++c) columns[c].cells.push_back(cells[c]);
  }
  append_table(lines, std::move(columns), width);
}

// The name of a hunt in at most `columns` columns. A hunt_id is ASCII.
std::string hunt_name(const HuntCounts& hunt, size_t columns) {
  if (hunt.hunt.empty()) return "(other)";
  if (hunt.hunt.size() <= columns) return hunt.hunt;
  return cut(hunt.hunt, columns - 1) + "…";
}

// The hunts that ran most often in the interval; none if no hunt ran.
void append_hunts(Lines& lines, const TopFrame& frame, size_t width) {
  using enum TextTable::Align;
  if (frame.hunts.empty()) return;
  std::vector<Column> columns = {{"hottest hunts", left, 0, {}}, {"per s", right, 1, {}},
                                 {"failed/s", right, 2, {}},     {"refused/s", right, 3, {}},
                                 {"p50 total", right, 5, {}},    {"p99 total", right, 4, {}}};
  // A long name leaves room for the rates, and a narrow terminal for some of the name.
  size_t const name_columns = std::max(width / 2, hunt_name_columns_min);
  size_t const shown = std::min(frame.hunts.size(), hottest_hunts_max);
  for (size_t i = 0; i < shown; ++i) {
    const HuntRates& hunt = frame.hunts[i];
    auto const percentile = [](double ms) { return ms > 0 ? time_text(1000 * ms) : "-"; };
    std::string const cells[] = {hunt_name(hunt.now, name_columns),
                                 rate_text(hunt.runs),
                                 rate_text(hunt.failed),
                                 rate_text(hunt.refused),
                                 percentile(hunt.now.p50_ms),
                                 percentile(hunt.now.p99_ms)};
    for (size_t c = 0; c < columns.size(); ++c) columns[c].cells.push_back(cells[c]);
  }
  lines.emplace_back();
  append_table(lines, std::move(columns), width);
}

// A long sentence goes on in the next line.
void append_wrapped(Lines& lines, std::string_view text, size_t width) {
  while (!text.empty()) {
    std::string const line = cut(text.substr(0, text.find('\n')), std::max<size_t>(width, 1));
    lines.push_back(line);
    text.remove_prefix(line.size());
    if (text.starts_with('\n')) text.remove_prefix(1);
  }
}

const Lines help_lines = {
    "q, Ctrl-C  quit",
    "p, space   pause, and go on",
    "+ -        a longer or shorter delay",
    "d          type a delay in seconds",
    "arrows, PgUp PgDn, Home End  scroll",
    "h, ?       this help; any key ends it",
    "",
    "All figures are of the last delay:",
    "rates per second, and the latency of",
    "each stage (docs/latency.md), whose",
    "percentiles are up to 26 % off.",
    "busy: how much of the time the loop of",
    "the core was at work.",
    "hottest hunts: p50 and p99 are those",
    "since huntd started, up to 15 % off.",
};

std::string key_line(const TopState& state, size_t below) {
  if (state.typed) return fmt::format("delay in seconds: {}_", *state.typed);
  std::string text = fmt::format("{}{:g} s  q quit  p pause  +- d delay  h help",
                                 state.paused ? "PAUSED  " : "", state.delay_s);
  if (below > 0) text = fmt::format("{} more lines below  {}", below, text);
  return text;
}

}  // namespace

TopFrame frame_between(const TopSample& before, const TopSample& now) {
  Activity activity = activity_between(before.status, now.status);
  bool const restarted = before.status.started_at_ms != now.status.started_at_ms;
  std::vector<HuntRates> hunts =
      hunts_between(before.hunts, now.hunts, activity.seconds, restarted);
  return {now, std::move(activity), latency_between(before.latency, now.latency), std::move(hunts),
          ""};
}

std::vector<std::string> top_lines(const TopFrame& frame, size_t columns) {
  Lines lines = {cut(host_line(frame), columns)};
  if (!frame.problem.empty()) append_wrapped(lines, "NO NEW FIGURES: " + frame.problem, columns);
  append_host(lines, frame, columns);
  append_outcomes(lines, frame.activity, columns);
  lines.emplace_back();
  append_stages(lines, frame.interval, columns);
  lines.emplace_back();
  append_cores(lines, frame, columns);
  Lines problems = frame.now.health.reasons();
  for (std::string& text : degradations(frame.now.status)) problems.push_back(std::move(text));
  if (!problems.empty()) lines.emplace_back();
  for (const std::string& problem : problems) append_wrapped(lines, problem, columns);
  append_hunts(lines, frame, columns);
  return lines;
}

std::vector<std::string> top_screen(const TopFrame& frame, TopState& state, TerminalSize size,
                                    bool colour) {
  Lines lines = top_lines(frame, size.columns);
  if (state.help) {
    lines.resize(1);
    lines.insert(lines.end(), help_lines.begin(), help_lines.end());
  }
  std::string const first = std::exchange(lines.front(), {});
  lines.erase(lines.begin());
  size_t const room = size.rows > 2 ? size.rows - 2 : 0;
  state.scroll = std::min(state.scroll, lines.size() - std::min(lines.size(), room));
  size_t const end = std::min(lines.size(), state.scroll + room);
  auto const title = [&](const std::string& text) {
    std::string const fitting = cut(text, size.columns);
    return colour ? "\x1b[7m" + fitting + "\x1b[0m" : fitting;
  };
  Lines screen = {title(first)};
  for (size_t i = state.scroll; i < end; ++i) screen.push_back(cut(lines[i], size.columns));
  while (screen.size() < room + 1) screen.emplace_back();
  if (size.rows > 1) screen.push_back(title(key_line(state, lines.size() - end)));
  return screen;
}

}  // namespace huntd::huntctl
