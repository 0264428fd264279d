// SPDX-License-Identifier: Apache-2.0
// A bundle: the sources of all hunts of one version, in one sealed memfd, named by a hash of the
// sources (docs/formats/bundle.md). A checked bundle also has an image of each hunt: the memory of
// a Lua state that has compiled it. Workers inherit the memfd; no process can change it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

struct BundledHunt {
  std::string hunt_id;
  uint32_t offset = 0;  // of its source in the bundle
  uint32_t bytes = 0;
  uint32_t image_offset = 0;  // of its image
  uint32_t image_bytes = 0;   // 0: the bundle has no images
};

class Bundle {
 public:
  // XXH3-128 of the sources and their index, 32 hex digits: the same scripts have the same name on
  // every host.
  const std::string& name() const { return name_; }
  // Sorted by hunt_id.
  const std::vector<BundledHunt>& hunts() const { return hunts_; }
  // Returns null if the bundle has no such hunt.
  const BundledHunt* find(std::string_view hunt_id) const;
  // The sealed memfd. The bundle owns it.
  int descriptor() const { return descriptor_.get(); }
  bool loaded() const { return descriptor_.valid(); }

 private:
  friend Result<Bundle> make_bundle(
      const std::vector<std::pair<std::string, std::string>>& scripts);
  friend Result<Bundle> add_images(const Bundle& bundle, const std::vector<std::string>& images);
  friend Result<Bundle> open_bundle(int descriptor);
  UniqueFd descriptor_;
  std::string name_;
  std::vector<BundledHunt> hunts_;
};

// The name behind that of the hunt: "campfire_test" is the test of "campfire", and no hunt.
inline constexpr std::string_view test_suffix = "_test";
constexpr bool is_test_name(std::string_view name) {
  return name.size() > test_suffix.size() && name.ends_with(test_suffix);
}

struct LoadedBundle {
  Bundle bundle;
  std::vector<std::string> skipped;  // "PATH: why" of each file *.lua that is not a hunt, sorted
};
// Reads every DIR/*.lua; the hunt_id is the file's name without ".lua". Names that begin with a dot
// are ignored, and so are the tests of hunts, NAME_test.lua beside NAME.lua. A test without its
// hunt, a file whose name is not a hunt_id, or one that is not a regular file or a link to one, is
// skipped and never opened. The error has a line for each file that has the name and type
// of a hunt and cannot be used: then there is no bundle.
Result<LoadedBundle> load_bundle(const std::string& dir);
// Bundles scripts given as (hunt_id, source), in any order.
Result<Bundle> make_bundle(const std::vector<std::pair<std::string, std::string>>& scripts);
// Returns the same bundle with an image of each hunt. `images` are in the order of hunts().
Result<Bundle> add_images(const Bundle& bundle, const std::vector<std::string>& images);
// Opens the bundle of another process. Takes ownership of the descriptor. Reads the index and the
// sources; the images are neither read nor copied. REQUIRES: the memfd is sealed.
Result<Bundle> open_bundle(int descriptor);
// The bytes of the index and the sources, whose hash is the name: a bundle without images.
Result<std::string> read_sources(const Bundle& bundle);
// A bundle without images of what read_sources() returned. The error says that it is not that.
Result<Bundle> bundle_of(std::string_view sources);

}  // namespace huntd
