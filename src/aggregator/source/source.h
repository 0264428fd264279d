// SPDX-License-Identifier: Apache-2.0
// The interface of a source of loot events: Kafka, or the outbox in Redis. It delivers each record
// at least once: a record that is not acknowledged is delivered again, to this aggregator or
// another.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "aggregator/sessions/batch.h"
#include "base/result.h"

namespace huntd::aggregator {

class Source {
 public:
  Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;
  virtual ~Source() = default;

  // For a caller that ends at the first error; called once, before the first read(). From then on
  // read() waits while members of a consumer group that were killed still have their share.
  virtual void be_patient() {}
  // Adds records to `batch` until it is full. Waits up to `timeout_ms` for the first record, and
  // then reads for at most about limits::read_tick_ms. Connects if necessary. After an error the
  // caller retries; records that are already in the batch remain valid.
  virtual Result<void> read(Batch& batch, uint32_t timeout_ms) = 0;
  // Acknowledges every record delivered so far. REQUIRES: they are committed in PostgreSQL. After
  // an error some of them are delivered again.
  virtual Result<void> acknowledge() = 0;
  // Called instead of read() while nothing may be read: a peer of the aggregator is unavailable, or
  // a merge runs. Keeps the source's connections, its membership and its figures (a Kafka consumer
  // that does not poll leaves its group), delivers nothing, and returns after about `timeout_ms`.
  // With 0 it connects to nothing and waits for nothing; it may be called during a merge, between
  // any read() and its acknowledge(). Returns whether the source is known to be available.
  virtual Result<bool> idle(uint32_t timeout_ms) {
    if (timeout_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(timeout_ms));
    return false;
  }

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
  // Why nothing can be read, half a sentence; empty if that is not known, or all is well.
  virtual std::string trouble() const { return {}; }
  // What has happened to the source since the start.
  struct Changes {
    uint64_t topic_recreated = 0;  // partitions read again from the beginning
    uint64_t events_missed = 0;    // deleted before they were read
  };
  virtual Changes changes() const { return {}; }
  // False if every read has to look at all of the source, because it does not report changes.
  virtual bool watched() const { return true; }
  // "outbox", or "kafka:TOPIC": the value of loot_events_dead.source.
  virtual const std::string& name() const = 0;
};

}  // namespace huntd::aggregator
