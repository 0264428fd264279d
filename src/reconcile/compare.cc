// SPDX-License-Identifier: Apache-2.0
#include "reconcile/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

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

// Whether the row has not counted all that it should have.
bool lacks_events(const RowFindings& findings) {
  return std::any_of(
      findings.differences.begin(), findings.differences.end(),
      [](const Difference& difference) { return difference.kind.starts_with("row_missing"); });
}

}  // namespace

void Comparison::add(const char* kind, const SessionSnapshot& session, std::string detail) {
  findings_.add({.kind = kind,
                 .hunter_id = session.hunter_id,
                 .hunt_id = session.hunt_id,
                 .detail = std::move(detail)});
}

void Comparison::add(const RowFindings& findings, const SessionSnapshot& session) {
  for (const Difference& difference : findings.differences) findings_.add(difference);
  Report& totals = findings_.totals();
  totals.waiting += findings.waiting;
  totals.expired += findings.expired ? 1 : 0;
  totals.lost += findings.lost;
  for (const auto& [loot_id, count] : findings.lost_loot)
    supplies_.add_held(session.hunt_id, loot_id,
                       static_cast<uint64_t>(std::max(count, int64_t{0})));
}

// Sorts by session, generation, seq and event_id. If an event is in Kafka and in the outbox, its
// Kafka record comes first. A record that is there twice counts once.
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
            [this](const EventSnapshot& a, const EventSnapshot& b) {
              auto const parts = [this](const EventSnapshot& event) {
                return std::tie(event.session, event.generation, event.seq, event.event_id,
                                event.in_outbox, snapshots_.loot_ids[event.loot], event.expired);
              };
              return parts(a) < parts(b);
            });
  snapshots_.events.erase(std::unique(snapshots_.events.begin(), snapshots_.events.end()),
                          snapshots_.events.end());
}

bool Comparison::is_purged(const EventSnapshot& event) const {
  const SessionSnapshot& session = snapshots_.sessions[event.session];
  std::optional<uint64_t> const floor = snapshots_.floor_of(session);
  return floor && session.generations[event.generation] <= *floor;
}

void Comparison::name_shared(SharedEvents& shared) const {
  for (const EventSnapshot& event : snapshots_.events) {
    if (!shared.wants(event.event_id)) continue;
    const SessionSnapshot& session = snapshots_.sessions[event.session];
    shared.add({.event_id = event.event_id,
                .hunter_id = session.hunter_id,
                .hunt_id = session.hunt_id,
                .loot_id = snapshots_.loot_ids[event.loot],
                .generation = session.generations[event.generation],
                .seq = event.seq,
                .purged = is_purged(event)});
  }
}

void Comparison::check_session(uint32_t index, std::span<const EventSnapshot> events) {
  const SessionSnapshot& session = snapshots_.sessions[index];
  Report& totals = findings_.totals();
  totals.held_loot += sum_of(session.held.loot);
  totals.row_loot += sum_of(session.row.loot);
  totals.rows += session.has_row ? 1 : 0;
  for (const auto& [loot_id, count] : session.held.loot)
    supplies_.add_held(session.hunt_id, loot_id,
                       static_cast<uint64_t>(std::max(count, int64_t{0})));
  supplies_.add_taken(session.hunt_id, session.held.taken);
  count_events(session, events);
  SessionCheck const check(snapshots_, session, events);
  totals.purged_events += check.purged_events();
  for (Difference& difference : check.check_counts_and_events())
    findings_.add(std::move(difference));
  RowFindings findings = check.check_row();
  if (findings.is_doubtful)
    doubts_.push_back({index, {events.begin(), events.end()}, check.reach(), std::move(findings)});
  else
    add(findings, session);
}

// `events` are those of the session, sorted.
void Comparison::count_events(const SessionSnapshot& session,
                              std::span<const EventSnapshot> events) {
  Report& totals = findings_.totals();
  const EventSnapshot* known = nullptr;
  bool known_in_outbox = false;
  for (const EventSnapshot& event : events) {
    if (known == nullptr || known->generation != event.generation || known->seq != event.seq) {
      known = &event;
      known_in_outbox = event.in_outbox;
      (event.in_outbox ? totals.outbox_events : totals.kafka_events) += 1;
    } else if (known->event_id != event.event_id) {
      if (!is_purged(event))
        add("seq_shared", session,
            fmt::format("seq {} belongs to event_ids {} and {}", event.seq, known->event_id.text(),
                        event.event_id.text()));
    } else if (event.in_outbox && !known_in_outbox) {
      totals.outbox_events += 1;  // in both: emitted, and not yet removed from the outbox
      known_in_outbox = true;
    }
  }
}

void Comparison::check() {
  findings_.totals().sessions += snapshots_.sessions.size();
  findings_.totals().kafka_records += snapshots_.kafka_records;
  sort_events();
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

Comparison::Doubt* Comparison::doubt_about(std::string_view hunter_id, std::string_view hunt_id) {
  if (doubt_of_.empty())
    for (size_t i = 0; i < doubts_.size(); ++i) doubt_of_[doubts_[i].session] = i;
  std::optional<uint32_t> const index = snapshots_.find_session(hunter_id, hunt_id);
  auto const at = index ? doubt_of_.find(*index) : doubt_of_.end();
  return at == doubt_of_.end() ? nullptr : &doubts_[at->second];
}

void Comparison::found_in_outbox(const EventParts& event) {
  Doubt* const doubt = doubt_about(event.hunter_id, event.hunt_id);
  if (doubt == nullptr) return;
  const std::vector<uint64_t>& known = snapshots_.sessions[doubt->session].generations;
  // The generations stay sorted. What is of an unknown earlier one stays a difference.
  if (!known.empty() && event.generation < known.back() &&
      !std::binary_search(known.begin(), known.end(), event.generation))
    return;
  EventSnapshot const added = snapshots_.make_event(event);
  auto const parts = [](const EventSnapshot& each) {
    return std::tie(each.generation, each.seq, each.event_id, each.in_outbox);
  };
  auto const at = std::lower_bound(
      doubt->events.begin(), doubt->events.end(), added,
      [&](const EventSnapshot& a, const EventSnapshot& b) { return parts(a) < parts(b); });
  if (at == doubt->events.end() || parts(*at) != parts(added)) doubt->events.insert(at, added);
}

std::vector<Comparison::Doubt> Comparison::take_doubts() {
  doubt_of_.clear();
  return std::exchange(doubts_, {});
}

void Comparison::add_doubt(Doubt doubt) {
  doubt_of_.clear();
  doubts_.push_back(std::move(doubt));
}

void Comparison::check_again() {
  for (Doubt& doubt : doubts_) {
    const SessionSnapshot& session = snapshots_.sessions[doubt.session];
    SessionCheck const check(snapshots_, session, doubt.events, &doubt.reach);
    bool const awaited = doubt.findings.awaits_merge;
    doubt.findings = check.check_row();
    // What was awarded after Redis was first read may still be on its way, although Redis knows it
    // now and its event was not read.
    if (awaited && lacks_events(doubt.findings)) doubt.findings.awaits_merge = true;
    if (!doubt.findings.is_doubtful) add(doubt.findings, session);
  }
  std::erase_if(doubts_, [](const Doubt& doubt) { return !doubt.findings.is_doubtful; });
  doubt_of_.clear();
}

void Comparison::end() {
  for (const Doubt& doubt : doubts_) add(doubt.findings, snapshots_.sessions[doubt.session]);
  doubts_.clear();
  // SCAN may have returned a key twice.
  std::vector<NamedRecord>& unreadable = snapshots_.unreadable;
  std::sort(unreadable.begin(), unreadable.end());
  unreadable.erase(std::unique(unreadable.begin(), unreadable.end()), unreadable.end());
  for (const NamedRecord& record : unreadable)
    findings_.add_unreadable(record.position, record.reason);
  unreadable.clear();
}

Report compare(Snapshots& snapshots, Supplies& supplies, size_t differences_max) {
  Findings findings(differences_max);
  std::vector<IdentifiedEvent> identified;
  for (const EventSnapshot& event : snapshots.events) {
    const SessionSnapshot& session = snapshots.sessions[event.session];
    identified.push_back(
        {event.event_id,
         fingerprint_of(session.hunter_id, session.hunt_id, snapshots.loot_ids[event.loot],
                        session.generations[event.generation], event.seq)});
  }
  std::vector<EventId> ids;
  find_shared_ids(identified, ids);
  SharedEvents shared(std::move(ids));
  Comparison comparison(snapshots, supplies, findings);
  comparison.check();
  comparison.name_shared(shared);
  comparison.end();
  shared.report(findings);
  supplies.check(snapshots.hunters_deleted, findings);
  return findings.take();
}

}  // namespace huntd::reconcile
