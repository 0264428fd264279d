// SPDX-License-Identifier: Apache-2.0
#include "aggregator/sessions/batch.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "wire/generation.h"

namespace huntd::aggregator {
namespace {

// Memory of one entry of each table with its text, allocated by glibc's malloc on a 64-bit host.
constexpr size_t session_bytes = 176;
constexpr size_t name_bytes = 160;
constexpr size_t by_seq_bytes = 40;
constexpr size_t other_chain_bytes = 144;  // with its table, of the first of a session
constexpr char separator = '\0';

}  // namespace

uint32_t Batch::Names::number(std::string_view text) {
  if (auto found = numbers_.find(text); found != numbers_.end()) return found->second;
  auto const added = numbers_.emplace(text, static_cast<uint32_t>(texts_.size())).first;
  texts_.push_back(added->first);
  return added->second;
}

void Batch::add_dead_letter(const SourceRecord& record, std::string reason) {
  DeadLetter letter{record.partition, std::string(record.position), std::string(record.payload),
                    std::move(reason)};
  if (record.key) letter.key = std::string(*record.key);
  dead_letters_.push_back(std::move(letter));
  dead_letter_bytes_ += sizeof(DeadLetter) + record.payload.size();
}

uint32_t Batch::append(const Event& event) {
  if (event_count_ % chunk_events == 0)
    chunks_.push_back(std::make_unique_for_overwrite<Event[]>(chunk_events));
  uint32_t const number = event_count_++;
  CHECK(number != none);
  this->event(number) = event;
  return number;
}

BatchChain& Batch::chain_of(const LootEventView& event) {
  key_.assign(event.hunter_id).append(1, separator).append(event.hunt_id);
  auto session = sessions_.find(key_);
  if (session == sessions_.end()) {
    session = sessions_.try_emplace(key_).first;
    session->second.generation = event.generation;
  }
  BatchChain& chain = session->second;
  if (chain.generation == event.generation) return chain;
  if (chain.others == nullptr) chain.others = std::make_unique<std::map<uint64_t, BatchChain>>();
  auto const [other, is_new] = chain.others->try_emplace(event.generation);
  if (is_new) other_chains_ += 1;
  other->second.generation = event.generation;
  return other->second;
}

uint32_t Batch::find(BatchChain& chain, uint64_t seq) {
  if (chain.by_seq == nullptr) {
    if (chain.first == none || seq > event(chain.last).seq) return none;
    chain.by_seq = std::make_unique<std::unordered_map<uint64_t, uint32_t>>();
    for (uint32_t at = chain.first; at != none; at = event(at).next)
      index_seq(chain, event(at).seq, at);
  }
  auto const found = chain.by_seq->find(seq);
  return found == chain.by_seq->end() ? none : found->second;
}

void Batch::index_seq(BatchChain& chain, uint64_t seq, uint32_t event) {
  chain.by_seq->emplace(seq, event);
  by_seq_entries_ += 1;
}

void Batch::append_to(BatchChain& chain, uint64_t seq, uint32_t added) {
  if (chain.first == none)
    chain.first = added;
  else
    event(chain.last).next = added;
  chain.last = added;
  chain.count += 1;
  if (chain.by_seq != nullptr) index_seq(chain, seq, added);
}

void Batch::add(const SourceRecord& record) {
  records_ += 1;
  bytes_ += record.payload.size();
  Result<LootEventView> const read = view_loot_event(record.payload);
  if (!read) return add_dead_letter(record, read.error().message);
  if (Result<void> const bounds = check_bounds(read->seq, read->timestamp_ms); !bounds)
    return add_dead_letter(record, bounds.error().message);

  BatchChain& chain = chain_of(*read);
  EventId const event_id = EventId::of(read->event_id);
  if (uint32_t const same = find(chain, read->seq); same != none) {
    if (event(same).event_id != event_id)
      return add_dead_letter(
          record,
          fmt::format("seq {} of generation {} of hunter {} in hunt {} already belongs to event {}",
                      read->seq, generation_text(read->generation), read->hunter_id, read->hunt_id,
                      event(same).event_id.text()));
    duplicates_ += 1;
    return;
  }
  oldest_ms_ = oldest_ms_ == 0 ? read->timestamp_ms : std::min(oldest_ms_, read->timestamp_ms);
  newest_ms_ = std::max(newest_ms_, read->timestamp_ms);
  uint32_t const added =
      append({event_id, read->seq, read->timestamp_ms, names_.number(read->loot_id),
              names_.number(read->bundle), none, read->units, read->from_supply ? 1U : 0U});
  append_to(chain, read->seq, added);
}

void Batch::clear() { *this = Batch(memory_bytes_max_); }

size_t Batch::memory_bytes() const {
  return chunks_.size() * chunk_events * sizeof(Event) + sessions_.size() * session_bytes +
         names_.count() * name_bytes + by_seq_entries_ * by_seq_bytes +
         other_chains_ * other_chain_bytes + dead_letter_bytes_;
}

std::vector<BatchSession> Batch::sorted() const {
  std::vector<BatchSession> all;
  all.reserve(sessions_.size());
  for (const auto& [text, chain] : sessions_) {
    uint32_t events = chain.count;
    if (chain.others != nullptr)
      for (const auto& [generation, other] : *chain.others) events += other.count;
    if (events == 0) continue;
    std::string_view const key = text;
    size_t const middle = key.find(separator);
    all.push_back({key.substr(0, middle), key.substr(middle + 1), &chain, events});
  }
  // NUL sorts first, so the order of the keys is that of (hunter_id, hunt_id). Both views are in
  // one key.
  auto const key_of = [](const BatchSession& session) {
    return std::string_view(session.hunter_id.data(),
                            session.hunter_id.size() + 1 + session.hunt_id.size());
  };
  std::sort(all.begin(), all.end(),
            [&](const BatchSession& a, const BatchSession& b) { return key_of(a) < key_of(b); });
  return all;
}

std::vector<SessionEvent> Batch::events(const BatchSession& session) const {
  std::vector<SessionEvent> all;
  all.reserve(session.event_count);
  auto const add_chain = [&](const BatchChain& chain) {
    for (uint32_t at = chain.first; at != none; at = event(at).next)
      all.push_back({event(at).event_id, chain.generation, event(at).seq, event(at).timestamp_ms,
                     names_[event(at).loot], names_[event(at).bundle], event(at).from_supply != 0,
                     event(at).units});
  };
  add_chain(*session.chain);
  if (session.chain->others != nullptr)
    for (const auto& [generation, other] : *session.chain->others) add_chain(other);
  return all;
}

}  // namespace huntd::aggregator
