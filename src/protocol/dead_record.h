// How a record that can't be counted stands in the topic kafka.dead_topic (docs/aggregator.md): the
// original key and bytes, and these headers. hunt-aggregator writes it, `huntctl dead` reads it.
#pragma once

namespace huntd::dead_headers {

inline constexpr const char* reason = "reason";        // one sentence, for people
inline constexpr const char* topic = "topic";          // where it came from,
inline constexpr const char* partition = "partition";  // in decimal,
inline constexpr const char* offset = "offset";        // in decimal;
inline constexpr const char* event_id = "event_id";    // in place of the two: its row refused it
// On a record without value that `huntctl dead retry` adds once the one of the same place has been
// produced again.
inline constexpr const char* retried = "retried";

}  // namespace huntd::dead_headers
