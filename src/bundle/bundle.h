// A bundle: the source of every hunt of one moment, in one sealed piece of memory, named by its
// content (docs/formats/bundle.md). Workers inherit its descriptor and read one script from it;
// nobody can change it.
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
};

class Bundle {
 public:
  Bundle() = default;
  Bundle(Bundle&& other) noexcept;
  Bundle& operator=(Bundle&& other) noexcept;
  ~Bundle();

  // XXH3-128 of the bundle's bytes, 32 hex digits: the same scripts have the same name on every
  // box.
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
// Reads what another process bundled; takes the descriptor.
Result<Bundle> open_bundle(int descriptor);

}  // namespace huntd
