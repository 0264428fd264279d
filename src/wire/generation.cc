// SPDX-License-Identifier: Apache-2.0
#include "wire/generation.h"

#include <fmt/format.h>

#include "base/read_text.h"

namespace huntd {
namespace {

// 16 lower-case hex digits as a number.
std::optional<uint64_t> read_digits(std::string_view text) {
  if (text.size() != generation_digits) return std::nullopt;
  uint64_t number = 0;
  for (char c : text) {
    bool const decimal = c >= '0' && c <= '9';
    if (!decimal && (c < 'a' || c > 'f')) return std::nullopt;
    number = number << 4 | static_cast<uint64_t>(decimal ? c - '0' : c - 'a' + 10);
  }
  return number;
}

}  // namespace

std::string generation_text(uint64_t generation) { return fmt::format("{:016x}", generation); }

std::optional<uint64_t> read_generation(std::string_view text) {
  std::optional<uint64_t> const number = read_digits(text);
  return number && *number <= generation_max ? number : std::nullopt;
}

std::optional<HeldGeneration> read_held_generation(std::string_view text) {
  std::optional<uint64_t> const generation = read_generation(take_word(text));
  std::optional<uint64_t> const lineage = read_digits(text);
  if (!generation || !lineage) return std::nullopt;
  return HeldGeneration{*generation, *lineage};
}

std::string write_hunt_state(const HuntState& state) {
  std::string text = state.closed ? "closed " : "open ";
  text += generation_text(state.floor);
  if (state.closed_at_ms > 0) text += fmt::format(" {}", state.closed_at_ms);
  return text;
}

std::optional<HuntState> read_hunt_state(std::string_view text) {
  HuntState state;
  std::string_view const word = take_word(text);
  if (word != "open" && word != "closed") return std::nullopt;
  state.closed = word == "closed";
  std::optional<uint64_t> const floor = read_generation(take_word(text));
  if (!floor) return std::nullopt;
  state.floor = *floor;
  if (text.empty()) return state;
  std::optional<int64_t> const closed_at_ms = read_number<int64_t>(text);
  if (!closed_at_ms || *closed_at_ms < 0) return std::nullopt;
  state.closed_at_ms = *closed_at_ms;
  return state;
}

}  // namespace huntd
