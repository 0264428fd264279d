// SPDX-License-Identifier: Apache-2.0
#include "reconcile/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/read_text.h"

namespace huntd::reconcile {
namespace {

// The buffers of all partitions: 1,024 of sessions, and those of the other spools.
constexpr uint64_t partitions_max = 1536;
constexpr uint64_t block_bytes_min = 4096;
constexpr uint64_t block_bytes_max = 65'536;

}  // namespace

Result<MemoryPlan> plan_memory(uint64_t bytes) {
  if (bytes < memory_min_bytes)
    return Error{
        fmt::format("--memory is too small: reconcile needs at least {}M", memory_min_bytes >> 20),
        ErrorKind::usage};
  uint64_t const free = bytes - memory_reserve_bytes;
  MemoryPlan plan;
  plan.block_bytes = std::clamp(free / 8 / partitions_max, block_bytes_min, block_bytes_max);
  // The check of a session copies its events, so a group needs up to twice as much.
  plan.group_bytes = free * 5 / 16;
  plan.doubts_bytes = free / 8;
  return plan;
}

std::optional<uint64_t> read_memory(std::string_view text) {
  uint32_t shift = 0;
  constexpr std::string_view units = "KMG";
  if (!text.empty())
    if (size_t const at = units.find(text.back()); at != std::string_view::npos) {
      shift = 10 * static_cast<uint32_t>(at + 1);
      text.remove_suffix(1);
    }
  std::optional<uint64_t> const number = read_number<uint64_t>(text);
  if (!number || *number > (UINT64_MAX >> shift)) return std::nullopt;
  return *number << shift;
}

}  // namespace huntd::reconcile
