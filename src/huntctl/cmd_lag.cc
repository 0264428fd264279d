// huntctl lag: how far the table is behind the events, by what the aggregators say.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
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
  bool json = false;
};

// What one aggregator says of itself; counts since its start.
struct AggregatorLag {
  std::string address;
  double lag_s = 0;
  uint64_t lag_events = 0;
  std::optional<double> newest_age_s;  // of the newest event merged; none: it has merged none
  uint64_t events = 0;
  uint64_t rows = 0;
  uint64_t merges = 0;
  std::optional<double> merge_mean_s;
  bool source_up = false;
  bool postgres_up = false;
  bool dead_topic_up = false;
};

double wall_clock_s() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Result<AggregatorLag> ask(const std::string& address) {
  Result<HttpAnswer> const answer = http_get(address, aggregator_port, "/metrics");
  if (!answer) return answer.error();
  Result<Samples> const samples =
      answer->status == 200 ? read_samples(answer->body) : Result<Samples>(Samples());
  if (!samples)
    return Error{fmt::format("{} answers /metrics with {}", address, samples.error().message)};
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
  lag.dead_topic_up = sample(R"(hunt_aggregator_up{peer="dead_topic"})") > 0;
  if (!missing.empty())
    return Error{fmt::format("{} has no {} on /metrics (status {}): is it hunt-aggregator's port?",
                             address, missing, answer->status)};
  return lag;
}

std::string text(const std::vector<AggregatorLag>& lags) {
  TextTable table;
  table.add_column("aggregator", TextTable::Align::left);
  for (const char* head :
       {"lag", "events behind", "newest event", "events", "rows merged", "merges", "mean merge"})
    table.add_column(head, TextTable::Align::right);
  for (const char* head : {"source", "postgres", "dead topic"})
    table.add_column(head, TextTable::Align::left);
  for (const AggregatorLag& lag : lags)
    table.add_row({lag.address, fmt::format("{:.1f} s", lag.lag_s), count_text(lag.lag_events),
                   lag.newest_age_s ? fmt::format("{:.1f} s ago", *lag.newest_age_s) : "-",
                   count_text(lag.events), count_text(lag.rows), count_text(lag.merges),
                   lag.merge_mean_s ? time_text(*lag.merge_mean_s * 1e6) : "-",
                   lag.source_up ? "up" : "away", lag.postgres_up ? "up" : "away",
                   lag.dead_topic_up ? "up" : "away"});
  return table.str();
}

std::string json(const std::vector<AggregatorLag>& lags) {
  auto const number = [](const std::optional<double>& value) {
    return value ? fmt::format("{:.3f}", *value) : "null";
  };
  std::string out = R"({"aggregators":[)";
  for (const AggregatorLag& lag : lags)
    out += fmt::format(
        R"({}{{"address":"{}","lag_s":{:.3f},"lag_events":{},"newest_event_age_s":{},"events":{},)"
        R"("rows_merged":{},"merges":{},"merge_mean_s":{},"source_up":{},"postgres_up":{},"dead_topic_up":{}}})",
        &lag == lags.data() ? "" : ",", lag.address, lag.lag_s, lag.lag_events,
        number(lag.newest_age_s), lag.events, lag.rows, lag.merges, number(lag.merge_mean_s),
        lag.source_up, lag.postgres_up, lag.dead_topic_up);
  return out + "]}\n";
}

int run(const Options& options, const Context& context) {
  std::vector<std::string> addresses = options.aggregators;
  if (addresses.empty()) {
    Result<Config> const config = context.config();
    if (!config) return fail(config.error().message);
    addresses.push_back(callable_address(config->aggregator.listen));
  }
  std::vector<AggregatorLag> lags;
  std::vector<std::string> complaints;
  for (const std::string& address : addresses) {
    Result<AggregatorLag> lag = ask(address);
    if (!lag) {
      complaints.push_back(lag.error().message);
      continue;
    }
    if (!lag->source_up)
      complaints.push_back(address + ": the source of events does not answer it");
    if (!lag->postgres_up) complaints.push_back(address + ": Postgres does not answer it");
    if (!lag->dead_topic_up)
      complaints.push_back(address +
                           ": it can't write the topic of dead records, so it reads no more");
    if (options.max_s && lag->lag_s > *options.max_s)
      complaints.push_back(fmt::format("{}: the table is {:.1f} s behind, more than {:g} s",
                                       address, lag->lag_s, *options.max_s));
    lags.push_back(std::move(*lag));
  }
  if (!lags.empty()) std::fputs((options.json ? json(lags) : text(lags)).c_str(), stdout);
  for (const std::string& complaint : complaints) fail(complaint);
  return complaints.empty() ? exit_ok : exit_failure;
}

}  // namespace

void add_lag(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "lag",
      "How far the table is behind the events (exit 1: too far, or an aggregator lacks a peer)");
  command
      ->add_option(
          "--aggregator", options->aggregators,
          "An aggregator's address, host:port; may be repeated (default: aggregator.listen)")
      ->type_name("ADDRESS")
      ->allow_extra_args(false);
  command->add_option("--max", options->max_s, "Exit 1 where the lag is more than SECONDS")
      ->type_name("SECONDS")
      ->check(CLI::NonNegativeNumber);
  command->add_flag("--json", options->json, "One JSON object");
  command->callback([options, &context] {
    context.run = [options, &context] { return run(*options, context); };
  });
}

}  // namespace huntd::huntctl
