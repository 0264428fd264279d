// SPDX-License-Identifier: Apache-2.0
// The keys of `huntctl top`, and what they change.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace huntd::huntctl {

inline constexpr double top_delay_s = 2;  // without --delay

struct TopState {
  double delay_s = top_delay_s;
  bool paused = false;
  bool help = false;
  bool quit = false;
  size_t scroll = 0;                 // lines that are above the first one shown
  std::optional<std::string> typed;  // of a new delay, while it is entered
};

// A character, or one of these.
enum Key : int {
  key_up = 256,
  key_down,
  key_page_up,
  key_page_down,
  key_home,
  key_end,
  key_escape
};

// The keys in what a terminal has sent; sequences that it does not know are left out.
std::vector<int> keys_in(std::string_view bytes);

// What the key does. `page` is how many lines are shown; a `scroll` that is too large is bounded
// when the lines are made.
void apply_key(TopState& state, int key, size_t page);

}  // namespace huntd::huntctl
