#include "stats/prometheus.h"

#include <fmt/format.h>

#include <functional>
#include <iterator>
#include <string_view>

#include "base/check.h"

namespace huntd {
namespace {

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

class Writer {
 public:
  void head(std::string_view metric, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", metric, help, metric,
                   type);
  }
  // `labels` without braces; empty for none.
  template <class Number>
  void sample(std::string_view metric, std::string_view labels, Number value) {
    if (labels.empty())
      fmt::format_to(std::back_inserter(text_), "{} {}\n", metric, value);
    else
      fmt::format_to(std::back_inserter(text_), "{}{{{}}} {}\n", metric, labels, value);
  }
  std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

std::string core_label(uint32_t core, std::string_view more = "") {
  return more.empty() ? fmt::format("core=\"{}\"", core)
                      : fmt::format("core=\"{}\",{}", core, more);
}

// As the format asks for in a label's value.
std::string escape_label_value(std::string_view value) {
  std::string escaped;
  for (char const c : value) {
    if (c == '\\' || c == '"') escaped.push_back('\\');
    escaped += c == '\n' ? "\\n" : std::string(1, c);
  }
  return escaped;
}

// Every row of a table, for every core.
template <class Rows>
void write_rows(Writer& out, const StatsSnapshot& snapshot, const Rows& rows,
                std::string_view type) {
  std::string_view previous;
  for (const auto& row : rows) {
    if (row.metric != previous) out.head(row.metric, type, row.help);
    previous = row.metric;
    for (const CoreSnapshot& core : snapshot.cores)
      out.sample(row.metric, core_label(core.core, row.label), core.value(row.which));
  }
}

void write_script_failures(Writer& out, const StatsSnapshot& snapshot) {
  constexpr std::string_view metric = "huntd_script_failures_total";
  out.head(metric, "counter",
           "Runs that ended badly, by script, line (empty where none is known) and reason.");
  for (const CoreSnapshot& core : snapshot.cores)
    for (const ScriptFailureRow& row : core.failures)
      out.sample(
          metric,
          core_label(core.core, fmt::format(R"(hunt="{}",line="{}",reason="{}")",
                                            escape_label_value(row.hunt_id),
                                            row.line == 0 ? "" : std::to_string(row.line),
                                            failure_reason_names[static_cast<size_t>(row.reason)])),
          row.count);
}

void write_stages(Writer& out, const StatsSnapshot& snapshot) {
  constexpr std::string_view metric = "huntd_stage_duration_seconds";
  out.head(metric, "histogram", "How long each stage took; /latency.hlog has the exact tail.");
  for (const CoreSnapshot& core : snapshot.cores)
    for (size_t stage = 0; stage < stage_names.size(); ++stage) {
      const HistogramSnapshot& values = core.stages[stage];
      std::string const labels =
          core_label(core.core, fmt::format("stage=\"{}\"", stage_names[stage]));
      std::string const bucket = fmt::format("{}_bucket", metric);
      for (uint64_t const bound_ns : prometheus_bounds_ns)
        out.sample(bucket, fmt::format("{},le=\"{}\"", labels, seconds(bound_ns)),
                   values.count_up_to(bound_ns));
      out.sample(bucket, labels + ",le=\"+Inf\"", values.count());
      out.sample(fmt::format("{}_sum", metric), labels, seconds(values.sum_ns()));
      out.sample(fmt::format("{}_count", metric), labels, values.count());
    }
}

// One number of each core.
template <class Number>
void write_per_core(Writer& out, const StatsSnapshot& snapshot, std::string_view metric,
                    std::string_view type, std::string_view help,
                    const std::function<Number(const CoreSnapshot&)>& number) {
  out.head(metric, type, help);
  for (const CoreSnapshot& core : snapshot.cores)
    out.sample(metric, core_label(core.core), number(core));
}

void write_supervision(Writer& out, const StatsSnapshot& snapshot) {
  out.head("huntd_build_info", "gauge", "Always 1; the version is the label.");
  out.sample("huntd_build_info",
             fmt::format("version=\"{}\"", escape_label_value(snapshot.version)), 1);
  out.head("huntd_start_time_seconds", "gauge", "When huntd started, in seconds since the epoch.");
  out.sample("huntd_start_time_seconds", "", static_cast<double>(snapshot.started_at_ms) / 1e3);

  out.head("huntd_core_state", "gauge", "1 for the state that the core is in.");
  for (const CoreSnapshot& core : snapshot.cores)
    for (size_t state = 0; state < core_state_names.size(); ++state)
      out.sample("huntd_core_state",
                 core_label(core.core, fmt::format("state=\"{}\"", core_state_names[state])),
                 core.state == static_cast<CoreState>(state) ? 1 : 0);
  out.head("huntd_bundle_info", "gauge", "Always 1; the bundle that new hunts run is the label.");
  for (const CoreSnapshot& core : snapshot.cores)
    if (!core.bundle.empty())
      out.sample(
          "huntd_bundle_info",
          core_label(core.core, fmt::format("bundle=\"{}\"", escape_label_value(core.bundle))), 1);
  write_per_core<uint64_t>(out, snapshot, "huntd_core_restarts_total", "counter",
                           "Times that the core's process was started again.",
                           [](const CoreSnapshot& core) { return core.restarts; });
  write_per_core<double>(
      out, snapshot, "huntd_core_start_time_seconds", "gauge",
      "When the core's process started, in seconds since the epoch.",
      [](const CoreSnapshot& core) { return static_cast<double>(core.started_at_ms) / 1e3; });
  out.head("huntd_core_heartbeat_age_seconds", "gauge", "Time since the core's loop last turned.");
  for (const CoreSnapshot& core : snapshot.cores)
    if (core.heartbeat_ns != 0)
      out.sample("huntd_core_heartbeat_age_seconds", core_label(core.core),
                 seconds(heartbeat_age_ns(core, snapshot.taken_at_ns)));
}

void write_processes(Writer& out, const StatsSnapshot& snapshot,
                     const std::vector<std::optional<ProcessFigures>>& processes) {
  auto const each = [&](std::string_view metric, std::string_view type, std::string_view help,
                        auto figure) {
    out.head(metric, type, help);
    for (size_t i = 0; i < processes.size(); ++i)
      if (processes[i])
        out.sample(metric, core_label(snapshot.cores[i].core), figure(*processes[i]));
  };
  // It starts again at 0 with each process of the core, which is what rate() expects of a counter.
  each("huntd_core_cpu_seconds_total", "counter", "CPU time of the core's process.",
       [](const ProcessFigures& figures) { return figures.cpu_seconds; });
  each("huntd_core_resident_memory_bytes", "gauge", "Resident memory of the core's process.",
       [](const ProcessFigures& figures) { return figures.resident_bytes; });
  each("huntd_core_open_fds", "gauge", "Descriptors that the core's process holds.",
       [](const ProcessFigures& figures) { return figures.open_descriptors; });
}

}  // namespace

std::string write_prometheus(const StatsSnapshot& snapshot,
                             const std::vector<std::optional<ProcessFigures>>& processes) {
  CHECK(processes.size() == snapshot.cores.size());
  Writer out;
  write_supervision(out, snapshot);
  write_processes(out, snapshot, processes);
  write_rows(out, snapshot, counter_rows, "counter");
  write_script_failures(out, snapshot);
  write_rows(out, snapshot, gauge_rows, "gauge");
  write_stages(out, snapshot);
  return out.take();
}

}  // namespace huntd
