// SPDX-License-Identifier: Apache-2.0
// A bundle: the sources of all hunts of one version, in one sealed memfd, named by a hash of the
// sources (docs/formats/bundle.md). A checked bundle also has an image of each hunt: the memory of
// a Lua state that has compiled it. Workers inherit the memfd; no process can change it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

struct BundledHunt {
  std::string hunt_id;
  uint32_t offset = 0;  // of its source in the bundle
  uint32_t bytes = 0;
  uint32_t settings_offset = 0;  // of its NAME.toml; 0: there is none
  uint32_t settings_bytes = 0;
  uint32_t image_offset = 0;  // of its image
  uint32_t image_bytes = 0;   // 0: the bundle has no images
};

// The files of a bundle, each under its name in the bundle: a script under its hunt_id, NAME.toml
// under settings_entry(NAME).
using BundleFiles = std::vector<std::pair<std::string, std::string>>;
inline std::string settings_entry(std::string_view hunt_id) {
  return std::string(hunt_id) + "/toml";
}

class Bundle {
 public:
  // XXH3-128 of the sources and their index, 32 hex digits: the same files have the same name on
  // every host.
  const std::string& name() const { return name_; }
  // Sorted by hunt_id.
  const std::vector<BundledHunt>& hunts() const { return hunts_; }
  // Returns null if the bundle has no such hunt.
  const BundledHunt* find(std::string_view hunt_id) const;
  // The sealed memfd. The bundle owns it.
  int descriptor() const { return descriptor_.get(); }
  bool loaded() const { return descriptor_.valid(); }
  // Of the index and the sources together. The images follow.
  size_t sources_bytes() const { return sources_bytes_; }

 private:
  friend Result<Bundle> make_bundle(const BundleFiles& files);
  friend Result<Bundle> add_images(const Bundle& bundle, const std::vector<std::string>& images);
  friend Result<Bundle> open_bundle(int descriptor);
  // Reads the index of the sources. Returns false if the bytes do not begin with one.
  bool read_index(std::string_view bytes);
  UniqueFd descriptor_;
  std::string name_;
  std::vector<BundledHunt> hunts_;
  size_t sources_bytes_ = 0;
};

// Bundles files, in any order.
Result<Bundle> make_bundle(const BundleFiles& files);
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
