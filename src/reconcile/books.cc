#include "reconcile/books.h"

#include <charconv>

namespace huntd {

uint32_t Books::session_index(std::string_view hunter_id, std::string_view hunt_id) {
  std::string name;
  name.append(hunter_id).append(":").append(hunt_id);
  auto [at, is_new] =
      session_indexes_.emplace(std::move(name), static_cast<uint32_t>(sessions.size()));
  if (is_new) {
    SessionBook& session = sessions.emplace_back();
    session.hunter_id = hunter_id;
    session.hunt_id = hunt_id;
  }
  return at->second;
}

uint32_t Books::loot_index(std::string_view loot_id) {
  auto [at, is_new] =
      loot_indexes_.emplace(std::string(loot_id), static_cast<uint32_t>(loot_ids.size()));
  if (is_new) loot_ids.emplace_back(loot_id);
  return at->second;
}

SessionBook& Books::session(std::string_view hunter_id, std::string_view hunt_id) {
  return sessions[session_index(hunter_id, hunt_id)];
}

void Books::add_event(const LootEvent& event, bool in_outbox) {
  EventBook book{};
  const char* digits = event.event_id.data();  // 32 of them: read_loot_event() saw to that
  std::from_chars(digits, digits + 16, book.event_id_high, 16);
  std::from_chars(digits + 16, digits + 32, book.event_id_low, 16);
  book.seq = event.seq;
  book.session = session_index(event.hunter_id, event.hunt_id);
  book.loot = loot_index(event.loot_id);
  book.in_outbox = in_outbox;
  book.forgotten = event.timestamp_ms < forgotten_before_ms;
  events.push_back(book);
}

Result<void> Books::add_value(std::string_view value, bool in_outbox) {
  Result<LootEvent> const event = read_loot_event(value);
  if (!event) return event.error();
  if (Result<void> bounds = check_bounds(event->seq, event->timestamp_ms); !bounds) return bounds;
  add_event(*event, in_outbox);
  return {};
}

}  // namespace huntd
