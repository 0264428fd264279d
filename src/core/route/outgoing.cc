// SPDX-License-Identifier: Apache-2.0
#include "core/route/outgoing.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace huntd::server {
namespace {

size_t room_of(size_t message_bytes) { return message_bytes + limits::peer_message_prefix_bytes; }

}  // namespace

bool Outgoing::fits(Kind kind, size_t bytes) const {
  bool const has_room = reserved_bytes_ + room_of(bytes) <= link_.room();
  return has_room && (kind != Kind::request || in_flight_ < limits::peer_requests_in_flight_max);
}

void Outgoing::take(Kind kind, size_t bytes) {
  reserved_bytes_ += room_of(bytes);
  if (kind == Kind::request) ++in_flight_;
}

Task<bool> Outgoing::reserve(Kind kind, size_t bytes, uint64_t deadline_at_ns) {
  bool const first = responses_.empty() && (kind == Kind::response || others_.empty());
  if (first && fits(kind, bytes)) {
    take(kind, bytes);
    co_return true;
  }
  OneShot<bool> turn(scheduler_);
  line_of(kind).push_back({&turn, kind, bytes});
  std::optional<bool> const came = co_await turn.wait(deadline_at_ns);
  if (!came) {
    std::erase_if(line_of(kind), [&turn](const Waiter& waiter) { return waiter.turn == &turn; });
    grant();  // those behind it may fit
  }
  co_return came.value_or(false);
}

void Outgoing::send(std::string_view message, int descriptor) {
  CHECK(reserved_bytes_ >= room_of(message.size()));
  reserved_bytes_ -= room_of(message.size());
  bool const sent = link_.send(message, descriptor);
  CHECK(sent);
}

void Outgoing::cancel(Kind kind, size_t bytes) {
  CHECK(reserved_bytes_ >= room_of(bytes));
  reserved_bytes_ -= room_of(bytes);
  if (kind == Kind::request) return end_request();
  grant();
}

void Outgoing::end_request() {
  CHECK(in_flight_ > 0);
  --in_flight_;
  grant();
}

void Outgoing::grant() {
  grant(responses_);
  if (responses_.empty()) grant(others_);
}

void Outgoing::grant(Line& line) {
  while (!line.empty() && fits(line.front().kind, line.front().bytes)) {
    Waiter const waiter = line.front();
    line.pop_front();
    take(waiter.kind, waiter.bytes);
    waiter.turn->set(true);
  }
}

void Outgoing::reject_waiting() {
  reject(responses_);
  reject(others_);
}

void Outgoing::reject(Line& line) {
  for (const Waiter& waiter : std::exchange(line, {})) waiter.turn->set(false);
}

}  // namespace huntd::server
