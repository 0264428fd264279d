// SPDX-License-Identifier: Apache-2.0
// How a run against a pretended ledger ended.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "wire/worker_frame.h"

namespace huntd {

enum class RunEnd : uint8_t {
  ok,
  rejected,  // hunt.reject
  script_error,
  out_of_memory,
  deadline,       // killed at worker.deadline_ms
  held_full,      // the hunter would hold too many different loot_ids
  supplies_full,  // the hunt has drawn on too many supplies
  worker_failed,  // exited without an outcome, or violated the protocol
};
inline constexpr size_t run_ends = 8;

// As reports name it: "script-error".
const char* run_end_text(RunEnd end);
// Of a wf_outcome's status.
RunEnd run_end_of(uint32_t status);
// Whether the script or its worker is at fault; not so if it rejects.
bool is_failure(RunEnd end);

// How long the script ran, by the times in its outcome; 0 if it did not end.
uint64_t script_ns_of(const wf_outcome& outcome);
// The reply to a query for the state; `buffer` holds it. REQUIRES: `state` is JSON, or empty.
std::string_view state_reply(char* buffer, size_t size, std::string_view state);
// The reply to a query for a unit. `buffer` holds it.
std::string_view unit_reply(char* buffer, size_t size, bool granted);

// The reply to a query for what is left of a supply. `buffer` holds it.
std::string_view left_reply(char* buffer, size_t size, uint64_t units);

inline wf_text text_of(std::string_view text) {
  return {text.data(), static_cast<uint32_t>(text.size())};
}
inline std::string_view view_of(wf_text text) { return {text.data, text.size}; }

}  // namespace huntd
