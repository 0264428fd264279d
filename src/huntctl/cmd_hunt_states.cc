// SPDX-License-Identifier: Apache-2.0
// huntctl hunt close, open and list: which hunts give loot.
#include <fmt/format.h>

#include <map>
#include <memory>

#include "base/ids.h"
#include "base/json_text.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
#include "huntctl/hunt_states.h"
#include "huntctl/redis_walk.h"
#include "huntctl/session_table.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

struct StateOptions {
  std::string hunt_id;
};

std::string state_json(std::string_view hunt_id, const HuntState& state) {
  std::string out = R"({"hunt_id":)";
  append_json_string(out, hunt_id);
  return out + fmt::format(R"(,"state":"{}","floor":"{}","closed_at_ms":{},"purge_unfinished":{})",
                           state.closed ? "closed" : "open", generation_text(state.floor),
                           state.closed_at_ms > 0 ? std::to_string(state.closed_at_ms) : "null",
                           purge_unfinished(state));
}

// Reads the state of the hunt, and writes what `next_of(state, now_ms)` returns if that differs.
template <class NextOf>
Result<HuntState> change_state(const Config& config, const std::string& hunt_id, NextOf next_of) {
  PeerCall const waiting("Redis at " + redis_text(config.redis));
  RedisClient redis = redis_client(config);
  if (Result<void> connected = redis.connect(); !connected) return connected.error();
  Result<int64_t> const now_ms = redis_time_ms(redis);
  if (!now_ms) return now_ms.error();
  Result<HuntState> const state = read_hunt_state_of(redis, hunt_id);
  if (!state) return state.error();
  Result<HuntState> next = next_of(*state, *now_ms);
  if (!next || *next == *state) return next;
  if (Result<void> written = write_hunt_state_of(redis, hunt_id, *state, *next); !written)
    return written.error();
  return next;
}

template <class NextOf>
int change(const StateOptions& options, const Context& context, NextOf next_of,
           const std::string& effect) {
  if (!is_path_id(options.hunt_id))
    return fail_usage(fmt::format("\"{}\" is not a valid hunt_id", options.hunt_id));
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<HuntState> const state = change_state(*config, options.hunt_id, next_of);
  if (!state)
    return fail(
        Error{fmt::format("{}: {}", options.hunt_id, state.error().message), state.error().kind});
  print_object(state_json(options.hunt_id, *state) + "}");
  if (purge_unfinished(*state))
    print(fmt::format(
        "{} is closed, and a purge of it has not finished: run huntctl hunt purge again\n",
        options.hunt_id));
  else
    print(
        fmt::format("{} is {}: {}\n", options.hunt_id, state->closed ? "closed" : "open", effect));
  return exit_ok;
}

int close(const StateOptions& options, const Context& context) {
  return change(
      options, context,
      [](const HuntState& state, int64_t now_ms) -> Result<HuntState> {
        return closed_state(state, now_ms);
      },
      "POST gets 409 hunt-closed, within about a second; what hunters hold can still be read");
}

int open(const StateOptions& options, const Context& context) {
  return change(
      options, context, [](const HuntState& state, int64_t) { return opened_state(state); },
      "huntd runs it again, within about a second");
}

// A hunt as `list` shows it.
struct ListedHunt {
  HuntState state;
  uint64_t table_floor = 0;  // of the table hunt_floor
  uint64_t hunters = 0;
  uint64_t loot = 0;
};
using Hunts = std::map<std::string, ListedHunt>;

Result<void> add_tables(const Config& config, Hunts& hunts) {
  PeerCall const waiting("PostgreSQL");
  PgLink postgres(config.aggregator.postgres, config.aggregator.schema);
  if (Result<void> connected = connect_tables(postgres); !connected) return connected;
  Result<PgRows> const rows = postgres.execute("SELECT hunt_id, hunters, loot FROM hunt_hunters");
  if (!rows) return rows.error();
  for (int row = 0; row < rows->count(); ++row) {
    ListedHunt& hunt = hunts[std::string(rows->text(row, 0))];
    hunt.hunters = static_cast<uint64_t>(rows->integer(row, 1));
    hunt.loot = static_cast<uint64_t>(rows->integer(row, 2));
  }
  Result<std::map<std::string, uint64_t>> const floors = read_hunt_floors(postgres);
  if (!floors) return floors.error();
  for (const auto& [hunt_id, floor] : *floors) hunts[hunt_id].table_floor = floor;
  return {};
}

std::string note_of(const ListedHunt& hunt) {
  if (purge_unfinished(hunt.state)) return "purge unfinished: run it again";
  if (hunt.table_floor > hunt.state.floor) return "Redis lost the floor: huntctl restore";
  return "";
}

std::string list_text(const Hunts& hunts, bool tables) {
  if (hunts.empty())
    return tables ? "no hunter has loot, and no hunt was closed\n"
                  : "no hunt was closed; which hunts have loot is in PostgreSQL\n";
  TextTable table;
  for (const char* head : {"hunt", "state", "since", "purged"})
    table.add_column(head, TextTable::Align::left);
  for (const char* head : {"hunters", "loot"}) table.add_column(head, TextTable::Align::right);
  table.add_column("", TextTable::Align::left);
  auto const time = [](int64_t ms) { return ms > 0 ? utc_text(ms) : std::string("-"); };
  for (const auto& [hunt_id, hunt] : hunts)
    table.add_row({hunt_id, hunt.state.closed ? "closed" : "open", time(hunt.state.closed_at_ms),
                   time(generation_ms(hunt.state.floor)), tables ? count_text(hunt.hunters) : "?",
                   tables ? count_text(hunt.loot) : "?", note_of(hunt)});
  return table.str();
}

std::string list_json(const Hunts& hunts, bool tables) {
  std::string out = R"({"hunts":[)";
  for (const auto& [hunt_id, hunt] : hunts) {
    if (out.back() != '[') out += ',';
    out += state_json(hunt_id, hunt.state);
    if (tables)
      out += fmt::format(R"(,"table_floor":"{}","hunters":{},"loot":{}}})",
                         generation_text(hunt.table_floor), hunt.hunters, hunt.loot);
    else
      out += R"(,"table_floor":null,"hunters":null,"loot":null})";
  }
  return out + "]}";
}

int list(const NoOptions&, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  PeerCall const waiting("Redis at " + redis_text(config->redis));
  RedisClient redis = redis_client(*config);
  if (Result<void> connected = redis.connect(); !connected) return fail(connected.error());
  Result<std::map<std::string, HuntState>> const states = read_hunt_states(redis);
  if (!states) return fail(states.error());
  Hunts hunts;
  for (const auto& [hunt_id, state] : *states) hunts[hunt_id].state = state;
  Result<void> const tables = add_tables(*config, hunts);
  bool const has_tables = static_cast<bool>(tables);
  print_object(list_json(hunts, has_tables));
  print(list_text(hunts, has_tables));
  return has_tables ? exit_ok : fail(tables.error());
}

CLI::App* add_change(CLI::App& hunt, Context& context, const char* name, const char* about,
                     int (*body)(const StateOptions&, const Context&)) {
  auto const options = std::make_shared<StateOptions>();
  CLI::App* const command = hunt.add_subcommand(name, about);
  command->add_option("HUNT", options->hunt_id, "The hunt_id")->required();
  set_body(*command, context, options, body);
  return command;
}

}  // namespace

void add_hunt_states(CLI::App& hunt, Context& context) {
  add_change(hunt, context, "close", "Close a hunt: nothing more is awarded in it", &close);
  add_change(hunt, context, "open", "Open a hunt that was closed", &open);
  CLI::App* const command = hunt.add_subcommand(
      "list", "List the hunts that hunters have loot of, or that were closed or purged");
  set_body(*command, context, std::make_shared<NoOptions>(), &list);
}

}  // namespace huntd::huntctl
