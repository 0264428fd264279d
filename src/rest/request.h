// The Kafka REST v2 produce call for loot events, from its body to records. No I/O.
#pragma once
#include <cstdint>
#include <string_view>

#include "base/pool.h"
#include "emit/record.h"

namespace huntd {

// The one Content-Type that records come with.
inline constexpr std::string_view rest_records_type = "application/vnd.kafka.json.v2+json";

// One produce call, free of how it came.
struct ProduceRequest {
  Text topic;
  Text body;                    // JSON, not yet checked
  uint64_t received_at_ns = 0;  // monotonic
};

// A body's records, or why none of them is taken.
struct ProduceRecords {
  List<Record> records;  // in their order; empty where the call is refused
  int error_code = 0;    // rest_code; 0: the records are good
  Text message;          // for the client, naming the record
};

// Reads {"records":[{"key":…,"value":{…}},…]}. Each value is a loot event as the aggregator reads
// it, with its seven fields and no other; its record's key is its hunter_id.
ProduceRecords read_produce_body(std::string_view json);

}  // namespace huntd
