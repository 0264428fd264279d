// SPDX-License-Identifier: Apache-2.0
#include "metrics/prometheus.h"

#include <fmt/format.h>

#include <functional>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "base/format_text.h"
#include "base/metric.h"

namespace huntd {
namespace {

// The metrics that are not rows of core_metrics.h, in the order of /metrics.
constexpr std::array supervision_metrics = {
    Metric{"huntd_build_info", "gauge", "version", "Always 1; the version is the label."},
    Metric{"huntd_start_time_seconds", "gauge", "",
           "When huntd started, in seconds since 1970-01-01 UTC."},
    Metric{"huntd_reloads_total", "counter", "result", "Reloads by their result."},
    Metric{"huntd_reload_rejected", "gauge", "",
           "1 if the newest reload was rejected, or if the start serves the saved scripts because "
           "those of hunts.dir have an error; else 0."},
    Metric{
        "huntd_scripts_not_saved", "gauge", "",
        "1 if the scripts in use could not be saved, so that a start with bad scripts would serve "
        "older ones or none; else 0."},
    Metric{"huntd_drained", "gauge", "",
           "1 while the host says that it is not ready and serves on: since huntctl drain, or in "
           "http.drain_delay_ms."},
    Metric{"huntd_core_state", "gauge", "state", "1 for the state of the core, 0 for the others."},
    Metric{"huntd_bundle_info", "gauge", "bundle",
           "Always 1; the bundle that new hunts run is the label."},
    Metric{"huntd_core_restarts_total", "counter", "",
           "How often the core's process was started again."},
    Metric{"huntd_core_start_time_seconds", "gauge", "",
           "When the core's process started, in seconds since 1970-01-01 UTC."},
    Metric{"huntd_core_heartbeat_age_seconds", "gauge", "",
           "Time since the last tick of the core's loop."},
    Metric{"huntd_core_cpu_seconds_total", "counter", "", "CPU time of the core's process."},
    Metric{"huntd_core_resident_memory_bytes", "gauge", "",
           "Resident memory of the core's process."},
    Metric{"huntd_core_open_fds", "gauge", "", "Open file descriptors of the core's process."},
    Metric{"huntd_core_max_fds", "gauge", "",
           "How many file descriptors the core's process may have open (LimitNOFILE)."},
};
constexpr std::array script_metrics = {
    Metric{"huntd_script_failures_total", "counter", "hunt, line, reason",
           "Failed runs by script, line (empty if unknown) and reason."},
};
constexpr std::array hunt_metrics = {
    Metric{"huntd_hunt_runs_total", "counter", "hunt, outcome",
           "Requests by hunt: those of the hunts with the highest rates, at most 100 per core, and "
           "of all others as \"(other)\"."},
    Metric{"huntd_hunt_duration_seconds", "histogram", "hunt",
           "By hunt: from the receipt of a request to its response, of those that got a worker."},
};
// It cannot be a hunt_id.
constexpr std::string_view other_hunts = "(other)";
constexpr std::array stage_metrics = {
    Metric{"huntd_stage_duration_seconds", "histogram", "stage",
           "Duration of each stage; /latency.hlog has the exact tail."},
};

double seconds(uint64_t ns) { return static_cast<double>(ns) / 1e9; }

class Writer {
 public:
  void head(std::string_view metric, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", metric, help, metric,
                   type);
  }
  void head(const Metric& metric) { head(metric.name, metric.type, metric.help); }
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

// A label's value with the escapes of the format.
std::string escape_label_value(std::string_view value) {
  std::string escaped;
  for (char const c : value) {
    if (c == '\\' || c == '"') escaped.push_back('\\');
    escaped += c == '\n' ? "\\n" : std::string(1, c);
  }
  return escaped;
}

// The samples of all rows of a table, for every core.
template <class Rows>
void write_rows(Writer& out, const MetricsSnapshot& snapshot, const Rows& rows,
                std::string_view type) {
  std::string_view previous;
  for (const auto& row : rows) {
    if (row.metric != previous) out.head(row.metric, type, row.help);
    previous = row.metric;
    for (const CoreSnapshot& core : snapshot.cores)
      out.sample(row.metric, core_label(core.core, row.label), core.value(row.which));
  }
}

void write_script_failures(Writer& out, const MetricsSnapshot& snapshot) {
  constexpr const Metric& metric = find_metric(script_metrics, "huntd_script_failures_total");
  out.head(metric);
  for (const CoreSnapshot& core : snapshot.cores)
    for (const ScriptFailureRow& row : core.failures)
      out.sample(
          metric.name,
          core_label(core.core, fmt::format(R"(hunt="{}",line="{}",reason="{}")",
                                            escape_label_value(row.hunt_id),
                                            row.line == 0 ? "" : std::to_string(row.line),
                                            failure_reason_names[static_cast<size_t>(row.reason)])),
          row.count);
}

void write_stages(Writer& out, const MetricsSnapshot& snapshot) {
  constexpr const Metric& metric = find_metric(stage_metrics, "huntd_stage_duration_seconds");
  out.head(metric);
  for (const CoreSnapshot& core : snapshot.cores)
    for (size_t stage = 0; stage < stage_names.size(); ++stage) {
      const HistogramSnapshot& values = core.stages[stage];
      std::string const labels =
          core_label(core.core, fmt::format("stage=\"{}\"", stage_names[stage]));
      std::string const bucket = fmt::format("{}_bucket", metric.name);
      for (uint64_t const bound_ns : prometheus_bounds_ns)
        out.sample(bucket, fmt::format("{},le=\"{}\"", labels, seconds(bound_ns)),
                   values.count_up_to(bound_ns));
      out.sample(bucket, labels + ",le=\"+Inf\"", values.count());
      out.sample(fmt::format("{}_sum", metric.name), labels, seconds(values.sum_ns()));
      out.sample(fmt::format("{}_count", metric.name), labels, values.count());
    }
}

// Calls `write` with the labels and the figures of each hunt of each core, and of the others.
void for_each_hunt(const MetricsSnapshot& snapshot,
                   const std::function<void(const std::string&, const HuntFigures&)>& write) {
  for (const CoreSnapshot& core : snapshot.cores) {
    auto const labels = [&](std::string_view hunt) {
      return core_label(core.core, fmt::format("hunt=\"{}\"", escape_label_value(hunt)));
    };
    for (const HuntFigures& hunt : core.hunts.hunts) write(labels(hunt.hunt_id), hunt);
    // Without `replaced`: its growth is not of requests that come now, and would look like a rate.
    write(labels(other_hunts), core.hunts.other);
  }
}

void write_hunts(Writer& out, const MetricsSnapshot& snapshot) {
  constexpr const Metric& runs = find_metric(hunt_metrics, "huntd_hunt_runs_total");
  out.head(runs);
  for_each_hunt(snapshot, [&](const std::string& labels, const HuntFigures& hunt) {
    for (size_t i = 0; i < hunt_outcome_names.size(); ++i)
      out.sample(runs.name, fmt::format("{},outcome=\"{}\"", labels, hunt_outcome_names[i]),
                 hunt.outcomes[i]);
  });
  constexpr const Metric& durations = find_metric(hunt_metrics, "huntd_hunt_duration_seconds");
  out.head(durations);
  std::string const bucket = fmt::format("{}_bucket", durations.name);
  for_each_hunt(snapshot, [&](const std::string& labels, const HuntFigures& hunt) {
    for (uint64_t const bound_ns : hunt_bounds_ns)
      out.sample(bucket, fmt::format("{},le=\"{}\"", labels, seconds(bound_ns)),
                 hunt.timed_up_to(bound_ns));
    out.sample(bucket, labels + ",le=\"+Inf\"", hunt.timed());
    out.sample(fmt::format("{}_sum", durations.name), labels, seconds(hunt.sum_ns));
    out.sample(fmt::format("{}_count", durations.name), labels, hunt.timed());
  });
}

// One number per core.
template <class Number>
void write_per_core(Writer& out, const MetricsSnapshot& snapshot, const Metric& metric,
                    const std::function<Number(const CoreSnapshot&)>& number) {
  out.head(metric);
  for (const CoreSnapshot& core : snapshot.cores)
    out.sample(metric.name, core_label(core.core), number(core));
}

void write_supervision(Writer& out, const MetricsSnapshot& snapshot) {
  constexpr const Metric& build = find_metric(supervision_metrics, "huntd_build_info");
  out.head(build);
  out.sample(build.name, fmt::format("version=\"{}\"", escape_label_value(snapshot.version)), 1);
  constexpr const Metric& started = find_metric(supervision_metrics, "huntd_start_time_seconds");
  out.head(started);
  out.sample(started.name, "", static_cast<double>(snapshot.started_at_ms) / 1e3);

  constexpr const Metric& reloads = find_metric(supervision_metrics, "huntd_reloads_total");
  out.head(reloads);
  out.sample(reloads.name, "result=\"applied\"", snapshot.reload.applied);
  out.sample(reloads.name, "result=\"rejected\"", snapshot.reload.rejected);
  constexpr const Metric& rejected = find_metric(supervision_metrics, "huntd_reload_rejected");
  out.head(rejected);
  out.sample(rejected.name, "", snapshot.reload.result == ReloadResult::rejected ? 1 : 0);
  constexpr const Metric& not_saved = find_metric(supervision_metrics, "huntd_scripts_not_saved");
  out.head(not_saved);
  out.sample(not_saved.name, "", snapshot.save_error.empty() ? 0 : 1);
  constexpr const Metric& drained = find_metric(supervision_metrics, "huntd_drained");
  out.head(drained);
  out.sample(drained.name, "", snapshot.host_state == HostState::serving ? 0 : 1);

  constexpr const Metric& state_metric = find_metric(supervision_metrics, "huntd_core_state");
  out.head(state_metric);
  for (const CoreSnapshot& core : snapshot.cores)
    for (size_t state = 0; state < core_state_names.size(); ++state)
      out.sample(state_metric.name,
                 core_label(core.core, fmt::format("state=\"{}\"", core_state_names[state])),
                 core.state == static_cast<CoreState>(state) ? 1 : 0);
  constexpr const Metric& bundle = find_metric(supervision_metrics, "huntd_bundle_info");
  out.head(bundle);
  for (const CoreSnapshot& core : snapshot.cores)
    if (!core.bundle.empty())
      out.sample(
          bundle.name,
          core_label(core.core, fmt::format("bundle=\"{}\"", escape_label_value(core.bundle))), 1);
  write_per_core<uint64_t>(out, snapshot,
                           find_metric(supervision_metrics, "huntd_core_restarts_total"),
                           [](const CoreSnapshot& core) { return core.restarts; });
  write_per_core<double>(
      out, snapshot, find_metric(supervision_metrics, "huntd_core_start_time_seconds"),
      [](const CoreSnapshot& core) { return static_cast<double>(core.started_at_ms) / 1e3; });
  constexpr const Metric& age =
      find_metric(supervision_metrics, "huntd_core_heartbeat_age_seconds");
  out.head(age);
  for (const CoreSnapshot& core : snapshot.cores)
    if (core.heartbeat_ns != 0)
      out.sample(age.name, core_label(core.core),
                 seconds(heartbeat_age_ns(core, snapshot.taken_at_ns)));
}

void write_processes(Writer& out, const MetricsSnapshot& snapshot,
                     const std::vector<std::optional<ProcessFigures>>& processes) {
  auto const each = [&](const Metric& metric, auto figure) {
    out.head(metric);
    for (size_t i = 0; i < processes.size(); ++i)
      if (processes[i])
        out.sample(metric.name, core_label(snapshot.cores[i].core), figure(*processes[i]));
  };
  // It restarts at 0 with each process of the core, as rate() expects of a counter.
  each(find_metric(supervision_metrics, "huntd_core_cpu_seconds_total"),
       [](const ProcessFigures& figures) { return figures.cpu_seconds; });
  each(find_metric(supervision_metrics, "huntd_core_resident_memory_bytes"),
       [](const ProcessFigures& figures) { return figures.resident_bytes; });
  each(find_metric(supervision_metrics, "huntd_core_open_fds"),
       [](const ProcessFigures& figures) { return figures.open_descriptors; });
  each(find_metric(supervision_metrics, "huntd_core_max_fds"),
       [](const ProcessFigures& figures) { return figures.max_descriptors; });
}

// Adds one description per metric of a table of core_metrics.h.
template <class Rows>
void describe_rows(std::vector<MetricDescription>& all, const Rows& rows, std::string_view type) {
  for (const auto& row : rows) {
    bool const another = all.empty() || all.back().name != row.metric;
    if (another)
      all.push_back({std::string(row.metric), std::string(type), "", std::string(row.help)});
    if (row.label.empty()) continue;
    std::string& labels = all.back().labels;
    // outcome="ok" and outcome="rejected" become outcome="ok|rejected".
    if (labels.empty())
      labels = row.label;
    else
      labels.back() = '|', labels += row.label.substr(row.label.find('"') + 1);
  }
}

template <size_t count>
void describe_table(std::vector<MetricDescription>& all, const std::array<Metric, count>& table) {
  for (const Metric& metric : table) {
    std::string labels(metric.labels);
    auto const add_values = [&labels](const auto& values) {
      labels += fmt::format("=\"{}\"", join_texts(values, "|"));
    };
    if (labels.ends_with("state")) add_values(core_state_names);
    if (labels.ends_with("stage")) add_values(stage_names);
    if (labels.ends_with("result")) labels += "=\"applied|rejected\"";
    if (labels.ends_with("reason")) add_values(failure_reason_names);
    if (labels.ends_with("outcome")) add_values(hunt_outcome_names);
    all.push_back({std::string(metric.name), std::string(metric.type), std::move(labels),
                   std::string(metric.help)});
  }
}

}  // namespace

std::string write_prometheus(const MetricsSnapshot& snapshot,
                             const std::vector<std::optional<ProcessFigures>>& processes) {
  CHECK(processes.size() == snapshot.cores.size());
  Writer out;
  write_supervision(out, snapshot);
  write_processes(out, snapshot, processes);
  write_rows(out, snapshot, counter_rows, "counter");
  write_script_failures(out, snapshot);
  write_hunts(out, snapshot);
  write_rows(out, snapshot, gauge_rows, "gauge");
  write_stages(out, snapshot);
  return out.take();
}

std::vector<MetricDescription> describe_metrics() {
  std::vector<MetricDescription> all;
  describe_table(all, supervision_metrics);
  describe_rows(all, counter_rows, "counter");
  describe_table(all, script_metrics);
  describe_table(all, hunt_metrics);
  describe_rows(all, gauge_rows, "gauge");
  describe_table(all, stage_metrics);
  return all;
}

}  // namespace huntd
