// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/supply.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/format_text.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "core/ledger/supply_scripts.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

constexpr uint64_t background_timeout_ns = 5'000'000'000;
constexpr int64_t reply_enlist_first = 2;  // of the script `reserve`
constexpr std::string_view settling = "settling";
constexpr std::string_view given = "given";

PoolString owner_of(const RequestName& name) {
  return format_text("{} {} {}", name.request_id, name.hunter_id, name.key);
}

PoolString supply_name_of(std::string_view hunt_id, std::string_view loot_id) {
  return format_text("{}:{}", hunt_id, loot_id);
}

}  // namespace

std::optional<ReservedUnit> read_unit_state(std::string_view hunt_id, std::string_view state) {
  size_t const space = state.find(' ');
  std::string_view const word = state.substr(0, space);
  // An older huntd wrote `retaken` for a unit that a later attempt had taken over.
  if (word != "pending" && word != "retaken" && word != settling) return std::nullopt;
  if (space == std::string_view::npos) return std::nullopt;
  std::string_view const owner = state.substr(space + 1);
  // Ids have no space, and a key has only visible characters.
  size_t const first = owner.find(' ');
  size_t const second = first == std::string_view::npos ? first : owner.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  RequestName name{PoolString(hunt_id), PoolString(owner.substr(first + 1, second - first - 1)),
                   PoolString(owner.substr(second + 1)), PoolString(owner.substr(0, first))};
  if (name.request_id.empty() || name.hunter_id.empty() || name.key.empty()) return std::nullopt;
  return ReservedUnit{word == settling, PoolString(owner), std::move(name)};
}

// --- enlisting -----------------------------------------------------------------------------------

void EnlistedSupplies::refresh(uint64_t lineage, uint64_t now_ns) {
  if (lineage == lineage_ && now_ns < since_ns_ + kept_ns) return;
  names_.clear();
  lineage_ = lineage;
  since_ns_ = now_ns;
}

void EnlistedSupplies::add(const PoolString& supply_name) {
  if (names_.size() >= count_max) names_.clear();
  names_.insert(supply_name);
}

Supply::Supply(RedisNodes& redis, Scheduler& scheduler, Clock& clock, CoreMetrics& metrics,
               uint64_t idempotency_ttl_s, uint64_t request_deadline_ms)
    : redis_(redis),
      scheduler_(scheduler),
      clock_(clock),
      metrics_(metrics),
      idempotency_ttl_ms_(idempotency_ttl_s * 1000),
      resolved_ttl_ms_(std::max(idempotency_ttl_ms_, limits::tombstone_ttl_ms)),
      stale_after_ms_(stale_after_ms(request_deadline_ms)),
      enlist_(redis.add_script(scripts::enlist)),
      reserve_(redis.add_script(scripts::reserve)),
      taken_units_(redis.add_script(scripts::taken_units)),
      settle_(redis.add_script(scripts::settle)),
      expire_record_(redis.add_script(scripts::expire_record)),
      release_(redis.add_script(scripts::release)),
      stale_units_(redis.add_script(scripts::stale_units)),
      resolve_(redis.add_script(scripts::resolve)),
      drawn_supplies_(redis.add_script(scripts::drawn_supplies)),
      remove_drawn_(redis.add_script(scripts::remove_drawn)) {}

Task<Supply::Enlisted> Supply::enlist(const PoolString& hunt_id, const PoolString& loot_id,
                                      const PoolString& supply_name, uint64_t deadline_at_ns) {
  PoolString const key = keys::supplies_of(hunt_id);
  // In a cluster each key of a supply may be at another node.
  bool const usable = co_await redis_.of_key(key).usable(deadline_at_ns);
  if (!usable) co_return Enlisted::unavailable;
  PoolString const count_max = format_text("{}", limits::supplies_per_hunt_max);
  PoolVector<std::string_view> key_names{key};
  PoolVector<std::string_view> arguments{loot_id, count_max};
  RedisReply reply = co_await redis_.evaluate(*enlist_, std::move(key_names), std::move(arguments),
                                              deadline_at_ns);
  if (reply.is_number() && reply.number() == 0) {
    // A supply of an older huntd that no sweep has adopted yet is not a new one.
    PoolVector<std::string_view> words{"SISMEMBER", keys::supplies, supply_name};
    reply = co_await redis_.retried(std::move(words), deadline_at_ns);
    if (reply.is_number() && reply.number() == 0) co_return Enlisted::full;
  }
  if (reply.lost()) co_return Enlisted::lost;
  if (reply.is_number()) {
    enlisted_.add(supply_name);
    co_return Enlisted::yes;
  }
  if (!reply.is_error()) redis_.of_key(key).fail_protocol("enlist");
  co_return Enlisted::unavailable;
}

// --- a request -----------------------------------------------------------------------------------

Task<Supply::Granted> Supply::reserve(const RequestName& name, const PoolString& loot_id,
                                      const PoolString& event_id, uint64_t limit,
                                      uint64_t deadline_at_ns) {
  PoolString const supply_name = supply_name_of(name.hunt_id, loot_id);
  PoolString const supply_key = keys::supply(name.hunt_id, loot_id);
  RedisReply reply;
  for (int tries = 0; tries < limits::redis_tries_max && reply.lost(); ++tries) {
    bool const usable = co_await redis_.of_key(supply_key).usable(deadline_at_ns);
    if (!usable) co_return Granted::unavailable;
    enlisted_.refresh(redis_.lineage(), scheduler_.now_ns());
    bool const known = enlisted_.has(supply_name);
    if (!known) {
      Enlisted const enlisted = co_await enlist(name.hunt_id, loot_id, supply_name, deadline_at_ns);
      if (enlisted == Enlisted::lost) continue;
      if (enlisted == Enlisted::full) co_return Granted::full;
      if (enlisted == Enlisted::unavailable) co_return Granted::unavailable;
    }
    reply = co_await draw(name, loot_id, event_id, limit, !known, deadline_at_ns);
    if (known && reply.is_number() && reply.number() == reply_enlist_first) {
      enlisted_.remove(supply_name);
      reply = RedisReply();
    }
  }
  if (!reply.is_number() || reply.number() < 0 || reply.number() > 1) {
    if (!reply.lost() && !reply.is_error()) redis_.of_key(supply_key).fail_protocol("reserve");
    co_return Granted::unavailable;
  }
  if (reply.number() == 1) {
    metrics_.add(Counter::supply_granted);
    co_return Granted::yes;
  }
  metrics_.add(Counter::supply_gone);
  co_return Granted::gone;
}

// The reply to the script `reserve`.
Task<RedisReply> Supply::draw(const RequestName& name, const PoolString& loot_id,
                              const PoolString& event_id, uint64_t limit, bool just_enlisted,
                              uint64_t deadline_at_ns) {
  PoolString const supply_name = supply_name_of(name.hunt_id, loot_id);
  PoolString const shard = keys::supplies_drawn(keys::supply_shard(supply_name));
  PoolString const now_ms = format_text("{}", clock_.wall_ms());
  // The sweep finds the supply there. The command leaves in the same write, before the reservation; in
  // a cluster it may go to another node, and has to be executed first.
  PoolVector<std::string_view> note{"ZADD", shard, now_ms, supply_name};
  if (redis_.is_cluster()) {
    RedisReply const noted = co_await redis_.retried(std::move(note), deadline_at_ns);
    if (!noted.is_number()) co_return RedisReply();
  } else if (!redis_.send_ignoring_reply(std::move(note))) {
    co_return RedisReply();
  }
  PoolString const supply = keys::supply(name.hunt_id, loot_id);
  PoolString const pending = keys::supply_pending(name.hunt_id, loot_id);
  PoolString const limit_key = keys::supply_limit(name.hunt_id, loot_id);
  PoolString const limit_text = format_text("{}", limit);
  PoolString const owner = owner_of(name);
  PoolVector<std::string_view> key_names{supply, pending, limit_key};
  PoolVector<std::string_view> arguments{event_id, limit_text, owner, just_enlisted ? "1" : "0"};
  RedisReply reply = co_await redis_.evaluate(*reserve_, std::move(key_names), std::move(arguments),
                                              deadline_at_ns);
  co_return reply;
}

Task<std::optional<uint64_t>> Supply::left(const PoolString& hunt_id, const PoolString& loot_id,
                                           uint64_t limit, uint64_t deadline_at_ns) {
  PoolString const supply = keys::supply(hunt_id, loot_id);
  RedisReply reply;
  for (int tries = 0; tries < limits::redis_tries_max && reply.lost(); ++tries) {
    bool const usable = co_await redis_.of_key(supply).usable(deadline_at_ns);
    if (!usable) co_return std::nullopt;
    PoolVector<std::string_view> key_names{supply};
    reply = co_await redis_.evaluate(*taken_units_, std::move(key_names), {}, deadline_at_ns);
  }
  if (!reply.is_number() || reply.number() < 0) {
    if (!reply.lost() && !reply.is_error()) redis_.of_key(supply).fail_protocol("taken_units");
    co_return std::nullopt;
  }
  co_return limit - std::min(limit, static_cast<uint64_t>(reply.number()));
}

void Supply::settle(const RequestName& name, const PoolVector<Reservation>& units, bool keyed) {
  if (units.empty()) return;
  start(settle_units(name, units, keyed ? idempotency_ttl_ms_ : Ledger::unkeyed_ttl_ms));
}

void Supply::release(const RequestName& name, const PoolVector<Reservation>& units) {
  for (const Reservation& unit : units) start(release_unit(name.hunt_id, unit, owner_of(name)));
}

// The record proves that a pending unit was awarded, so it gets its TTL only once no unit of the
// request is pending. A unit is settling until it is known that the record has a TTL.
Task<> Supply::settle_units(RequestName name, PoolVector<Reservation> units, uint64_t ttl_ms) {
  PoolString const owner = owner_of(name);
  for (const Reservation& unit : units) {
    bool const done = co_await settle_unit(name, unit, owner, settling);
    if (!done) co_return;  // the sweep goes on from what the units' states say
  }
  bool const expires = co_await expire_record(name, ttl_ms);
  if (!expires) co_return;
  for (const Reservation& unit : units) {
    bool const done = co_await settle_unit(name, unit, owner, given);
    if (!done) co_return;
  }
}

// One step of one unit: to `settling` or to `given`. Returns whether Redis has replied.
Task<bool> Supply::settle_unit(const RequestName& name, const Reservation& unit,
                               const PoolString& owner, std::string_view to) {
  PoolString const supply = keys::supply(name.hunt_id, unit.loot_id);
  PoolString const pending = keys::supply_pending(name.hunt_id, unit.loot_id);
  PoolVector<std::string_view> key_names{supply, pending};
  PoolVector<std::string_view> arguments{unit.event_id, owner, to};
  RedisReply reply = co_await redis_.evaluate(*settle_, std::move(key_names), std::move(arguments),
                                              scheduler_.now_ns() + background_timeout_ns);
  if (!reply.is_number()) co_return false;
  if (reply.number() == 0 && to == settling)
    log::error("an awarded unit is missing from its supply",
               {{"hunt_id", name.hunt_id},
                {"loot_id", unit.loot_id},
                {"event_id", unit.event_id},
                {"reason", "Redis has lost data, or the supply was deleted"},
                {"hint", "huntctl restore adds what the table has counted"}});
  co_return true;
}

// Gives the request's record a TTL, if it has none. Returns whether Redis has replied.
Task<bool> Supply::expire_record(const RequestName& name, uint64_t ttl_ms) {
  PoolString const done = keys::done(name.hunter_id, name.hunt_id, name.key);
  PoolString const ttl = format_text("{}", ttl_ms);
  PoolVector<std::string_view> key_names{done};
  PoolVector<std::string_view> arguments{ttl};
  RedisReply reply =
      co_await redis_.evaluate(*expire_record_, std::move(key_names), std::move(arguments),
                               scheduler_.now_ns() + background_timeout_ns);
  co_return reply.is_number();
}

Task<> Supply::release_unit(PoolString hunt_id, Reservation unit, PoolString owner) {
  PoolString const supply = keys::supply(hunt_id, unit.loot_id);
  PoolString const pending = keys::supply_pending(hunt_id, unit.loot_id);
  PoolVector<std::string_view> key_names{supply, pending};
  PoolVector<std::string_view> arguments{unit.event_id, owner};
  RedisReply reply = co_await redis_.evaluate(*release_, std::move(key_names), std::move(arguments),
                                              scheduler_.now_ns() + background_timeout_ns);
  if (reply.is_number() && reply.number() == 1) metrics_.add(Counter::supply_released);
}

// --- the sweep -----------------------------------------------------------------------------------

Task<> Supply::sweep(Owns owns, void* context) {
  if (owns(context, bucket_of(keys::supplies))) co_await adopt_old_supplies();
  for (size_t steps = 0; steps < sweep_steps_max && walk_.shard < keys::supply_drawn_shards;) {
    if (!owns(context, walk_.shard)) {
      walk_.next_shard();
      continue;
    }
    Page const page = co_await visit_page(owns, context);
    steps += page.steps;
    if (page.supplies < sweep_page_supplies) walk_.next_shard();
  }
  if (walk_.shard == keys::supply_drawn_shards) walk_ = Walk{walk_.number + 1, 0, 0};
}

// An older huntd kept the names of all supplies in one set. They move to where this huntd looks for
// them: a name that has moved is not read again. A late reservation of an older huntd adds it again.
Task<> Supply::adopt_old_supplies() {
  if (old_set_.connection != redis_.connections()) {
    old_set_ = OldSet();
    old_set_.connection = redis_.connections();
  }
  for (size_t names = 0; names < sweep_old_names_max && !old_set_.done;) {
    PoolString const cursor = old_set_.cursor;
    PoolVector<std::string_view> words{"SSCAN", keys::supplies, cursor, "COUNT", "100"};
    RedisReply page =
        co_await redis_.command(std::move(words), scheduler_.now_ns() + background_timeout_ns);
    if (page.size() != 2 || !page[1].is_array()) co_return;  // the next sweep tries again
    for (size_t i = 0; i < page[1].size(); ++i) {
      bool const adopted = co_await adopt_old_supply(PoolString(page[1][i].text()));
      old_set_.complete = old_set_.complete && adopted;
    }
    names += std::max<size_t>(page[1].size(), 1);
    old_set_.cursor = page[0].text();
    if (old_set_.cursor != "0") continue;
    old_set_.done = old_set_.complete;
    old_set_.complete = true;
    if (!old_set_.done) co_return;  // the next sweep reads what is left
  }
}

// Returns false if it has to be tried again.
Task<bool> Supply::adopt_old_supply(PoolString supply_name) {
  size_t const colon = supply_name.find(':');
  if (colon == PoolString::npos) co_return true;
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_timeout_ns;
  PoolString const listed = keys::supplies_of(supply_name.substr(0, colon));
  PoolString const loot_id = supply_name.substr(colon + 1);
  PoolVector<std::string_view> list{"SADD", listed, loot_id};
  RedisReply reply = co_await redis_.command(std::move(list), deadline_at_ns);
  if (!reply.is_number()) co_return false;
  // Old enough for the next walk, which looks for stale units.
  PoolString const shard = keys::supplies_drawn(keys::supply_shard(supply_name));
  PoolString const stale_at_ms =
      format_text("{}", clock_.wall_ms() - static_cast<int64_t>(stale_after_ms_));
  PoolVector<std::string_view> note{"ZADD", shard, stale_at_ms, supply_name};
  reply = co_await redis_.command(std::move(note), deadline_at_ns);
  if (!reply.is_number()) co_return false;
  PoolVector<std::string_view> remove{"SREM", keys::supplies, supply_name};
  reply = co_await redis_.command(std::move(remove), deadline_at_ns);
  co_return reply.is_number();
}

// Visits the next supplies of the shard where the walk is. No supplies: also if a reply was lost;
// the next walk comes here again.
Task<Supply::Page> Supply::visit_page(Owns owns, void* context) {
  uint32_t const shard = walk_.shard;
  int64_t const stale_at_ms = clock_.wall_ms() - static_cast<int64_t>(stale_after_ms_);
  PoolString const key = keys::supplies_drawn(shard);
  PoolString const to = walk_.all() ? PoolString("+inf") : format_text("{}", stale_at_ms);
  PoolString const skip = format_text("{}", walk_.skip);
  PoolString const count_max = format_text("{}", sweep_page_supplies);
  PoolVector<std::string_view> key_names{key};
  PoolVector<std::string_view> arguments{to, skip, count_max};
  RedisReply drawn =
      co_await redis_.evaluate(*drawn_supplies_, std::move(key_names), std::move(arguments),
                               scheduler_.now_ns() + background_timeout_ns);
  Page page{drawn.size() / 2, 0};
  for (size_t i = 0; i + 1 < drawn.size() && owns(context, shard); i += 2) {
    PoolString const supply_name(drawn[i].text());
    PoolString const drawn_at_ms(drawn[i + 1].text());
    size_t const colon = std::min(supply_name.find(':'), supply_name.size() - 1);
    Visit const visit =
        co_await visit_supply(supply_name.substr(0, colon), supply_name.substr(colon + 1));
    page.steps += 1 + visit.units;
    // One that was drawn on a moment ago stays: its reservation may be on its way.
    bool removed =
        visit.idle && std::strtod(drawn_at_ms.c_str(), nullptr) <= static_cast<double>(stale_at_ms);
    if (removed) removed = co_await remove_drawn(supply_name, drawn_at_ms);
    if (!removed) ++walk_.skip;
  }
  co_return page;
}

Task<Supply::Visit> Supply::visit_supply(PoolString hunt_id, PoolString loot_id) {
  PoolString const supply = keys::supply(hunt_id, loot_id);
  PoolString const pending = keys::supply_pending(hunt_id, loot_id);
  PoolString const age = format_text("{}", stale_after_ms_);
  PoolString const count_max = format_text("{}", sweep_units_max);
  PoolVector<std::string_view> key_names{supply, pending};
  PoolVector<std::string_view> arguments{age, count_max};
  RedisReply found =
      co_await redis_.evaluate(*stale_units_, std::move(key_names), std::move(arguments),
                               scheduler_.now_ns() + background_timeout_ns);
  Visit visit;
  for (size_t i = 1; i + 1 < found.size(); i += 2) {
    Reservation unit{loot_id, PoolString(found[i].text())};
    PoolString state(found[i + 1].text());
    co_await resolve_unit(hunt_id, std::move(unit), std::move(state));
    ++visit.units;
  }
  visit.idle = found.size() == 1 && found[0].is_number() && found[0].number() == 0;
  co_return visit;
}

Task<> Supply::resolve_unit(PoolString hunt_id, Reservation unit, PoolString state) {
  std::optional<ReservedUnit> const reserved = read_unit_state(hunt_id, state);
  if (!reserved) {
    log::error("malformed state of a unit",
               {{"hunt_id", hunt_id}, {"loot_id", unit.loot_id}, {"state", state}});
    co_return;
  }
  bool committed = reserved->settling;
  if (committed) {
    bool const expires = co_await expire_record(reserved->name, resolved_ttl_ms_);
    if (!expires) co_return;  // the next sweep tries again
  } else {
    const RequestName& name = reserved->name;
    PoolString const done = keys::done(name.hunter_id, name.hunt_id, name.key);
    PoolString const ttl = format_text("{}", resolved_ttl_ms_);
    PoolString const attempts_max = format_text("{}", limits::tombstone_attempts_max);
    PoolVector<std::string_view> key_names{done};
    PoolVector<std::string_view> arguments{unit.event_id, name.request_id, ttl, attempts_max};
    RedisReply reply =
        co_await redis_.evaluate(*resolve_, std::move(key_names), std::move(arguments),
                                 scheduler_.now_ns() + background_timeout_ns);
    if (!reply.is_number() || reply.number() < 0 || reply.number() > 1) co_return;
    committed = reply.number() == 1;
  }
  log::notice("stale reservation resolved", {{"hunt_id", hunt_id},
                                             {"loot_id", unit.loot_id},
                                             {"event_id", unit.event_id},
                                             {"outcome", committed ? "settled" : "released"}});
  if (committed)
    co_await settle_unit(reserved->name, unit, reserved->owner, given);
  else
    co_await release_unit(std::move(hunt_id), std::move(unit), reserved->owner);
}

// Returns whether the supply has left its shard.
Task<bool> Supply::remove_drawn(const PoolString& supply_name, const PoolString& drawn_at_ms) {
  PoolString const key = keys::supplies_drawn(keys::supply_shard(supply_name));
  PoolVector<std::string_view> key_names{key};
  PoolVector<std::string_view> arguments{supply_name, drawn_at_ms};
  RedisReply reply =
      co_await redis_.evaluate(*remove_drawn_, std::move(key_names), std::move(arguments),
                               scheduler_.now_ns() + background_timeout_ns);
  co_return reply.is_number() && reply.number() == 1;
}

}  // namespace huntd::server
