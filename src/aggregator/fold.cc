#include "aggregator/fold.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "protocol/loot_event.h"

namespace huntd {
namespace {

// What an entry of each table takes with its text, by glibc's malloc on 64 bits.
constexpr size_t session_bytes = 176;
constexpr size_t name_bytes = 160;
constexpr size_t by_seq_bytes = 40;
constexpr char between = '\0';

}  // namespace

uint32_t Fold::Names::number(std::string_view text) {
  if (auto found = numbers_.find(text); found != numbers_.end()) return found->second;
  auto const added = numbers_.emplace(text, static_cast<uint32_t>(texts_.size())).first;
  texts_.push_back(added->first);
  return added->second;
}

void Fold::bury(const Record& record, std::string reason) {
  DeadRecord dead{record.partition, std::string(record.position), std::string(record.payload),
                  std::move(reason)};
  if (record.key) dead.key = std::string(*record.key);
  dead_.push_back(std::move(dead));
  dead_bytes_ += sizeof(DeadRecord) + record.payload.size();
}

uint32_t Fold::append(const Event& event) {
  if (event_count_ % chunk_events == 0)
    chunks_.push_back(std::make_unique_for_overwrite<Event[]>(chunk_events));
  uint32_t const number = event_count_++;
  CHECK(number != none);
  this->event(number) = event;
  return number;
}

uint32_t Fold::find(Gathered& gathered, uint64_t seq) {
  if (gathered.by_seq == nullptr) {
    if (seq > gathered.newest_seq) return none;
    gathered.by_seq = std::make_unique<std::unordered_map<uint64_t, uint32_t>>();
    for (uint32_t at = gathered.first; at != none; at = event(at).next)
      note_seq(gathered, event(at).seq, at);
  }
  auto const found = gathered.by_seq->find(seq);
  return found == gathered.by_seq->end() ? none : found->second;
}

void Fold::note_seq(Gathered& gathered, uint64_t seq, uint32_t event) {
  gathered.by_seq->emplace(seq, event);
  by_seq_entries_ += 1;
}

void Fold::add(const Record& record) {
  records_ += 1;
  bytes_ += record.payload.size();
  Result<LootEventView> const read = view_loot_event(record.payload);
  if (!read) return bury(record, read.error().message);
  if (Result<void> const bounds = check_bounds(read->seq, read->timestamp_ms); !bounds)
    return bury(record, bounds.error().message);

  key_.assign(read->hunter_id).append(1, between).append(read->hunt_id);
  auto session = sessions_.find(key_);
  if (session == sessions_.end()) session = sessions_.try_emplace(key_).first;
  Gathered& gathered = session->second;
  EventId const event_id = EventId::read(read->event_id);
  if (uint32_t const same = find(gathered, read->seq); same != none) {
    if (event(same).event_id != event_id)
      return bury(record, fmt::format("seq {} of hunter {} in hunt {} belongs to event {} already",
                                      read->seq, read->hunter_id, read->hunt_id,
                                      event(same).event_id.text()));
    duplicates_ += 1;
    return;
  }
  oldest_ms_ = oldest_ms_ == 0 ? read->timestamp_ms : std::min(oldest_ms_, read->timestamp_ms);
  newest_ms_ = std::max(newest_ms_, read->timestamp_ms);
  uint32_t const added = append({event_id, read->seq, read->timestamp_ms,
                                 names_.number(read->loot_id), names_.number(read->bundle), none});
  if (gathered.first == none)
    gathered.first = added;
  else
    event(gathered.last).next = added;
  gathered.last = added;
  gathered.count += 1;
  gathered.newest_seq = std::max(gathered.newest_seq, read->seq);
  if (gathered.by_seq != nullptr) note_seq(gathered, read->seq, added);
}

void Fold::clear() { *this = Fold(memory_bytes_max_); }

size_t Fold::memory_bytes() const {
  return chunks_.size() * chunk_events * sizeof(Event) + sessions_.size() * session_bytes +
         names_.count() * name_bytes + by_seq_entries_ * by_seq_bytes + dead_bytes_;
}

std::vector<FoldedSession> Fold::sorted() const {
  std::vector<FoldedSession> all;
  all.reserve(sessions_.size());
  for (const auto& [text, gathered] : sessions_) {
    if (gathered.count == 0) continue;
    std::string_view const key = text;
    size_t const middle = key.find(between);
    all.push_back({key.substr(0, middle), key.substr(middle + 1), gathered.first, gathered.count});
  }
  // NUL sorts first, so the keys' own order is that of (hunter_id, hunt_id); each key is one piece.
  auto const whole = [](const FoldedSession& session) {
    return std::string_view(session.hunter_id.data(),
                            session.hunter_id.size() + 1 + session.hunt_id.size());
  };
  std::sort(all.begin(), all.end(),
            [&](const FoldedSession& a, const FoldedSession& b) { return whole(a) < whole(b); });
  return all;
}

std::vector<SessionEvent> Fold::events(const FoldedSession& session) const {
  std::vector<SessionEvent> all;
  all.reserve(session.event_count);
  for (uint32_t at = session.first_event; at != none; at = event(at).next)
    all.push_back({event(at).event_id, event(at).seq, event(at).timestamp_ms,
                   names_[event(at).loot], names_[event(at).bundle]});
  return all;
}

}  // namespace huntd
