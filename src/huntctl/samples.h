// SPDX-License-Identifier: Apache-2.0
// The sample hunts of lua/ with their tests, which the build embeds.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace huntd::huntctl {

struct Sample {
  std::string_view name;
  std::string_view hunt;      // the text of NAME.lua
  std::string_view test;      // the text of NAME_test.lua
  std::string_view settings;  // the text of NAME.toml; empty: it has none
};

// The seven samples, sorted by name.
std::span<const Sample> samples();
// The shortest hunt, for a start without a sample.
const Sample& plain_hunt();
// What it is about, from its first comment: "come back every day."
std::string_view about(const Sample& sample);

// The texts of a new hunt of this name.
std::string hunt_like(const Sample& sample, std::string_view name);
std::string test_like(const Sample& sample, std::string_view name);
std::string settings_like(const Sample& sample, std::string_view name);

}  // namespace huntd::huntctl
