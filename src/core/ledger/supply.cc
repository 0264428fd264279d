// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/supply.h"

#include <algorithm>

#include "base/format_text.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "core/ledger/scripts.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

constexpr uint64_t background_timeout_ns = 5'000'000'000;

PoolString owner_of(const RequestName& name) {
  return format_text("{} {} {}", name.request_id, name.hunter_id, name.key);
}

}  // namespace

Supply::Supply(RedisLink& link, Scheduler& scheduler, CoreMetrics& metrics,
               uint64_t idempotency_ttl_s)
    : link_(link),
      scheduler_(scheduler),
      metrics_(metrics),
      idempotency_ttl_ms_(idempotency_ttl_s * 1000),
      reserve_(link.add_script(scripts::reserve)),
      settle_(link.add_script(scripts::settle)),
      release_(link.add_script(scripts::release)),
      stale_units_(link.add_script(scripts::stale_units)),
      resolve_(link.add_script(scripts::resolve)) {}

Task<Supply::Granted> Supply::reserve(const RequestName& name, const PoolString& loot_id,
                                      const PoolString& event_id, uint64_t limit,
                                      uint64_t deadline_at_ns) {
  PoolString const supply = keys::supply(name.hunt_id, loot_id);
  PoolString const pending = keys::supply_pending(name.hunt_id, loot_id);
  PoolString const supply_name = format_text("{}:{}", name.hunt_id, loot_id);
  PoolString const limit_text = format_text("{}", limit);
  PoolString const owner = owner_of(name);
  // The sweep finds the supplies in this set. The command leaves in the same write, before the
  // reservation.
  PoolString const limit_key = keys::supply_limit(name.hunt_id, loot_id);
  RedisReply reply;
  for (int tries = 0; tries < limits::redis_tries_max && reply.lost(); ++tries) {
    bool const usable = co_await link_.usable(deadline_at_ns);
    if (!usable) co_return Granted::unavailable;
    PoolVector<std::string_view> enlist{"SADD", keys::supplies, supply_name};
    if (!link_.send_ignoring_reply(std::move(enlist))) co_return Granted::unavailable;
    PoolVector<std::string_view> key_names{supply, pending, limit_key};
    PoolVector<std::string_view> arguments{event_id, limit_text, owner};
    reply = co_await link_.evaluate(*reserve_, std::move(key_names), std::move(arguments),
                                    deadline_at_ns);
  }
  if (!reply.is_number()) {
    if (!reply.lost() && !reply.is_error()) link_.fail_protocol("reserve");
    co_return Granted::unavailable;
  }
  if (reply.number() == 1) {
    metrics_.add(Counter::supply_granted);
    co_return Granted::yes;
  }
  metrics_.add(Counter::supply_gone);
  co_return Granted::gone;
}

void Supply::settle(const RequestName& name, const PoolVector<Reservation>& units, bool keyed) {
  uint64_t const ttl_ms = keyed ? idempotency_ttl_ms_ : Ledger::unkeyed_ttl_ms;
  for (const Reservation& unit : units) start(settle_unit(name, unit, ttl_ms));
}

void Supply::release(const RequestName& name, const PoolVector<Reservation>& units) {
  for (const Reservation& unit : units) start(release_unit(name, unit, owner_of(name), false));
}

Task<> Supply::settle_unit(RequestName name, Reservation unit, uint64_t ttl_ms) {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_timeout_ns;
  PoolString const supply = keys::supply(name.hunt_id, unit.loot_id);
  PoolString const pending = keys::supply_pending(name.hunt_id, unit.loot_id);
  PoolVector<std::string_view> key_names{supply, pending};
  PoolVector<std::string_view> arguments{unit.event_id};
  RedisReply reply =
      co_await link_.evaluate(*settle_, std::move(key_names), std::move(arguments), deadline_at_ns);
  if (!reply.is_number()) co_return;  // still pending: the sweep settles it
  PoolString const done = keys::done(name.hunter_id, name.hunt_id, name.key);
  PoolString const ttl = format_text("{}", ttl_ms);
  PoolVector<std::string_view> expire{"PEXPIRE", done, ttl};
  link_.send_ignoring_reply(std::move(expire));
}

Task<> Supply::release_unit(RequestName name, Reservation unit, PoolString owner, bool by_sweep) {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_timeout_ns;
  PoolString const supply = keys::supply(name.hunt_id, unit.loot_id);
  PoolString const pending = keys::supply_pending(name.hunt_id, unit.loot_id);
  PoolVector<std::string_view> key_names{supply, pending};
  PoolVector<std::string_view> arguments{unit.event_id, owner, by_sweep ? "1" : "0"};
  RedisReply reply = co_await link_.evaluate(*release_, std::move(key_names), std::move(arguments),
                                             deadline_at_ns);
  if (reply.is_number() && reply.number() == 1) metrics_.add(Counter::supply_released);
}

Task<> Supply::sweep(bool (*owns)(void* context, uint32_t bucket), void* context) {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_timeout_ns;
  PoolVector<std::string_view> words{"SMEMBERS", keys::supplies};
  RedisReply names = co_await link_.command(std::move(words), deadline_at_ns);
  PoolString const age = format_text("{}", stale_after_ms);
  PoolString const count_max = format_text("{}", sweep_units_max);
  for (size_t i = 0; i < names.size(); ++i) {
    std::string_view const supply_name = names[i].text();
    size_t const colon = supply_name.find(':');
    if (colon == std::string_view::npos || !owns(context, bucket_of(supply_name))) continue;
    PoolString const hunt_id(supply_name.substr(0, colon));
    PoolString const loot_id(supply_name.substr(colon + 1));
    PoolString const supply = keys::supply(hunt_id, loot_id);
    PoolString const pending = keys::supply_pending(hunt_id, loot_id);
    PoolVector<std::string_view> key_names{supply, pending};
    PoolVector<std::string_view> arguments{age, count_max};
    uint64_t const supply_deadline_at_ns = scheduler_.now_ns() + background_timeout_ns;
    RedisReply found = co_await link_.evaluate(*stale_units_, std::move(key_names),
                                               std::move(arguments), supply_deadline_at_ns);
    for (size_t f = 0; f + 1 < found.size(); f += 2)
      co_await resolve_unit(hunt_id, loot_id, PoolString(found[f].text()),
                            PoolString(found[f + 1].text()));
  }
}

Task<> Supply::resolve_unit(PoolString hunt_id, PoolString loot_id, PoolString event_id,
                            PoolString owner) {
  // owner: request_id, hunter_id, key. Ids have no space, and a key has only visible characters.
  size_t const first = owner.find(' ');
  size_t const second = first == PoolString::npos ? first : owner.find(' ', first + 1);
  if (second == PoolString::npos) {
    log::error("malformed owner of a reservation",
               {{"hunt_id", hunt_id}, {"loot_id", loot_id}, {"owner", owner}});
    co_return;
  }
  RequestName const name{hunt_id, owner.substr(first + 1, second - first - 1),
                         owner.substr(second + 1), owner.substr(0, first)};
  PoolString const done = keys::done(name.hunter_id, name.hunt_id, name.key);
  PoolString const ttl = format_text("{}", idempotency_ttl_ms_);
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_timeout_ns;
  PoolVector<std::string_view> key_names{done};
  PoolVector<std::string_view> arguments{event_id, name.request_id, ttl};
  RedisReply reply = co_await link_.evaluate(*resolve_, std::move(key_names), std::move(arguments),
                                             deadline_at_ns);
  if (!reply.is_number()) co_return;  // the next sweep tries again
  bool const committed = reply.number() == 1;
  log::notice("stale reservation resolved", {{"hunt_id", hunt_id},
                                             {"loot_id", loot_id},
                                             {"event_id", event_id},
                                             {"outcome", committed ? "settled" : "released"}});
  Reservation unit{loot_id, event_id};
  if (committed)
    co_await settle_unit(name, std::move(unit), idempotency_ttl_ms_);
  else
    co_await release_unit(name, std::move(unit), std::move(owner), true);
}

}  // namespace huntd::server
