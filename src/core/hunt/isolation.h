// SPDX-License-Identifier: Apache-2.0
// The isolation modes: what separates one hunt from the next. A hunt has the same outcomes and the
// same limits in each; the modes differ in the cost of a hunt, and in what a script that broke out
// of its VM could reach (docs/isolation.md).
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace huntd::server {

enum class Isolation : uint8_t {
  process,  // one process per hunt, by vfork and exec
  fork,     // one process per hunt, forked from a zygote
  batch,    // one process for several hunts in sequence; each starts with the same memory
  task,     // one task per hunt, in the memory of a process that puts it back in between
};
inline constexpr std::array<std::string_view, 4> isolation_names = {"process", "fork", "batch",
                                                                    "task"};

}  // namespace huntd::server
