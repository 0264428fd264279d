// SPDX-License-Identifier: Apache-2.0
// Reads the body of a produce call for loot events (Kafka REST proxy, v2). No I/O.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"
#include "core/events/record.h"

namespace huntd::server {

// The Content-Type of a call's records.
inline constexpr std::string_view rest_records_type = "application/vnd.kafka.json.v2+json";

struct ProduceRequest {
  PoolString topic;
  PoolString body;              // JSON, not yet checked
  uint64_t received_at_ns = 0;  // monotonic
};

// The records of a body, or the reason why the call is rejected.
struct ProduceRecords {
  PoolVector<Record> records;       // in order; empty if the call is rejected
  PoolVector<PoolString> hunt_ids;  // by record
  int error_code = 0;               // a rest_code; 0: not rejected
  PoolString message;               // for the client; names the record
};

// Reads {"records":[{"key":…,"value":{…}},…]}. Each value is a loot event that the aggregator would
// count, with exactly its seven fields. The key of its record is its hunter_id.
ProduceRecords read_produce_body(std::string_view json);

}  // namespace huntd::server
