// SPDX-License-Identifier: Apache-2.0
#include "result.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "base/json_text.h"
#include "huntctl/text_table.h"
#include "metrics/hlog.h"

namespace huntd::load {
namespace {

using huntctl::count_text;
using huntctl::TextTable;
using huntctl::time_text;

constexpr uint64_t late_p99_good_ns = 5'000'000;
constexpr double cpu_percent_good = 90;

double ms(uint64_t ns) { return static_cast<double>(ns) / 1e6; }

// The figures of a run, in the units that are shown.
struct Summary {
  explicit Summary(const Options& options, const Generator& run)
      : all(run.tally().all().snapshot()),
        admitted(run.tally().admitted().snapshot()),
        unavailable(run.tally().unavailable().snapshot()),
        late(run.tally().lateness().snapshot()),
        rate(static_cast<double>(run.tally().answered_in_time()) / options.seconds),
        cpu_percent(100 * run.account().cpu_s / run.account().measured_s),
        cpu_us_per_request(run.tally().answered_in_time() == 0
                               ? 0
                               : 1e6 * run.account().cpu_s /
                                     static_cast<double>(run.tally().answered_in_time())) {}
  HistogramSnapshot all, admitted, unavailable, late;
  double rate;
  double cpu_percent;
  double cpu_us_per_request;
};

const char* loop_name(const Options& options) { return options.closed ? "closed" : "open"; }

std::string percentiles_json(const HistogramSnapshot& values) {
  return fmt::format(R"({{"p50":{:.3f},"p90":{:.3f},"p99":{:.3f},"p999":{:.3f},"max":{:.3f}}})",
                     ms(values.percentile_ns(50)), ms(values.percentile_ns(90)),
                     ms(values.percentile_ns(99)), ms(values.percentile_ns(99.9)),
                     ms(values.max_ns()));
}

std::string statuses_json(const Counts& counts) {
  std::string json = "{";
  for (size_t status = 0; status < counts.statuses.size(); ++status)
    if (counts.statuses[status] > 0)
      fmt::format_to(std::back_inserter(json), R"({}"{}":{})", json.size() > 1 ? "," : "", status,
                     counts.statuses[status]);
  return json + "}";
}

std::string counts_json(const Counts& counts) {
  return fmt::format(
      R"("sent":{},"answered":{},"ok":{},"rejected":{},"unavailable":{},"errors":{},"unanswered":{},)"
      R"("broken":{},"unparseable":{},"statuses":{})",
      counts.sent, counts.answered, counts.ok, counts.rejected, counts.unavailable, counts.errors(),
      counts.unanswered, counts.broken, counts.unparseable, statuses_json(counts));
}

void add_times(TextTable& table, std::string_view name, const HistogramSnapshot& values) {
  std::vector<std::string> row = {std::string(name), count_text(values.count())};
  for (double const percent : {50.0, 90.0, 99.0, 99.9, 100.0}) {
    uint64_t const ns = percent == 100 ? values.max_ns() : values.percentile_ns(percent);
    row.push_back(values.count() == 0 ? "-" : time_text(static_cast<double>(ns) / 1e3));
  }
  table.add_row(std::move(row));
}

std::string counts_text(const Counts& counts) {
  std::string text =
      fmt::format("{} sent, {} answered", count_text(counts.sent), count_text(counts.answered));
  const char* before = ": ";
  for (size_t status = 0; status < counts.statuses.size(); ++status) {
    if (counts.statuses[status] == 0) continue;
    fmt::format_to(std::back_inserter(text), "{}{} × {}", before,
                   count_text(counts.statuses[status]), status);
    before = ", ";
  }
  return text;
}

}  // namespace

std::string result_table(const Options& options, const Generator& run) {
  Summary const sum(options, run);
  const Counts& counts = run.tally().measured();
  const Account& account = run.account();
  std::string const wanted = options.closed
                                 ? "closed loop (hides the latency of a server that stalls)"
                                 : fmt::format("open loop, {:g} requests/s wanted", options.rate);
  std::string text =
      fmt::format("{}: {} connections, {}, {:g} s after {:g} s of warm-up\n\n", options.target,
                  count_text(options.connections), wanted, options.seconds, options.warmup_s);
  TextTable table;
  table.add_column("latency", TextTable::Align::left);
  for (const char* head : {"count", "p50", "p90", "p99", "p99.9", "max"})
    table.add_column(head, TextTable::Align::right);
  add_times(table, "all", sum.all);
  add_times(table, "admitted (200)", sum.admitted);
  add_times(table, "unavailable (503, 424)", sum.unavailable);
  if (!options.closed) add_times(table, "sent late by", sum.late);
  text += table.str();
  fmt::format_to(std::back_inserter(text), "\n{:.1f} responses/s. {}\n", sum.rate,
                 counts_text(counts));
  fmt::format_to(
      std::back_inserter(text),
      "{} errors ({} unavailable, {} broken, {} unparseable, {} unanswered), {} rejected\n",
      count_text(counts.errors()), count_text(counts.unavailable), count_text(counts.broken),
      count_text(counts.unparseable), count_text(counts.unanswered), count_text(counts.rejected));
  fmt::format_to(
      std::back_inserter(text),
      "connections: {} connects failed, {} resets, {} reconnects, {} requests repeated\n",
      count_text(account.connects_failed), count_text(account.resets),
      count_text(account.reconnects), count_text(account.repeated));
  fmt::format_to(std::back_inserter(text),
                 "awards reported, with the warm-up: {} events in {} responses 200\n",
                 count_text(run.tally().whole().events), count_text(run.tally().whole().ok));
  fmt::format_to(std::back_inserter(text),
                 "the generator: {:.2f} s of CPU, {:.1f} % of a core, {} per request, {} ticks\n",
                 account.cpu_s, sum.cpu_percent, time_text(sum.cpu_us_per_request),
                 count_text(account.ticks));
  return text;
}

std::string result_json(const Options& options, const Generator& run) {
  Summary const sum(options, run);
  const Account& account = run.account();
  std::string target;
  append_json_string(target, options.target);
  std::string json = fmt::format(
      R"({{"target":{},"loop":"{}","connections":{},"rate_wanted":{},"seconds":{:g},"warmup_s":{:g},)",
      target, loop_name(options), options.connections,
      options.closed ? "null" : fmt::format("{:g}", options.rate), options.seconds,
      options.warmup_s);
  json += counts_json(run.tally().measured());
  fmt::format_to(std::back_inserter(json),
                 R"(,"rate":{:.1f},"ok_rate":{:.1f},"events":{},)"
                 R"("latency_ms":{},"admitted_ms":{},"unavailable_ms":{},)"
                 R"("late_ms":{{"p50":{:.3f},"p99":{:.3f},"max":{:.3f}}},"late_count":{},)",
                 sum.rate, static_cast<double>(run.tally().ok_in_time()) / options.seconds,
                 run.tally().whole().events, percentiles_json(sum.all),
                 percentiles_json(sum.admitted), percentiles_json(sum.unavailable),
                 ms(sum.late.percentile_ns(50)), ms(sum.late.percentile_ns(99)),
                 ms(sum.late.max_ns()), sum.late.count());
  fmt::format_to(std::back_inserter(json),
                 R"("connects_failed":{},"resets":{},"reconnects":{},"repeated":{},"ticks":{},)"
                 R"("cpu_seconds":{:.3f},"cpu_percent":{:.1f},"cpu_us_per_request":{:.2f},)"
                 R"("seed":{},"whole_run":{{{}}}}})",
                 account.connects_failed, account.resets, account.reconnects, account.repeated,
                 account.ticks, account.cpu_s, sum.cpu_percent, sum.cpu_us_per_request,
                 options.seed, counts_json(run.tally().whole()));
  return json + "\n";
}

std::string result_hlog(const Generator& run) {
  const Tally& tally = run.tally();
  int64_t const from_ms = run.account().started_at_ms;
  int64_t const to_ms = from_ms + std::llround(run.account().measured_s * 1e3);
  return write_hlog("hunt-load", from_ms, to_ms,
                    {{"all", tally.all().snapshot()},
                     {"admitted", tally.admitted().snapshot()},
                     {"unavailable", tally.unavailable().snapshot()},
                     {"late", tally.lateness().snapshot()}});
}

std::vector<std::string> result_warnings(const Generator& run) {
  std::vector<std::string> warnings;
  uint64_t const late_ns = run.tally().lateness().snapshot().percentile_ns(99);
  if (late_ns > late_p99_good_ns)
    warnings.push_back(
        fmt::format("1 % of the requests were sent {} or more too late on a free connection: "
                    "part of the latency is the generator's",
                    time_text(static_cast<double>(late_ns) / 1e3)));
  double const cpu_percent = 100 * run.account().cpu_s / run.account().measured_s;
  if (cpu_percent > cpu_percent_good)
    warnings.push_back(fmt::format(
        "the generator used {:.0f} % of a core: the figures may be its own limit", cpu_percent));
  return warnings;
}

}  // namespace huntd::load
