// huntctl dead: the records that hunt-aggregator could not count, and a second try for them.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <vector>

#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/dead_records.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

struct ListOptions {
  size_t limit = 20;
  bool json = false;
};

struct RetryOptions {
  std::vector<std::string> places;
  bool all = false;
  bool again = false;
};

std::string utc_text(int64_t ms) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<time_t>(ms / 1000)));
}

// Anybody may have written it: nothing in it reaches the terminal but visible ASCII.
std::string visible(std::string_view text) {
  std::string shown(text);
  for (char& c : shown)
    if (c < 0x20 || c > 0x7e) c = '.';
  return shown;
}

using Newest = std::vector<const std::pair<const std::string, DeadEntry>*>;

std::string text(const Newest& newest) {
  TextTable table;
  for (const char* head : {"place", "set aside", "retried", "reason", "payload"})
    table.add_column(head, TextTable::Align::left);
  for (const auto* at : newest) {
    const DeadEntry& entry = at->second;
    table.add_row(
        {visible(at->first), utc_text(entry.at_ms),
         entry.retried_at_ms > 0 ? utc_text(entry.retried_at_ms) : "-", visible(entry.reason),
         visible(entry.payload_start) + (entry.payload_bytes > entry.payload_start.size()
                                             ? fmt::format("… ({} bytes)", entry.payload_bytes)
                                             : "")});
  }
  return newest.empty() ? std::string() : table.str();
}

std::string json(const DeadBook& book, const Newest& newest, uint64_t retried) {
  std::string out = fmt::format(R"({{"total":{},"retried":{},"others":{},"dead":[)",
                                book.entries.size(), retried, book.others);
  for (const auto* at : newest) {
    const DeadEntry& entry = at->second;
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
  return out + "]}\n";
}

int list(const ListOptions& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error().message);
  Result<DeadBook> const book = read_dead_records(*config);
  if (!book) return fail(book.error().message);
  Newest newest;
  uint64_t retried = 0;
  for (const auto& entry : book->entries) {
    newest.push_back(&entry);
    retried += entry.second.retried_at_ms > 0 ? 1 : 0;
  }
  std::stable_sort(newest.begin(), newest.end(),
                   [](const auto* a, const auto* b) { return a->second.at_ms > b->second.at_ms; });
  newest.resize(std::min(newest.size(), options.limit));
  if (options.json) {
    std::fputs(json(*book, newest, retried).c_str(), stdout);
    return exit_ok;
  }
  std::fputs(text(newest).c_str(), stdout);
  std::string totals = fmt::format("{} dead, {} of them retried", book->entries.size(), retried);
  if (newest.size() < book->entries.size())
    totals += fmt::format("; the newest {} are shown", newest.size());
  if (book->others > 0)
    totals += fmt::format("; {} records of topic {} are not of {}", book->others,
                          config->kafka.dead_topic, config->kafka.topic);
  std::printf("%s\n", totals.c_str());
  return exit_ok;
}

int retry(const RetryOptions& options, const Context& context) {
  if (options.all == !options.places.empty()) {
    fail("dead retry: name places as `huntctl dead list` shows them, or say --all");
    return exit_usage;
  }
  Result<Config> const config = context.config();
  if (!config) return fail(config.error().message);
  Result<DeadBook> const book = read_dead_records(*config);
  if (!book) return fail(book.error().message);
  std::set<std::string> wanted;
  std::vector<std::string> complaints;
  uint64_t done_before = 0;
  auto const want = [&](const std::string& place, const DeadEntry& entry) {
    if (entry.retried_at_ms == 0 || options.again) {
      wanted.insert(place);
      return;
    }
    done_before += 1;
    if (!options.all)
      complaints.push_back(fmt::format("{} was retried at {}; --again does it once more", place,
                                       utc_text(entry.retried_at_ms)));
  };
  if (options.all)
    for (const auto& [place, entry] : book->entries) want(place, entry);
  for (const std::string& place : options.places) {
    auto const found = book->entries.find(place);
    if (found == book->entries.end())
      complaints.push_back(
          fmt::format("no dead record is at {}; see `huntctl dead list`", visible(place)));
    else
      want(place, found->second);
  }
  Result<uint64_t> const retried = retry_dead_records(*config, wanted);
  if (!retried) return fail(retried.error().message);
  std::string told = fmt::format("{} produced again to {}", *retried, config->kafka.topic);
  if (done_before > 0)
    told += fmt::format(", {} were before and are left alone (--again)", done_before);
  std::printf("%s\n", told.c_str());
  for (const std::string& complaint : complaints) fail(complaint);
  return complaints.empty() ? exit_ok : exit_failure;
}

}  // namespace

void add_dead(CLI::App& app, Context& context) {
  CLI::App* const command =
      app.add_subcommand("dead", "The records that hunt-aggregator could not count");
  command->require_subcommand(1);

  auto const list_options = std::make_shared<ListOptions>();
  CLI::App* const list_command = command->add_subcommand(
      "list", "Where each came from, why and when it was set aside, and how it begins");
  list_command->add_flag("--json", list_options->json, "One JSON object");
  list_command->add_option("--limit", list_options->limit, "List the newest N (20)")
      ->type_name("N");
  list_command->callback([list_options, &context] {
    context.run = [list_options, &context] { return list(*list_options, context); };
  });

  auto const retry_options = std::make_shared<RetryOptions>();
  CLI::App* const retry_command = command->add_subcommand(
      "retry", "Produce them to kafka.topic again, as they were; each only once");
  retry_command->add_option("PLACE", retry_options->places,
                            "As `huntctl dead list` shows it: PARTITION:OFFSET or an event_id");
  retry_command->add_flag("--all", retry_options->all, "All that were not retried yet");
  retry_command->add_flag("--again", retry_options->again, "Also those that were retried before");
  retry_command->callback([retry_options, &context] {
    context.run = [retry_options, &context] { return retry(*retry_options, context); };
  });
}

}  // namespace huntd::huntctl
