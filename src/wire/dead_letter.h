// SPDX-License-Identifier: Apache-2.0
// Headers of a dead letter in the topic kafka.dead_topic (docs/formats/dead-letter.md). Key and
// value are those of the original record. hunt-aggregator writes dead letters, `huntctl dead` reads
// them.
#pragma once

namespace huntd::dead_letter_headers {

inline constexpr const char* reason = "reason";        // one sentence, for people
inline constexpr const char* topic = "topic";          // of the original record
inline constexpr const char* partition = "partition";  // of the original record, in decimal
inline constexpr const char* offset = "offset";        // of the original record, in decimal
// Replaces partition and offset if the merge, not the reader, rejected the event.
inline constexpr const char* event_id = "event_id";
// Only on a record without a value, which `huntctl dead retry` appends after it has produced the
// original record again.
inline constexpr const char* retried = "retried";

}  // namespace huntd::dead_letter_headers
