// SPDX-License-Identifier: Apache-2.0
// The part of a traceparent (W3C Trace Context) that huntd carries with a request:
// TRACE_ID-PARENT_ID-FLAGS, without the version. It is valid, or empty: the client sent none.
#pragma once
#include <cstddef>
#include <string_view>

namespace huntd {

// As huntd writes it. A traceparent of a later version is read, and written, as one of this version
// (section 3.2.2 of the standard).
inline constexpr std::string_view traceparent_version = "00-";
inline constexpr size_t trace_context_bytes = 52;
inline constexpr size_t traceparent_bytes = traceparent_version.size() + trace_context_bytes;

// The trace-id of a trace context: 32 hex digits; empty if there is none.
inline std::string_view trace_id_of(std::string_view trace_context) {
  return trace_context.substr(0, 32);
}

}  // namespace huntd
