// SPDX-License-Identifier: Apache-2.0
#include "huntctl/top_keys.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>

#include "base/read_text.h"

namespace huntd::huntctl {
namespace {

constexpr std::array<double, 9> delays_s = {0.5, 1, 2, 3, 5, 10, 20, 30, 60};
constexpr double delay_s_min = 0.1;  // of a delay that is typed, as of --delay
constexpr double delay_s_max = 3600;
constexpr size_t typed_max = 8;

struct Sequence {
  std::string_view bytes;  // behind ESC
  Key key;
};
constexpr std::array<Sequence, 12> sequences = {{{"[A", key_up},
                                                 {"[B", key_down},
                                                 {"OA", key_up},
                                                 {"OB", key_down},
                                                 {"[5~", key_page_up},
                                                 {"[6~", key_page_down},
                                                 {"[H", key_home},
                                                 {"[F", key_end},
                                                 {"OH", key_home},
                                                 {"OF", key_end},
                                                 {"[1~", key_home},
                                                 {"[4~", key_end}}};

// Removes what follows ESC from `bytes`, up to its final character.
std::optional<int> take_sequence(std::string_view& bytes) {
  for (const Sequence& sequence : sequences) {
    if (!bytes.starts_with(sequence.bytes)) continue;
    bytes.remove_prefix(sequence.bytes.size());
    return sequence.key;
  }
  if (bytes.empty() || (bytes.front() != '[' && bytes.front() != 'O')) return key_escape;
  bytes.remove_prefix(1);
  while (!bytes.empty() && (bytes.front() < '@' || bytes.front() > '~')) bytes.remove_prefix(1);
  bytes.remove_prefix(std::min<size_t>(1, bytes.size()));
  return std::nullopt;
}

void change_delay(TopState& state, bool longer) {
  if (longer) {
    auto const next = std::upper_bound(delays_s.begin(), delays_s.end(), state.delay_s);
    if (next != delays_s.end()) state.delay_s = *next;
  } else {
    auto const next = std::lower_bound(delays_s.begin(), delays_s.end(), state.delay_s);
    if (next != delays_s.begin()) state.delay_s = *(next - 1);
  }
}

// While a new delay is entered. Another text than a number in range changes nothing.
void type_key(TopState& state, int key) {
  bool const digit = (key >= '0' && key <= '9') || key == '.';
  if (digit && state.typed->size() < typed_max) *state.typed += static_cast<char>(key);
  if ((key == '\x7f' || key == '\b') && !state.typed->empty()) state.typed->pop_back();
  if (key != '\n' && key != '\r' && key != key_escape) return;
  std::optional<double> const seconds = read_number<double>(*state.typed);
  state.typed.reset();
  if (key != key_escape && seconds && *seconds >= delay_s_min && *seconds <= delay_s_max)
    state.delay_s = *seconds;
}

void scroll(TopState& state, int key, size_t page) {
  size_t const by = key == key_page_up || key == key_page_down ? std::max<size_t>(1, page) : 1;
  if (key == key_up || key == key_page_up) state.scroll -= std::min(state.scroll, by);
  if (key == key_down || key == key_page_down) state.scroll += by;
  if (key == key_home) state.scroll = 0;
  if (key == key_end) state.scroll = std::numeric_limits<uint32_t>::max();
}

}  // namespace

std::vector<int> keys_in(std::string_view bytes) {
  std::vector<int> keys;
  while (!bytes.empty()) {
    char const first = bytes.front();
    bytes.remove_prefix(1);
    if (first != '\x1b')
      keys.push_back(static_cast<unsigned char>(first));
    else if (std::optional<int> const key = take_sequence(bytes))
      keys.push_back(*key);
  }
  return keys;
}

void apply_key(TopState& state, int key, size_t page) {
  if (state.typed) return type_key(state, key);
  if (state.help && key != 'q') {  // any key ends the help
    state.help = false;
    return;
  }
  switch (key) {
    case 'q':
      state.quit = true;
      break;
    case 'p':
    case ' ':
      state.paused = !state.paused;
      break;
    case '+':
    case '=':  // + without Shift
    case '-':
      change_delay(state, key != '-');
      break;
    case 'd':
      state.typed.emplace();
      break;
    case 'h':
    case '?':
      state.help = true;
      break;
    default:
      scroll(state, key, page);
  }
}

}  // namespace huntd::huntctl
