// SPDX-License-Identifier: Apache-2.0
// The stream of loot events (Kafka).
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"

namespace huntd::server {

struct EventRecord {
  PoolString key;                 // hunter_id
  PoolString value;               // JSON (docs/formats/loot-event.md)
  uint64_t token;                 // returned with the delivery report
  PoolString trace_context = {};  // base/trace_context.h: the header traceparent; empty: none
};

// The outcome of one record.
struct DeliveryReport {
  enum class Fate : uint8_t {
    stored,
    rejected,       // not stored; a retry would be rejected too
    no_such_topic,  // the same, because the topic does not exist
    retriable,      // not stored; a retry may succeed
    unknown,        // it is unknown whether the record was stored
  };
  Fate fate = Fate::unknown;
  int32_t partition = -1;  // of a stored record
  int64_t offset = -1;
  const char* reason = "no report came in time";  // if not stored; static text
};

class EventLogUser {
 public:
  virtual void on_report(uint64_t token, const DeliveryReport& report) = 0;
  // The log can be reached; or not, for this reason. May be repeated.
  virtual void on_reachable(std::string_view unreachable_reason) = 0;

 protected:
  ~EventLogUser() = default;
};

class EventLog {
 public:
  virtual ~EventLog() = default;
  virtual void set_user(EventLogUser& user) = 0;
  // Produces the records in order, in one batch. A record that does not fit the producer's queue is
  // reported at once as not stored.
  virtual void produce(const PoolVector<EventRecord>& records) = 0;
  // Ends the wait for what has no report yet. Each such record is reported soon: not stored if it
  // was not sent, else unknown.
  virtual void give_up() = 0;
};

}  // namespace huntd::server
