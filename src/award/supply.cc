#include "award/supply.h"

#include <algorithm>

#include "award/scripts.h"
#include "base/format_text.h"
#include "base/hash.h"
#include "base/log.h"
#include "protocol/redis_keys.h"

namespace huntd {
namespace {

constexpr uint64_t background_deadline_ns = 5'000'000'000;

Text owner_of(const RequestName& name) {
  return format_text("{} {} {}", name.request_id, name.hunter_id, name.key);
}

}  // namespace

Supply::Supply(RedisLink& link, Scheduler& scheduler, CoreStats& stats, uint64_t idempotency_ttl_s)
    : link_(link),
      scheduler_(scheduler),
      stats_(stats),
      idempotency_ttl_ms_(idempotency_ttl_s * 1000),
      reserve_(link.add_script(scripts::reserve)),
      settle_(link.add_script(scripts::settle)),
      release_(link.add_script(scripts::release)),
      stale_(link.add_script(scripts::stale)),
      resolve_(link.add_script(scripts::resolve)) {}

Task<Supply::Granted> Supply::reserve(const RequestName& name, const Text& loot_id,
                                      const Text& event_id, uint64_t limit,
                                      uint64_t deadline_at_ns) {
  Text const supply = keys::supply(name.hunt_id, loot_id);
  Text const pending = keys::supply_pending(name.hunt_id, loot_id);
  Text const title = format_text("{}:{}", name.hunt_id, loot_id);
  Text const limit_text = format_text("{}", limit);
  Text const owner = owner_of(name);
  // The sweep finds supplies by this set; it leaves in the same write, before the reservation.
  List<std::string_view> enlist{"SADD", keys::supplies, title};
  if (!link_.send_and_forget(std::move(enlist))) co_return Granted::unavailable;
  Text const noted = keys::supply_limit(name.hunt_id, loot_id);
  List<std::string_view> key_names{supply, pending, noted};
  List<std::string_view> arguments{event_id, limit_text, owner};
  RedisReply reply = co_await link_.evaluate(*reserve_, std::move(key_names), std::move(arguments),
                                             deadline_at_ns);
  if (!reply.is_number()) {
    if (!reply.lost() && !reply.is_error()) link_.disbelieve("reserve");
    co_return Granted::unavailable;
  }
  if (reply.number() == 1) {
    stats_.add(Counter::supply_granted);
    co_return Granted::yes;
  }
  stats_.add(Counter::supply_gone);
  co_return Granted::gone;
}

void Supply::settle(const RequestName& name, const List<Reservation>& given, bool remember_long) {
  uint64_t const ttl_ms = remember_long ? idempotency_ttl_ms_ : Ledger::unkeyed_ttl_ms;
  for (const Reservation& unit : given) start(settle_one(name, unit, ttl_ms));
}

void Supply::release(const RequestName& name, const List<Reservation>& reserved) {
  for (const Reservation& unit : reserved) start(release_one(name, unit, owner_of(name), false));
}

Task<> Supply::settle_one(RequestName name, Reservation unit, uint64_t ttl_ms) {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_deadline_ns;
  Text const supply = keys::supply(name.hunt_id, unit.loot_id);
  Text const pending = keys::supply_pending(name.hunt_id, unit.loot_id);
  List<std::string_view> key_names{supply, pending};
  List<std::string_view> arguments{unit.event_id};
  RedisReply reply =
      co_await link_.evaluate(*settle_, std::move(key_names), std::move(arguments), deadline_at_ns);
  if (!reply.is_number()) co_return;  // still pending: the sweep settles it
  Text const done = keys::done(name.hunter_id, name.hunt_id, name.key);
  Text const ttl = format_text("{}", ttl_ms);
  List<std::string_view> expire{"PEXPIRE", done, ttl};
  link_.send_and_forget(std::move(expire));
}

Task<> Supply::release_one(RequestName name, Reservation unit, Text owner, bool by_sweep) {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_deadline_ns;
  Text const supply = keys::supply(name.hunt_id, unit.loot_id);
  Text const pending = keys::supply_pending(name.hunt_id, unit.loot_id);
  List<std::string_view> key_names{supply, pending};
  List<std::string_view> arguments{unit.event_id, owner, by_sweep ? "1" : "0"};
  RedisReply reply = co_await link_.evaluate(*release_, std::move(key_names), std::move(arguments),
                                             deadline_at_ns);
  if (reply.is_number() && reply.number() == 1) stats_.add(Counter::supply_released);
}

Task<> Supply::sweep(bool (*mine)(void* context, uint32_t bucket), void* context) {
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_deadline_ns;
  List<std::string_view> words{"SMEMBERS", keys::supplies};
  RedisReply titles = co_await link_.command(std::move(words), deadline_at_ns);
  Text const age = format_text("{}", stale_after_ms);
  Text const most = format_text("{}", sweep_most);
  for (size_t i = 0; i < titles.size(); ++i) {
    std::string_view const title = titles[i].text();
    size_t const colon = title.find(':');
    if (colon == std::string_view::npos || !mine(context, bucket_of(title))) continue;
    Text const hunt_id(title.substr(0, colon));
    Text const loot_id(title.substr(colon + 1));
    Text const supply = keys::supply(hunt_id, loot_id);
    Text const pending = keys::supply_pending(hunt_id, loot_id);
    List<std::string_view> key_names{supply, pending};
    List<std::string_view> arguments{age, most};
    uint64_t const by_ns = scheduler_.now_ns() + background_deadline_ns;
    RedisReply found =
        co_await link_.evaluate(*stale_, std::move(key_names), std::move(arguments), by_ns);
    for (size_t f = 0; f + 1 < found.size(); f += 2)
      co_await resolve_one(hunt_id, loot_id, Text(found[f].text()), Text(found[f + 1].text()));
  }
}

Task<> Supply::resolve_one(Text hunt_id, Text loot_id, Text event_id, Text owner) {
  // owner: request_id, hunter_id, key; ids hold no space and a key is visible characters.
  size_t const first = owner.find(' ');
  size_t const second = first == Text::npos ? first : owner.find(' ', first + 1);
  if (second == Text::npos) {
    log::error("a reservation is not readable",
               {{"hunt", hunt_id}, {"loot", loot_id}, {"owner", owner}});
    co_return;
  }
  RequestName const name{hunt_id, owner.substr(first + 1, second - first - 1),
                         owner.substr(second + 1), owner.substr(0, first)};
  Text const done = keys::done(name.hunter_id, name.hunt_id, name.key);
  Text const ttl = format_text("{}", idempotency_ttl_ms_);
  uint64_t const deadline_at_ns = scheduler_.now_ns() + background_deadline_ns;
  List<std::string_view> key_names{done};
  List<std::string_view> arguments{event_id, name.request_id, ttl};
  RedisReply reply = co_await link_.evaluate(*resolve_, std::move(key_names), std::move(arguments),
                                             deadline_at_ns);
  if (!reply.is_number()) co_return;  // the next sweep asks again
  bool const given = reply.number() == 1;
  log::notice(
      "a unit left over is resolved",
      {{"hunt", hunt_id}, {"loot", loot_id}, {"event", event_id}, {"given", given ? "yes" : "no"}});
  Reservation unit{loot_id, event_id};
  if (given)
    co_await settle_one(name, std::move(unit), idempotency_ttl_ms_);
  else
    co_await release_one(name, std::move(unit), std::move(owner), true);
}

}  // namespace huntd
