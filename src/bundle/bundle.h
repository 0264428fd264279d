// A bundle: the source of every hunt of one moment and, once it is checked, the image of each
// (a Lua state that has compiled it), in one sealed piece of memory, named by the sources
// (docs/formats/bundle.md). Workers inherit its descriptor; nobody can change it.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

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
  Bundle() = default;
  Bundle(Bundle&& other) noexcept;
  Bundle& operator=(Bundle&& other) noexcept;
  ~Bundle();

  // XXH3-128 of the sources and their index, 32 hex digits: the same scripts have the same name on
  // every box.
  const std::string& name() const { return name_; }
  // Sorted by hunt_id.
  const std::vector<BundledHunt>& hunts() const { return hunts_; }
  // The hunt, null where the bundle has none of that name.
  const BundledHunt* find(std::string_view hunt_id) const;
  // The sealed memfd; stays the bundle's.
  int descriptor() const { return descriptor_; }
  bool loaded() const { return descriptor_ >= 0; }

 private:
  friend Result<Bundle> make_bundle(
      const std::vector<std::pair<std::string, std::string>>& scripts);
  friend Result<Bundle> add_images(const Bundle& bundle, const std::vector<std::string>& images);
  friend Result<Bundle> open_bundle(int descriptor);
  int descriptor_ = -1;
  std::string name_;
  std::vector<BundledHunt> hunts_;
};

// Reads every DIR/*.lua; a hunt's id is its file's name without ".lua". The error names each file
// that can't be taken.
Result<Bundle> load_bundle(const std::string& dir);
// Bundles scripts given as (hunt_id, source), in any order.
Result<Bundle> make_bundle(const std::vector<std::pair<std::string, std::string>>& scripts);
// The same bundle with an image for each hunt, in the order of hunts().
Result<Bundle> add_images(const Bundle& bundle, const std::vector<std::string>& images);
// Reads what another process bundled; takes the descriptor.
Result<Bundle> open_bundle(int descriptor);

}  // namespace huntd
