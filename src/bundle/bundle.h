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
#include "settings/run_rules.h"

namespace huntd {

struct BundledHunt {
  std::string hunt_id;
  uint32_t offset = 0;  // of its source in the bundle
  uint32_t bytes = 0;
  uint32_t settings_offset = 0;  // of its NAME.toml; 0: there is none
  uint32_t settings_bytes = 0;
  uint32_t image_offset = 0;  // of its image
  uint32_t image_bytes = 0;   // 0: the bundle has no images
  RunRules rules;             // of its NAME.toml, if the bundle has images
};

// lib/NAME.lua, which scripts share.
struct BundledModule {
  std::string name;
  uint32_t offset = 0;  // of its source in the bundle
  uint32_t bytes = 0;
};

// The files of a bundle, each under its name in the bundle: a script under its hunt_id, NAME.toml
// under settings_entry(NAME), lib/NAME.lua under module_entry(NAME).
using BundleFiles = std::vector<std::pair<std::string, std::string>>;
inline constexpr std::string_view module_prefix = "/lib/";
inline std::string settings_entry(std::string_view hunt_id) {
  return std::string(hunt_id) + "/toml";
}
inline std::string module_entry(std::string_view name) {
  return std::string(module_prefix) + std::string(name);
}

// What the check of a hunt makes of it.
struct HuntImage {
  std::string image;
  RunRules rules;
};

class Bundle {
 public:
  // XXH3-128 of the sources and their index, 32 hex digits: the same files have the same name on
  // every host.
  const std::string& name() const { return name_; }
  // Sorted by hunt_id.
  const std::vector<BundledHunt>& hunts() const { return hunts_; }
  // Sorted by name.
  const std::vector<BundledModule>& modules() const { return modules_; }
  // Of the table of time zones (wire/zone_table.h) in the bundle; 0: it has none.
  uint32_t zones_offset() const { return zones_offset_; }
  // Returns null if the bundle has no such hunt.
  const BundledHunt* find(std::string_view hunt_id) const;
  // The sealed memfd. The bundle owns it.
  int descriptor() const { return descriptor_.get(); }
  bool loaded() const { return descriptor_.valid(); }
  // Of the index and the sources together. The images follow.
  size_t sources_bytes() const { return sources_bytes_; }

 private:
  friend Result<Bundle> make_bundle(const BundleFiles& files);
  friend Result<Bundle> add_images(const Bundle& bundle, const std::vector<HuntImage>& images);
  friend Result<Bundle> add_zones(const Bundle& bundle);
  friend Result<Bundle> open_bundle(int descriptor);
  friend Result<Bundle> bundle_of(std::string_view sources);
  // Reads the index of the sources. Returns false if the bytes do not begin with one.
  bool read_index(std::string_view bytes);
  UniqueFd descriptor_;
  std::string name_;
  std::vector<BundledHunt> hunts_;
  std::vector<BundledModule> modules_;
  size_t sources_bytes_ = 0;
  uint32_t zones_offset_ = 0;
};

// Bundles files, in any order.
Result<Bundle> make_bundle(const BundleFiles& files);
// Returns the same bundle with the table of this host's time zones. REQUIRES: it has no images.
Result<Bundle> add_zones(const Bundle& bundle);
// Returns the same bundle with an image of each hunt. `images` are in the order of hunts().
Result<Bundle> add_images(const Bundle& bundle, const std::vector<HuntImage>& images);
// Opens the bundle of another process. Takes ownership of the descriptor. Reads the index and the
// sources; the images are neither read nor copied. REQUIRES: the memfd is sealed.
Result<Bundle> open_bundle(int descriptor);
// The bytes of the index and the sources, whose hash is the name: a bundle without images.
Result<std::string> read_sources(const Bundle& bundle);
// A bundle without images of what read_sources() returned; the bytes may be from anyone. The error
// says that they are not that, have no hunt, or more than limits::modules_max modules.
Result<Bundle> bundle_of(std::string_view sources);

}  // namespace huntd
