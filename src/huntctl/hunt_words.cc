// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunt_words.h"

#include <algorithm>
#include <array>

namespace huntd::huntctl {
namespace {

constexpr std::array<std::string_view, 5> hunt_commands = {"close", "list", "open", "purge", "run"};
// Options of huntctl itself that have a value in the next word.
constexpr std::array<std::string_view, 4> with_value = {"-c", "--config", "--token-file",
                                                        "--timeout"};

template <class Words>
bool contains(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

bool is_hunt_command(std::string_view word) { return contains(hunt_commands, word); }

size_t command_at(const std::vector<std::string>& words) {
  size_t at = 0;
  while (at < words.size() && words[at].starts_with('-'))
    at += contains(with_value, words[at]) ? 2 : 1;
  return std::min(at, words.size());
}

bool asks_for_json(const std::vector<std::string>& words) {
  auto const end = std::find(words.begin(), words.end(), "--");
  return std::find(words.begin(), end, "--json") != end;
}

bool insert_run(std::vector<std::string>& words) {
  size_t const at = command_at(words);
  if (at + 1 >= words.size() || words[at] != "hunt") return false;
  const std::string& next = words[at + 1];
  if (is_hunt_command(next) || next == "--help" || next == "-h") return false;
  words.insert(words.begin() + static_cast<std::ptrdiff_t>(at) + 1, "run");
  return true;
}

}  // namespace huntd::huntctl
