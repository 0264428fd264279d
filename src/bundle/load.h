// SPDX-License-Identifier: Apache-2.0
// Reads the files of a bundle from the directory of the scripts.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "bundle/bundle.h"

namespace huntd {

// The name behind that of the hunt: "campfire_test" is the test of "campfire", and no hunt.
inline constexpr std::string_view test_suffix = "_test";
constexpr bool is_test_name(std::string_view name) {
  return name.size() > test_suffix.size() && name.ends_with(test_suffix);
}
// The name of the hunt that a test is of; of any other name, that name.
constexpr std::string_view hunt_of_test(std::string_view name) {
  return is_test_name(name) ? name.substr(0, name.size() - test_suffix.size()) : name;
}

struct LoadedBundle {
  Bundle bundle;
  std::vector<std::string> skipped;  // "PATH: why" of each file that is not used, sorted
};
// Reads every DIR/*.lua; the hunt_id is the file's name without ".lua". NAME.toml beside NAME.lua
// are the settings of that hunt, and DIR/lib/NAME.lua a module of all. Names that begin with a dot are ignored, and so are the tests of
// hunts, NAME_test.lua beside NAME.lua. A test or settings without their hunt, a script whose name
// is not a hunt_id, or one that is not a regular file or a link to one, is skipped and never opened.
// The error has a line for each file that cannot be used otherwise: then there is no bundle.
Result<LoadedBundle> load_bundle(const std::string& dir);

// Adds each DIR/lib/*.lua to `files`. Other files are appended to `skipped`, as in
// LoadedBundle. The error names the file that cannot be read.
Result<void> add_modules(const std::string& dir, BundleFiles& files,
                         std::vector<std::string>& skipped);

// Adds DIR/HUNT_ID.toml to `files` as the settings of the script `name`, if there is such a file.
// The error names the file.
Result<void> add_settings(const std::string& dir, const std::string& hunt_id,
                          const std::string& name, BundleFiles& files);

}  // namespace huntd
