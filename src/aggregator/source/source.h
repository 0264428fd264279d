// SPDX-License-Identifier: Apache-2.0
// The interface of a source of loot events: Kafka, or the outbox in Redis. It delivers each record
// at least once: a record that is not acknowledged is delivered again, to this aggregator or
// another.
#pragma once
#include <cstdint>
#include <string>

#include "aggregator/sessions/batch.h"
#include "base/result.h"

namespace huntd::aggregator {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // Adds records to `batch` until it is full. Waits up to `timeout_ms` for the first record, and
  // then reads for at most about limits::read_tick_ms. Connects if necessary. After an error the
  // caller retries; records that are already in the batch remain valid.
  virtual Result<void> read(Batch& batch, uint32_t timeout_ms) = 0;
  // Acknowledges every record delivered so far. REQUIRES: they are committed in PostgreSQL. After
  // an error some of them are delivered again.
  virtual Result<void> acknowledge() = 0;

  // Returns whether every record that existed when reading started has been delivered.
  virtual bool caught_up() const = 0;
  // The number of records known to exist that are not acknowledged.
  virtual uint64_t lag_events() const = 0;
  // The number of records known to exist that are not delivered, and a lower bound of their arrival
  // times, since the Unix epoch; 0 if there are none or the bound is unknown.
  struct Unread {
    uint64_t events = 0;
    int64_t oldest_ms = 0;
  };
  virtual Unread unread() const = 0;
  virtual bool connected() const = 0;
  // "outbox", or "kafka:TOPIC": the value of loot_events_dead.source.
  virtual const std::string& name() const = 0;
};

}  // namespace huntd::aggregator
