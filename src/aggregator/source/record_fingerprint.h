// SPDX-License-Identifier: Apache-2.0
// What names one record of a topic, stored as the metadata of a committed offset
// (docs/formats/committed-offset.md). Kafka's offsets do not say which topic they are of: after a
// topic was deleted and made again under its name, the new one has other records at the same
// offsets. librdkafka 2.0 does not know topic ids.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace huntd::aggregator {

struct RecordFingerprint {
  int64_t offset = -1;
  int64_t timestamp_ms = 0;  // of the record, as the broker stores it
  uint64_t hash = 0;         // XXH3-64 of key and payload

  bool operator==(const RecordFingerprint&) const = default;
};

RecordFingerprint fingerprint_of(int64_t offset, int64_t timestamp_ms, std::string_view key,
                                 std::string_view payload);

// "huntd1 OFFSET TIMESTAMP HASH": decimal, decimal, 16 hex digits.
std::string fingerprint_text(const RecordFingerprint& fingerprint);
// Nothing if `text` is not exactly that: the metadata of another program, or none.
std::optional<RecordFingerprint> parse_fingerprint(std::string_view text);

}  // namespace huntd::aggregator
