// SPDX-License-Identifier: Apache-2.0
// huntctl lag: prints how far the table is behind the events, from the metrics of the aggregators.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/metrics_text.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

constexpr const char* aggregator_port = "aggregator's port (--aggregator)";

struct Options {
  std::vector<std::string> aggregators;
  std::optional<double> max_s;
};

// The state of one aggregator. Counts are since its start.
struct AggregatorLag {
  std::string address;
  double lag_s = 0;
  uint64_t lag_events = 0;             // at least, if `unknown` is not empty
  std::string unknown;                 // what the aggregator could not count
  std::optional<double> newest_age_s;  // of the newest event merged; empty if none is
  uint64_t events = 0;
  uint64_t rows = 0;
  uint64_t merges = 0;
  std::optional<double> merge_mean_s;
  bool source_up = false;
  std::string unwell;  // the reason of /healthz; empty if it is well
  bool postgres_up = false;
  bool dead_topic_up = false;
};

double wall_clock_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Returns the reason of /healthz; empty if the aggregator is well.
std::string unwell(const std::string& address) {
  Result<HttpResponse> const response = http_get(address, aggregator_port, "/healthz");
  if (!response) return response.error().message;
  if (response->status == 200) return {};
  std::string const reason = response->body.substr(0, response->body.find('\n'));
  return reason.empty() ? fmt::format("/healthz responds with status {}", response->status)
                        : reason;
}

Result<AggregatorLag> read_lag(const std::string& address) {
  Result<HttpResponse> const response = http_get(address, aggregator_port, "/metrics");
  if (!response) return response.error();
  Result<Samples> const samples =
      response->status == 200 ? read_samples(response->body) : Result<Samples>(Samples());
  if (!samples)
    return Error{fmt::format("{} responds to /metrics with a line that is {}", address,
                             samples.error().message)};
  std::string missing;
  auto const sample = [&](const char* name) {
    auto const found = samples->find(std::string_view(name));
    if (found != samples->end()) return found->second;
    if (missing.empty()) missing = name;
    return 0.0;
  };
  auto const count = [&](const char* name) { return static_cast<uint64_t>(sample(name)); };
  AggregatorLag lag;
  lag.address = address;
  lag.lag_s = sample("hunt_aggregator_lag_seconds");
  lag.lag_events = count("hunt_aggregator_lag_events");
  double const newest_s = sample("hunt_aggregator_newest_event_timestamp_seconds");
  if (newest_s > 0) lag.newest_age_s = std::max(0.0, wall_clock_s() - newest_s);
  lag.events = count("hunt_aggregator_events_total");
  lag.rows = count("hunt_aggregator_rows_merged_total");
  lag.merges = count("hunt_aggregator_merge_duration_seconds_count");
  double const merging_s = sample("hunt_aggregator_merge_duration_seconds_sum");
  if (lag.merges > 0) lag.merge_mean_s = merging_s / static_cast<double>(lag.merges);
  lag.source_up = sample(R"(hunt_aggregator_up{peer="source"})") > 0;
  lag.postgres_up = sample(R"(hunt_aggregator_up{peer="postgres"})") > 0;
  lag.dead_topic_up = sample(R"(hunt_aggregator_up{peer="dead_letter_topic"})") > 0;
  if (sample(R"(hunt_aggregator_lag_known{part="topic"})") == 0)
    lag.unknown = "what the group has read of the topic";
  if (sample(R"(hunt_aggregator_lag_known{part="outbox"})") == 0)
    lag.unknown += std::string(lag.unknown.empty() ? "" : " and ") + "the outbox in Redis";
  if (missing.empty()) lag.unwell = unwell(address);
  if (!missing.empty())
    return Error{fmt::format("{} has no {} on /metrics (status {}): is it hunt-aggregator's port?",
                             address, missing, response->status)};
  return lag;
}

std::string behind_text(const AggregatorLag& lag) {
  if (lag.unknown.empty()) return count_text(lag.lag_events);
  return fmt::format("unknown, at least {}", count_text(lag.lag_events));
}

std::string text(const std::vector<AggregatorLag>& lags) {
  TextTable table;
  table.add_column("aggregator", TextTable::Align::left);
  for (const char* head :
       {"lag", "events behind", "newest event", "events", "rows merged", "merges", "mean merge"})
    table.add_column(head, TextTable::Align::right);
  for (const char* head : {"source", "postgres", "dead letters"})
    table.add_column(head, TextTable::Align::left);
  for (const AggregatorLag& lag : lags)
    table.add_row({lag.address, fmt::format("{:.1f} s", lag.lag_s), behind_text(lag),
                   lag.newest_age_s ? fmt::format("{:.1f} s ago", *lag.newest_age_s) : "-",
                   count_text(lag.events), count_text(lag.rows), count_text(lag.merges),
                   lag.merge_mean_s ? time_text(*lag.merge_mean_s * 1e6) : "-",
                   lag.source_up ? "up" : "down", lag.postgres_up ? "up" : "down",
                   lag.dead_topic_up ? "up" : "down"});
  return table.str();
}

std::string json(const std::vector<AggregatorLag>& lags) {
  auto const number = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.3f}", *value) : "null";
  };
  std::string out = R"({"aggregators":[)";
  for (const AggregatorLag& lag : lags)
    out += fmt::format(
        R"({}{{"address":{},"lag_s":{:.3f},"lag_events":{},"lag_known":{},"unwell":{},)"
        R"("newest_event_age_s":{},"events":{},)"
        R"("rows_merged":{},"merges":{},"merge_mean_s":{},"source_up":{},"postgres_up":{},"dead_topic_up":{}}})",
        &lag == lags.data() ? "" : ",", json_string(lag.address), lag.lag_s, lag.lag_events,
        lag.unknown.empty(), lag.unwell.empty() ? "null" : json_string(lag.unwell),
        number(lag.newest_age_s), lag.events, lag.rows, lag.merges, number(lag.merge_mean_s),
        lag.source_up, lag.postgres_up, lag.dead_topic_up);
  return out + "]}";
}

// What is not well, in sentences.
std::vector<std::string> complaints_of(const AggregatorLag& lag, const Options& options) {
  std::vector<std::string> found;
  auto const say = [&](const std::string& text) { found.push_back(lag.address + ": " + text); };
  if (!lag.source_up) say("it cannot reach the source of events");
  if (!lag.postgres_up) say("it cannot reach PostgreSQL");
  if (!lag.dead_topic_up) say("it cannot write the dead-letter topic, so reading is paused");
  if (!lag.unwell.empty()) say(lag.unwell);
  if (!lag.unknown.empty()) say(fmt::format("the lag is unknown: it cannot count {}", lag.unknown));
  if (options.max_s && lag.lag_s > *options.max_s)
    say(fmt::format("the table is {:.1f} s behind, more than {:g} s", lag.lag_s, *options.max_s));
  return found;
}

int run(const Options& options, const Context& context) {
  std::vector<std::string> addresses = options.aggregators;
  if (addresses.empty()) {
    Result<Config> const config = context.config();
    if (!config) return fail(config.error());
    addresses.push_back(callable_address(config->aggregator.listen));
  }
  std::vector<AggregatorLag> lags;
  bool well = true;
  int code = exit_ok;
  for (const std::string& address : addresses) {
    Result<AggregatorLag> lag = read_lag(address);
    if (!lag) {
      code = fail(lag.error());
      continue;
    }
    for (const std::string& complaint : complaints_of(*lag, options)) {
      fail(complaint);
      well = false;
    }
    lags.push_back(std::move(*lag));
  }
  print_object(json(lags));
  if (lags.empty()) return code;
  print(text(lags));
  // Unreachable only if none responds: the others say how things are.
  return well && code == exit_ok ? exit_ok : exit_failure;
}

}  // namespace

void add_lag(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "lag",
      "Print how far the table is behind the events (exit 1: too far, unknown, or a peer is down)");
  command
      ->add_option("--aggregator", options->aggregators,
                   "Address of an aggregator, host:port or unix:/path; may be repeated (default: "
                   "aggregator.listen)")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  command->add_option("--max", options->max_s, "Exit 1 if the lag is more than SECONDS")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  set_body(*command, context, options, &run);
}

}  // namespace huntd::huntctl
