// SPDX-License-Identifier: Apache-2.0
// huntctl dead: lists and retries dead letters, the records that hunt-aggregator could not count.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/dead_letters.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

struct ListOptions {
  size_t limit = 20;
};

struct RetryOptions {
  std::vector<std::string> places;
  bool all = false;
  bool again = false;
};

// Replaces everything except visible ASCII, because the text may come from any producer and goes to
// a terminal.
std::string visible(std::string_view text) {
  std::string shown(text);
  for (char& c : shown)
    if (c < 0x20 || c > 0x7e) c = '.';
  return shown;
}

using Newest = std::vector<const std::pair<const std::string, DeadLetterEntry>*>;

std::string text(const Newest& newest) {
  if (newest.empty()) return {};
  TextTable table;
  for (const char* head : {"place", "dead-lettered", "retried", "reason", "payload"})
    table.add_column(head, TextTable::Align::left);
  for (const auto* at : newest) {
    const DeadLetterEntry& entry = at->second;
    bool const shortened = entry.payload_bytes > entry.payload_start.size();
    table.add_row({visible(at->first), utc_text(entry.at_ms),
                   entry.retried_at_ms > 0 ? utc_text(entry.retried_at_ms) : "-",
                   visible(entry.reason),
                   visible(entry.payload_start) +
                       (shortened ? fmt::format("… ({} bytes)", entry.payload_bytes) : "")});
  }
  return table.str();
}

std::string json(const DeadLetters& letters, const Newest& newest, uint64_t retried) {
  std::string out = fmt::format(R"({{"total":{},"retried":{},"others":{},"dead":[)",
                                letters.entries.size(), retried, letters.others);
  for (const auto* at : newest) {
    const DeadLetterEntry& entry = at->second;
    if (out.back() != '[') out += ',';
    out += R"({"place":)";
    append_json_string(out, at->first);
    for (const auto& [name, value] : {std::pair{"partition", &entry.partition},
                                      {"offset", &entry.offset},
                                      {"event_id", &entry.event_id}}) {
      out += fmt::format(R"(,"{}":)", name);
      if (value->empty())
        out += "null";
      else
        append_json_string(out, *value);
    }
    out += R"(,"reason":)";
    append_json_string(out, entry.reason);
    out += fmt::format(R"(,"at_ms":{},"retried_at_ms":{},"payload_bytes":{},"payload_start":)",
                       entry.at_ms,
                       entry.retried_at_ms > 0 ? std::to_string(entry.retried_at_ms) : "null",
                       entry.payload_bytes);
    append_json_string(out, entry.payload_start);
    out += '}';
  }
  return out + "]}";
}

int list(const ListOptions& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<DeadLetters> const letters = read_dead_letters(*config);
  if (!letters) return fail(letters.error());
  Newest newest;
  uint64_t retried = 0;
  for (const auto& entry : letters->entries) {
    newest.push_back(&entry);
    retried += entry.second.retried_at_ms > 0 ? 1 : 0;
  }
  std::stable_sort(newest.begin(), newest.end(),
                   [](const auto* a, const auto* b) { return a->second.at_ms > b->second.at_ms; });
  newest.resize(std::min(newest.size(), options.limit));
  print_object(json(*letters, newest, retried));
  print(text(newest));
  std::string totals = fmt::format("{} dead letters, {} retried", letters->entries.size(), retried);
  if (newest.size() < letters->entries.size())
    totals += fmt::format("; the newest {} are shown", newest.size());
  if (letters->others > 0)
    totals += fmt::format("; {} records of topic {} are not from {}", letters->others,
                          config->kafka.dead_topic, config->kafka.topic);
  print(totals + "\n");
  return exit_ok;
}

// The dead letters that a retry selects.
struct Selection {
  std::set<std::string> places;
  std::vector<std::string> complaints;  // one per place that cannot be retried
  uint64_t skipped = 0;                 // retried before
};

Selection select(const RetryOptions& options, const DeadLetters& letters) {
  Selection selection;
  auto const add = [&](const std::string& place, const DeadLetterEntry& entry) {
    if (entry.retried_at_ms == 0 || options.again) {
      selection.places.insert(place);
      return;
    }
    selection.skipped += 1;
    if (!options.all)
      selection.complaints.push_back(fmt::format("{} was retried at {}: --again retries it again",
                                                 place, utc_text(entry.retried_at_ms)));
  };
  if (options.all)
    for (const auto& [place, entry] : letters.entries) add(place, entry);
  for (const std::string& place : options.places) {
    auto const found = letters.entries.find(place);
    if (found == letters.entries.end())
      selection.complaints.push_back(
          fmt::format("no dead letter has the place {}: see `huntctl dead list`", visible(place)));
    else
      add(place, found->second);
  }
  return selection;
}

int retry(const RetryOptions& options, const Context& context) {
  if (options.all == !options.places.empty())
    return fail_usage("dead retry: give places as `huntctl dead list` prints them, or --all");
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<DeadLetters> const letters = read_dead_letters(*config);
  if (!letters) return fail(letters.error());
  Selection const selection = select(options, *letters);
  Result<uint64_t> const retried = retry_dead_letters(*config, selection.places);
  if (!retried) return fail(retried.error());
  std::string result = fmt::format("{} produced to {} again", *retried, config->kafka.topic);
  if (selection.skipped > 0)
    result +=
        fmt::format(", {} skipped because they were retried before (--again)", selection.skipped);
  print_object(fmt::format(R"({{"retried":{},"skipped":{}}})", *retried, selection.skipped));
  print(result + "\n");
  for (const std::string& complaint : selection.complaints) fail(complaint);
  return selection.complaints.empty() ? exit_ok : exit_failure;
}

}  // namespace

void add_dead(CLI::App& app, Context& context) {
  CLI::App* const command =
      app.add_subcommand("dead", "List or retry the records that hunt-aggregator could not count");
  command->require_subcommand(1);

  auto const list_options = std::make_shared<ListOptions>();
  CLI::App* const list_command = command->add_subcommand(
      "list", "Print the place, time, reason and first bytes of each dead letter");
  list_command->add_option("--limit", list_options->limit, "Print the newest N (20)")
      ->type_name("N");
  set_body(*list_command, context, list_options, &list);

  auto const retry_options = std::make_shared<RetryOptions>();
  CLI::App* const retry_command = command->add_subcommand(
      "retry", "Produce dead letters to kafka.topic again, unchanged, each only once");
  retry_command->add_option("PLACE", retry_options->places,
                            "As `huntctl dead list` prints it: PARTITION:OFFSET or an event_id");
  retry_command->add_flag("--all", retry_options->all, "All that were not retried before");
  retry_command->add_flag("--again", retry_options->again, "Also those that were retried before");
  set_body(*retry_command, context, retry_options, &retry);
}

}  // namespace huntd::huntctl
