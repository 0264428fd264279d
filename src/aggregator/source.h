// Where loot_events come from: Kafka, or the Redis outbox where there is no Kafka. A source hands
// records out at least once; what was handed out and not acknowledged comes again, from here or
// from another aggregator.
#pragma once
#include <cstdint>
#include <string>

#include "aggregator/fold.h"
#include "base/result.h"

namespace huntd {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // Hands what has arrived to `fold` until it is full, waiting up to `timeout_ms` for the first
  // record, and returns within about limits::read_turn_ms more however much there is. Connects by
  // itself. After an error (the peer is away) calling again is right; records already handed out
  // stay good.
  virtual Result<void> read(Fold& fold, uint32_t timeout_ms) = 0;
  // Everything handed out so far is committed in Postgres. An error means that some of it comes
  // again.
  virtual Result<void> acknowledge() = 0;

  // True once everything that was there when reading began has been handed out.
  virtual bool drained() const = 0;
  // Records known to be there and not acknowledged yet.
  virtual uint64_t lag_events() const = 0;
  // Records known to be there and not handed out yet, and a time (since the epoch) that none of
  // them is older than, by its arrival; 0: there is none, or nothing is known of it.
  struct Unread {
    uint64_t events = 0;
    int64_t oldest_ms = 0;
  };
  virtual Unread unread() const = 0;
  virtual bool connected() const = 0;
  // "outbox", or "kafka:TOPIC": as it stands in loot_events_dead.
  virtual const std::string& name() const = 0;
};

}  // namespace huntd
