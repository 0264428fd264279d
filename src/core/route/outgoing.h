// SPDX-License-Identifier: Apache-2.0
// The sending half of a link to another core: what finds no room waits for its turn (decision 31).
// Nothing is dropped because a link is full. Responses go first, so that two cores whose links are
// full of requests still get their responses; and requests in flight are bounded, so the responses
// that wait are bounded too.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/pool.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "environment/message_link.h"

namespace huntd::server {

class Outgoing {
 public:
  enum class Kind : uint8_t {
    response,    // before all others
    request,     // in flight until end_request()
    connection,  // in line with the requests
  };

  // Both outlive this object.
  Outgoing(MessageLink& link, Scheduler& scheduler) : link_(link), scheduler_(scheduler) {}

  // Waits until a message of `bytes` fits and its turn has come, and reserves the room for it. A
  // true needs one send() or cancel(). Returns false if the deadline came first, or reject_waiting().
  Task<bool> reserve(Kind kind, size_t bytes, uint64_t deadline_at_ns);
  // Takes ownership of `descriptor` (-1 for none). REQUIRES: reserve() has returned true for a
  // message of this size.
  void send(std::string_view message, int descriptor = -1);
  // Gives back what was reserved.
  void cancel(Kind kind, size_t bytes);
  // A request that was sent has its response, or its sender does not wait for it any more.
  void end_request();

  // The link has room: those who wait and fit get their turn.
  void grant();
  // The other core is down: those who wait get no turn.
  void reject_waiting();

  size_t waiting() const { return responses_.size() + others_.size(); }

 private:
  struct Waiter {
    OneShot<bool>* turn;
    Kind kind;
    size_t bytes;
  };
  using Line = PoolDeque<Waiter>;  // oldest first
  Line& line_of(Kind kind) { return kind == Kind::response ? responses_ : others_; }
  bool fits(Kind kind, size_t bytes) const;
  void take(Kind kind, size_t bytes);
  void grant(Line& line);
  static void reject(Line& line);

  MessageLink& link_;
  Scheduler& scheduler_;
  Line responses_;
  Line others_;
  size_t reserved_bytes_ = 0;  // and not yet sent
  size_t in_flight_ = 0;       // requests reserved or sent, until end_request()
};

}  // namespace huntd::server
