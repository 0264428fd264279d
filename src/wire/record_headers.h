// SPDX-License-Identifier: Apache-2.0
// Headers of the records that our programs produce (docs/formats/loot-event.md,
// docs/formats/dead-letter.md). They are for other consumers: our programs read a record without
// them in the same way.
#pragma once
#include <string_view>

namespace huntd::record_headers {

inline constexpr const char* content_type = "content-type";
inline constexpr std::string_view json = "application/json";
inline constexpr std::string_view bytes = "application/octet-stream";
// The version of the loot event. It is raised if a reader of the earlier version would count the
// event wrongly.
inline constexpr const char* event_version = "huntd-event-version";
inline constexpr std::string_view event_version_1 = "1";
// Of the request that the event is of (W3C Trace Context), if it had one and the event came to the
// log without a sweep.
inline constexpr const char* traceparent = "traceparent";
// The version of the headers of a dead letter.
inline constexpr const char* dead_letter_version = "huntd-dead-letter-version";
inline constexpr std::string_view dead_letter_version_1 = "1";

}  // namespace huntd::record_headers
