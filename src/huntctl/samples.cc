// SPDX-License-Identifier: Apache-2.0
#include "huntctl/samples.h"

#include <fmt/format.h>

#include "huntctl/sample_texts.h"

namespace huntd::huntctl {
namespace {

// Of views that another file initializes, so it is made when it is first used.
const Sample* all_samples() {
  static const Sample all[] = {
      {"advent-calendar", advent_calendar, advent_calendar_test, advent_calendar_toml},
      {"campfire", campfire, campfire_test, {}},
      {"goblin-hoard", goblin_hoard, goblin_hoard_test, {}},
      {"golden-ticket", golden_ticket, golden_ticket_test, {}},
      {"seven-runes", seven_runes, seven_runes_test, {}},
      {"smithy", smithy, smithy_test, {}},
      {"sphinx", sphinx, sphinx_test, {}},
      {"sunken-chest", sunken_chest, sunken_chest_test, {}}};
  return all;
}
constexpr size_t sample_count = 8;

void replace_all(std::string& text, const std::string& from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// The text with the name of the new hunt, and with the type of its parameter for editors. A loot_id
// that is the sample's name stays.
std::string renamed(std::string_view text, std::string_view from, std::string_view to,
                    std::string_view parameter, std::string_view type) {
  std::string made(text);
  replace_all(made, fmt::format("-- {}: ", from), fmt::format("-- {}: ", to));
  replace_all(made, fmt::format("-- The test of {0}: huntctl test {0}_test.lua", from),
              fmt::format("-- The test of {0}: huntctl test {0}_test.lua", to));
  std::string const head = fmt::format("return function({})", parameter);
  replace_all(made, "\n" + head, fmt::format("\n---@param {} {}\n{}", parameter, type, head));
  return made;
}

}  // namespace

std::span<const Sample> samples() { return {all_samples(), sample_count}; }

const Sample& plain_hunt() {
  static const Sample plain{"new-hunt", new_hunt, new_hunt_test, {}};
  return plain;
}

std::string_view about(const Sample& sample) {
  std::string const head = fmt::format("-- {}: ", sample.name);
  size_t const at = sample.hunt.find(head);
  if (at == std::string_view::npos) return {};
  std::string_view const rest = sample.hunt.substr(at + head.size());
  return rest.substr(0, rest.find('\n'));
}

std::string hunt_like(const Sample& sample, std::string_view name) {
  return renamed(sample.hunt, sample.name, name, "hunt", "Hunt");
}

std::string settings_like(const Sample& sample, std::string_view name) {
  std::string made(sample.settings);
  replace_all(made, fmt::format("{}.lua", sample.name), fmt::format("{}.lua", name));
  return made;
}

std::string test_like(const Sample& sample, std::string_view name) {
  return renamed(sample.test, sample.name, name, "test", "HuntTest");
}

}  // namespace huntd::huntctl
