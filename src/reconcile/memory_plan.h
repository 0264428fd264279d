// SPDX-License-Identifier: Apache-2.0
// Divides the memory that the operator grants to reconcile (--memory).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace huntd::reconcile {

// The program, its libraries, librdkafka's queue, pages of SCAN and of rows, and what malloc does
// not give back.
inline constexpr uint64_t memory_reserve_bytes = uint64_t{96} << 20;
inline constexpr uint64_t memory_min_bytes = uint64_t{128} << 20;
inline constexpr uint64_t memory_default_bytes = uint64_t{1} << 30;

struct MemoryPlan {
  size_t block_bytes = 0;   // of each partition of a spool
  size_t group_bytes = 0;   // sessions and events that are compared at once
  size_t doubts_bytes = 0;  // sessions that are read again
};

// Returns an error if `bytes` is below memory_min_bytes.
Result<MemoryPlan> plan_memory(uint64_t bytes);

// Reads "512M", "2G", "700000K" or a number of bytes; nothing if `text` is none of these.
std::optional<uint64_t> read_memory(std::string_view text);

}  // namespace huntd::reconcile
