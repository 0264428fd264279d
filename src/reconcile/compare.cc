// SPDX-License-Identifier: Apache-2.0
#include "reconcile/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

namespace huntd::reconcile {
namespace {

// Sorts the generations; returns the new index of each.
std::vector<uint32_t> sort_generations(std::vector<uint64_t>& generations) {
  std::vector<uint32_t> order(generations.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(),
            [&](uint32_t a, uint32_t b) { return generations[a] < generations[b]; });
  std::vector<uint32_t> new_index(order.size());
  for (uint32_t i = 0; i < order.size(); ++i) new_index[order[i]] = i;
  std::sort(generations.begin(), generations.end());
  return new_index;
}

}  // namespace

void Comparison::add(Difference difference) {
  report_.differences_total += 1;
  if (report_.differences.size() < differences_max_)
    report_.differences.push_back(std::move(difference));
}

void Comparison::add(const char* kind, const SessionSnapshot& session, std::string detail) {
  add({.kind = kind,
       .hunter_id = session.hunter_id,
       .hunt_id = session.hunt_id,
       .detail = std::move(detail)});
}

void Comparison::add(const RowFindings& findings, const SessionSnapshot& session) {
  for (const Difference& difference : findings.differences) add(difference);
  report_.expired += findings.expired ? 1 : 0;
  report_.lost += findings.lost;
  for (const auto& [loot_id, count] : findings.lost_loot)
    held_of_loot_[session.hunt_id + ":" + loot_id] += count;
}

// Sorts by session, generation, seq and event_id. If an event is in Kafka and in the outbox, its
// Kafka record comes first.
void Comparison::sort_events() {
  std::unordered_map<uint32_t, std::vector<uint32_t>> new_indexes;
  for (uint32_t index = 0; index < snapshots_.sessions.size(); ++index) {
    std::vector<uint64_t>& generations = snapshots_.sessions[index].generations;
    if (!std::is_sorted(generations.begin(), generations.end()))
      new_indexes[index] = sort_generations(generations);
  }
  if (!new_indexes.empty())
    for (EventSnapshot& event : snapshots_.events)
      if (auto const at = new_indexes.find(event.session); at != new_indexes.end())
        event.generation = at->second[event.generation];
  std::sort(snapshots_.events.begin(), snapshots_.events.end(),
            [](const EventSnapshot& a, const EventSnapshot& b) {
              return std::tie(a.session, a.generation, a.seq, a.event_id, a.in_outbox) <
                     std::tie(b.session, b.generation, b.seq, b.event_id, b.in_outbox);
            });
}

bool Comparison::is_purged(const EventSnapshot& event) const {
  const SessionSnapshot& session = snapshots_.sessions[event.session];
  std::optional<uint64_t> const floor = snapshots_.floor_of(session);
  return floor && session.generations[event.generation] <= *floor;
}

void Comparison::find_shared_event_ids() {
  std::vector<uint32_t> order(snapshots_.events.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    return std::tie(snapshots_.events[a].event_id, a) < std::tie(snapshots_.events[b].event_id, b);
  });
  auto const identity = [](const EventSnapshot& event) {
    return std::tie(event.session, event.generation, event.seq, event.loot);
  };
  for (size_t i = 1; i < order.size(); ++i) {
    const EventSnapshot& one = snapshots_.events[order[i - 1]];
    const EventSnapshot& other = snapshots_.events[order[i]];
    if (one.event_id != other.event_id || identity(one) == identity(other)) continue;
    if (is_purged(one) && is_purged(other)) continue;
    const SessionSnapshot& other_session = snapshots_.sessions[other.session];
    add("event_id_shared", snapshots_.sessions[one.session],
        fmt::format("event_id {} has seq {} here and seq {} of hunter {} in hunt {}",
                    one.event_id.text(), one.seq, other.seq, other_session.hunter_id,
                    other_session.hunt_id));
  }
}

void Comparison::check_session(uint32_t index, std::span<const EventSnapshot> events) {
  const SessionSnapshot& session = snapshots_.sessions[index];
  report_.held_loot += sum_of(session.held.loot);
  report_.row_loot += sum_of(session.row.loot);
  report_.rows += session.has_row ? 1 : 0;
  for (const auto& [loot_id, count] : session.held.loot)
    held_of_loot_[session.hunt_id + ":" + loot_id] += count;
  count_events(session, events);
  SessionCheck const check(snapshots_, session, events);
  report_.purged_events += check.purged_events();
  for (Difference& difference : check.check_counts_and_events()) add(std::move(difference));
  RowFindings findings = check.check_row();
  report_.waiting += findings.waiting;
  if (findings.is_doubtful)
    doubts_.push_back({index, events, check.reach(), std::move(findings)});
  else
    add(findings, session);
}

// `events` are those of the session, sorted.
void Comparison::count_events(const SessionSnapshot& session,
                              std::span<const EventSnapshot> events) {
  const EventSnapshot* known = nullptr;
  bool known_in_outbox = false;
  for (const EventSnapshot& event : events) {
    if (!event.in_outbox) report_.kafka_records += 1;
    if (known == nullptr || known->generation != event.generation || known->seq != event.seq) {
      known = &event;
      known_in_outbox = event.in_outbox;
      (event.in_outbox ? report_.outbox_events : report_.kafka_events) += 1;
    } else if (known->event_id != event.event_id) {
      if (!is_purged(event))
        add("seq_shared", session,
            fmt::format("seq {} belongs to event_ids {} and {}", event.seq, known->event_id.text(),
                        event.event_id.text()));
    } else if (event.in_outbox && !known_in_outbox) {
      report_.outbox_events += 1;  // in both: emitted, and not yet removed from the outbox
      known_in_outbox = true;
    }
  }
}

void Comparison::check() {
  report_.sessions = snapshots_.sessions.size();
  sort_events();
  find_shared_event_ids();
  const EventSnapshot* next = snapshots_.events.data();
  const EventSnapshot* const end = next + snapshots_.events.size();
  for (uint32_t index = 0; index < snapshots_.sessions.size(); ++index) {
    const EventSnapshot* const first = next;
    while (next != end && next->session == index) ++next;
    check_session(index, {first, next});
  }
}

std::vector<uint32_t> Comparison::doubtful() const {
  std::vector<uint32_t> sessions;
  for (const Doubt& doubt : doubts_) sessions.push_back(doubt.session);
  return sessions;
}

bool Comparison::awaits_merge() const {
  return std::any_of(doubts_.begin(), doubts_.end(),
                     [](const Doubt& doubt) { return doubt.findings.awaits_merge; });
}

void Comparison::check_again() {
  for (Doubt& doubt : doubts_) {
    SessionCheck const check(snapshots_, snapshots_.sessions[doubt.session], doubt.events,
                             &doubt.reach);
    doubt.findings = check.check_row();
    if (!doubt.findings.is_doubtful) add(doubt.findings, snapshots_.sessions[doubt.session]);
  }
  std::erase_if(doubts_, [](const Doubt& doubt) { return !doubt.findings.is_doubtful; });
}

Report Comparison::report() {
  for (const Doubt& doubt : doubts_) add(doubt.findings, snapshots_.sessions[doubt.session]);
  doubts_.clear();
  check_supplies();
  report_.set_aside = snapshots_.set_aside;
  for (const UnreadableRecord& record : snapshots_.unreadable)
    add({.kind = "unreadable",
         .hunter_id = "",
         .hunt_id = "",
         .detail = fmt::format("{}: {}", record.position, record.reason)});
  return std::move(report_);
}

std::vector<EventId> Comparison::sorted_event_ids() const {
  std::vector<EventId> ids;
  for (const EventSnapshot& event : snapshots_.events) ids.push_back(event.event_id);
  std::sort(ids.begin(), ids.end());
  return ids;
}

void Comparison::check_supplies() {
  auto const add_of = [this](const char* kind, const SupplySnapshot& supply, std::string detail) {
    add({.kind = kind, .hunter_id = "", .hunt_id = supply.hunt_id, .detail = std::move(detail)});
  };
  report_.supplies = snapshots_.supplies.size();
  bool const has_every_event = snapshots_.has_kafka && snapshots_.kafka_from_the_start;
  std::vector<EventId> ids;
  if (has_every_event && !snapshots_.supplies.empty()) ids = sorted_event_ids();
  for (const SupplySnapshot& supply : snapshots_.supplies) {
    report_.supply_pending += supply.pending;
    uint64_t const held = held_of_loot_[supply.hunt_id + ":" + supply.loot_id];
    // What deleted hunters held is not known.
    if (uint64_t const given = supply.given.size() + supply.before;
        given > held && !snapshots_.hunters_deleted)
      add_of("supply_over", supply,
             fmt::format("{} units of {} are recorded as given, hunters hold {}", given,
                         supply.loot_id, held));
    if (supply.counted > supply.taken())
      add_of("supply_lost", supply,
             fmt::format("the table has counted {} units of {}, Redis knows {}; huntctl restore "
                         "corrects it",
                         supply.counted, supply.loot_id, supply.taken()));
    if (!has_every_event) continue;
    for (const std::string& event_id : supply.given) {
      std::optional<EventId> const wanted = EventId::read(event_id);
      if (!wanted || !std::binary_search(ids.begin(), ids.end(), *wanted))
        add_of("supply_event", supply,
               fmt::format("a unit of {} is recorded as given by event {}, which does not exist",
                           supply.loot_id, event_id));
    }
  }
}

Report compare(Snapshots& snapshots, size_t differences_max) {
  Comparison comparison(snapshots, differences_max);
  comparison.check();
  return comparison.report();
}

}  // namespace huntd::reconcile
