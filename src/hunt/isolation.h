// The isolation ladder: what stands between one hunt and the next. Each rung gives the same answers
// and the same kills; they differ in what a hunt costs and in what a script that broke out of its
// VM would find (docs/isolation.md).
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace huntd {

enum class Isolation : uint8_t {
  process,  // a process a hunt, by vfork and exec
  fork,     // a process a hunt, forked from a zygote
  batch,    // a process for many hunts, one after the other; each begins with the same bytes
};
inline constexpr std::array<std::string_view, 3> isolation_names = {"process", "fork", "batch"};

}  // namespace huntd
