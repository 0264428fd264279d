// SPDX-License-Identifier: Apache-2.0
#include "wire/loot_event.h"

#include <fmt/format.h>

#include <optional>

#include "base/format_text.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/limits.h"
#include "wire/generation.h"
#include "wire/loot_event_object.h"

namespace huntd {

PoolString make_event_id(std::string_view hunter_id, std::string_view hunt_id,
                         std::string_view request_id, uint32_t position) {
  return hash128_hex(format_text("{}:{}:{}:{}", hunter_id, hunt_id, position, request_id));
}

namespace {

constexpr std::string_view kind_award = "award";
constexpr std::string_view kind_take = "take";

// An award of one unit has no kind.
PoolString kind_text(int32_t units) {
  if (units == 1) return {};
  return format_text(R"(,"kind":"{}","count":{})", units > 0 ? kind_award : kind_take,
                     units > 0 ? units : -units);
}

}  // namespace

LootEventText loot_event_text(const LootEventFacts& facts) {
  // Ids contain only [A-Za-z0-9_.-], so no value needs escaping.
  return {format_text(R"({{"event_id":"{}","hunter_id":"{}","hunt_id":"{}","loot_id":"{}","seq":)",
                      facts.event_id, facts.hunter_id, facts.hunt_id, facts.loot_id),
          format_text(R"(","timestamp":{},"bundle":"{}"{}{}}})", facts.timestamp_ms, facts.bundle,
                      facts.from_supply ? R"(,"supply":true)" : "", kind_text(facts.units))};
}

std::string write_loot_event(const LootEvent& event) {
  LootEventText const text =
      loot_event_text({event.event_id, event.hunter_id, event.hunt_id, event.loot_id,
                       event.timestamp_ms, event.bundle, event.from_supply, event.units});
  std::string_view tail = text.tail;
  if (event.generation != 0)
    return fmt::format("{}{}{}{}{}", text.head, event.seq, event_gen_prefix,
                       generation_text(event.generation), tail);
  tail.remove_prefix(1);  // the quote that ends the generation
  return fmt::format("{}{}{}", text.head, event.seq, tail);
}

namespace {

bool is_hash_hex(std::string_view text) {
  if (text.size() != 32) return false;
  bool fine = true;  // without branches: the aggregator checks two per event
  for (char c : text) fine &= (c >= '0' && c <= '9') | (c >= 'a' && c <= 'f');
  return fine;
}

Result<std::string_view> text_field(simdjson::dom::object object, const char* name,
                                    bool (*valid)(std::string_view)) {
  std::string_view value;
  if (object[name].get(value) != simdjson::SUCCESS)
    return Error{fmt::format("no text field \"{}\"", name)};
  if (!valid(value)) return Error{fmt::format("field \"{}\" is malformed", name)};
  return value;
}

// Reads what a record with a kind gives or takes.
Result<int32_t> read_units(simdjson::dom::object object, simdjson::dom::element kind_field) {
  std::string_view kind = "?";
  if (kind_field.get(kind) != simdjson::SUCCESS || !is_id(kind)) kind = "?";
  if (kind != kind_award && kind != kind_take)
    return Error{fmt::format("kind \"{}\" is not known: upgrade hunt-aggregator", kind)};
  int64_t count = 0;
  if (object["count"].get(count) != simdjson::SUCCESS || count < 1 ||
      count > limits::loot_units_max)
    return Error{
        fmt::format("field \"count\" is not a whole number from 1 to {}", limits::loot_units_max)};
  auto const units = static_cast<int32_t>(count);
  return kind == kind_take ? -units : units;
}

// The fields that an event may lack.
Result<void> read_optional(simdjson::dom::object object, LootEventView& event) {
  simdjson::dom::element field;
  if (object["kind"].get(field) == simdjson::SUCCESS) {
    Result<int32_t> const units = read_units(object, field);
    if (!units) return units.error();
    event.units = *units;
  }
  if (object["gen"].get(field) == simdjson::SUCCESS) {
    std::string_view text;
    std::optional<uint64_t> generation;
    if (field.get(text) == simdjson::SUCCESS) generation = read_generation(text);
    if (!generation) return Error{"field \"gen\" is malformed"};
    event.generation = *generation;
  }
  if (object["supply"].get(field) == simdjson::SUCCESS &&
      field.get(event.from_supply) != simdjson::SUCCESS)
    return Error{"field \"supply\" is neither true nor false"};
  return {};
}

}  // namespace

Result<LootEventView> view_loot_event(std::string_view json) {
  thread_local simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json.data(), json.size()).get(object) != simdjson::SUCCESS)
    return Error{"not a JSON object"};
  return view_loot_event(object);
}

Result<LootEventView> view_loot_event(simdjson::dom::object object) {
  LootEventView event;
  // First: a record of another kind may lack fields of an award.
  if (Result<void> const optional = read_optional(object, event); !optional)
    return optional.error();
  struct {
    const char* name;
    std::string_view* into;
    bool (*valid)(std::string_view);
  } const texts[] = {{"event_id", &event.event_id, is_hash_hex},
                     {"hunter_id", &event.hunter_id, is_id},
                     {"hunt_id", &event.hunt_id, is_id},
                     {"loot_id", &event.loot_id, is_id},
                     {"bundle", &event.bundle, is_hash_hex}};
  for (const auto& field : texts) {
    Result<std::string_view> value = text_field(object, field.name, field.valid);
    if (!value) return value.error();
    *field.into = *value;
  }
  if (object["seq"].get(event.seq) != simdjson::SUCCESS || event.seq == 0)
    return Error{"field \"seq\" is not a whole number from 1"};
  if (object["timestamp"].get(event.timestamp_ms) != simdjson::SUCCESS)
    return Error{"field \"timestamp\" is not a whole number"};
  return event;
}

namespace {

Result<LootEvent> copy_of(const Result<LootEventView>& view) {
  if (!view) return view.error();
  return LootEvent{std::string(view->event_id),
                   std::string(view->hunter_id),
                   std::string(view->hunt_id),
                   std::string(view->loot_id),
                   view->seq,
                   view->timestamp_ms,
                   std::string(view->bundle),
                   view->generation,
                   view->from_supply,
                   view->units};
}

}  // namespace

Result<LootEvent> read_loot_event(std::string_view json) { return copy_of(view_loot_event(json)); }

Result<LootEvent> read_loot_event(simdjson::dom::object object) {
  return copy_of(view_loot_event(object));
}

Result<void> check_bounds(uint64_t seq, int64_t timestamp_ms) {
  if (seq > limits::seq_max)
    return Error{fmt::format("field \"seq\" is above {}", limits::seq_max)};
  if (timestamp_ms < 0 || timestamp_ms > limits::timestamp_ms_max)
    return Error{fmt::format("field \"timestamp\" is not from 0 to {}", limits::timestamp_ms_max)};
  return {};
}

}  // namespace huntd
