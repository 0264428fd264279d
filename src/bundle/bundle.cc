// SPDX-License-Identifier: Apache-2.0
#include "bundle/bundle.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/limits.h"
#include "wire/zone_table.h"
#include "zones/zone_table.h"

namespace huntd {
namespace {

// The magic and the version of the format. The count of files follows, then per file: u32 name
// size, name, u32 offset, u32 size; then the sources. The names have a "/" if they are not those of
// hunts, so a bundle of hunts alone is what it was before there were other files.
constexpr std::string_view magic = "huntb001";

void put_u32(std::string& out, size_t value) {
  uint32_t const value32 = static_cast<uint32_t>(value);
  out.append(reinterpret_cast<const char*>(&value32), sizeof value32);
}

// Each image starts on a page of its own, so that it can be mapped.
constexpr size_t page_bytes = 4096;
size_t page_up(size_t offset) { return (offset + page_bytes - 1) / page_bytes * page_bytes; }

// The index of the images is on the first page after the sources: this magic, the count, then per
// hunt: u32 offset, u32 size, u32 size of its rules, its rules (encode_rules()).
constexpr std::string_view images_magic = "hunti002";

// Takes parts of `bytes` from its begin. Beyond the end it returns false.
bool take_part(std::string_view& bytes, size_t size, std::string_view& into) {
  if (bytes.size() < size) return false;
  into = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return true;
}
bool take_u32(std::string_view& bytes, uint32_t& into) {
  std::string_view raw;
  if (!take_part(bytes, sizeof into, raw)) return false;
  std::memcpy(&into, raw.data(), sizeof into);
  return true;
}

// Reads the index of the images. Returns false if there is no valid one at `begin`.
bool read_images(std::string_view whole, size_t begin, std::vector<BundledHunt>& hunts) {
  if (whole.size() < begin) return false;
  std::string_view bytes = whole.substr(begin);
  std::string_view text;
  uint32_t count = 0;
  if (!take_part(bytes, images_magic.size(), text) || text != images_magic ||
      !take_u32(bytes, count) || count != hunts.size())
    return false;
  for (BundledHunt& hunt : hunts) {
    uint32_t rules_bytes = 0;
    if (!take_u32(bytes, hunt.image_offset) || !take_u32(bytes, hunt.image_bytes) ||
        !take_u32(bytes, rules_bytes) || !take_part(bytes, rules_bytes, text))
      return false;
    if (size_t{hunt.image_offset} + hunt.image_bytes > whole.size()) return false;
    hunt.rules = decode_rules(text);
  }
  return true;
}

// Returns a sealed memfd with these bytes.
Result<UniqueFd> seal(const std::vector<std::string_view>& parts) {
  UniqueFd memory(memfd_create("huntd-bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!memory.valid()) return Error{std::string("memfd_create: ") + std::strerror(errno)};
  for (std::string_view part : parts)
    while (!part.empty()) {
      ssize_t const wrote = write(memory.get(), part.data(), part.size());
      if (wrote <= 0) return Error{std::string("cannot write the bundle: ") + std::strerror(errno)};
      part.remove_prefix(static_cast<size_t>(wrote));
    }
  if (fcntl(memory.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) !=
      0)
    return Error{std::string("cannot seal the bundle: ") + std::strerror(errno)};
  return memory;
}

// A whole file, mapped: a page takes time and memory only if it is read.
class Mapping {
 public:
  // The error is that of the system.
  static Result<Mapping> of(int descriptor) {
    struct stat status {};
    Mapping mapping;
    auto const unreadable = [] {
      return Error{std::string("cannot read the bundle: ") + std::strerror(errno)};
    };
    if (fstat(descriptor, &status) != 0) return unreadable();
    if (status.st_size == 0) return mapping;
    auto const size = static_cast<size_t>(status.st_size);
    void* const start = mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor, 0);
    if (start == MAP_FAILED) return unreadable();
    mapping.bytes_ = {static_cast<const char*>(start), size};
    return mapping;
  }
  Mapping(Mapping&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping() {
    if (!bytes_.empty()) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
  }
  std::string_view bytes() const { return bytes_; }  // empty if the file is

 private:
  Mapping() = default;
  std::string_view bytes_;
};

struct Entry {
  std::string_view name;
  uint32_t offset = 0;
  uint32_t bytes = 0;
};

// Reads the index of the sources, and the size of both together. Returns false if the bytes do not
// begin with one.
bool read_entries(std::string_view bytes, std::vector<Entry>& entries, size_t& end) {
  size_t const whole = bytes.size();
  std::string_view text;
  uint32_t count = 0;
  if (!take_part(bytes, magic.size(), text) || text != magic || !take_u32(bytes, count))
    return false;
  size_t sources_bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t name_bytes = 0;
    Entry entry;
    if (!take_u32(bytes, name_bytes) || !take_part(bytes, name_bytes, entry.name)) return false;
    if (!take_u32(bytes, entry.offset) || !take_u32(bytes, entry.bytes)) return false;
    if (size_t{entry.offset} + entry.bytes > whole) return false;
    // Strictly ascending, so no file comes twice.
    if (!entries.empty() && entries.back().name >= entry.name) return false;
    entries.push_back(entry);
    sources_bytes += entry.bytes;
  }
  end = whole - bytes.size() + sources_bytes;
  return end <= whole;
}

}  // namespace

const BundledHunt* Bundle::find(std::string_view hunt_id) const {
  auto const found = std::lower_bound(
      hunts_.begin(), hunts_.end(), hunt_id,
      [](const BundledHunt& hunt, std::string_view id) { return hunt.hunt_id < id; });
  return found != hunts_.end() && found->hunt_id == hunt_id ? &*found : nullptr;
}

bool Bundle::read_index(std::string_view bytes) {
  std::vector<Entry> entries;
  if (!read_entries(bytes, entries, sources_bytes_)) return false;
  for (const Entry& entry : entries) {
    if (entry.name.find('/') != std::string_view::npos) continue;
    if (!is_id(entry.name)) return false;
    BundledHunt hunt;
    hunt.hunt_id = entry.name;
    hunt.offset = entry.offset;
    hunt.bytes = entry.bytes;
    hunts_.push_back(std::move(hunt));
  }
  for (const Entry& entry : entries) {
    if (entry.name.starts_with(module_prefix)) {
      std::string_view const name = entry.name.substr(module_prefix.size());
      if (!is_id(name)) return false;
      modules_.push_back({std::string(name), entry.offset, entry.bytes});
      continue;
    }
    size_t const slash = entry.name.find('/');
    if (slash == std::string_view::npos) continue;
    const BundledHunt* const found = find(entry.name.substr(0, slash));
    if (found == nullptr || entry.name != settings_entry(found->hunt_id)) return false;
    BundledHunt& hunt = hunts_[static_cast<size_t>(found - hunts_.data())];
    hunt.settings_offset = entry.offset;
    hunt.settings_bytes = entry.bytes;
  }
  return true;
}

Result<Bundle> make_bundle(const BundleFiles& files) {
  BundleFiles sorted = files;
  std::sort(sorted.begin(), sorted.end());
  size_t index_bytes = magic.size() + 4;
  for (const auto& [name, source] : sorted) index_bytes += 4 + name.size() + 8;
  std::string bytes(magic);
  put_u32(bytes, sorted.size());
  size_t offset = index_bytes;
  for (const auto& [name, source] : sorted) {
    put_u32(bytes, name.size());
    bytes += name;
    put_u32(bytes, offset);
    put_u32(bytes, source.size());
    offset += source.size();
  }
  for (const auto& [name, source] : sorted) bytes += source;
  if (bytes.size() > limits::bundle_bytes_max)
    return Error{fmt::format("the scripts have {} bytes together, more than {}", bytes.size(),
                             limits::bundle_bytes_max)};

  Result<UniqueFd> sealed = seal({bytes});
  if (!sealed) return sealed.error();
  Bundle bundle;
  bundle.descriptor_ = std::move(*sealed);
  bundle.name_ = hash128_hex(bytes);
  if (!bundle.read_index(bytes))
    return Error{"a hunt's name is not a valid id, or two hunts have the same name"};
  return bundle;
}

Result<Bundle> add_zones(const Bundle& bundle) {
  Result<std::string> bytes = read_sources(bundle);
  if (!bytes) return bytes.error();
  bytes->resize(page_up(bytes->size()), '\0');
  *bytes += zone_table();
  Result<UniqueFd> sealed = seal({*bytes});
  if (!sealed) return sealed.error();
  return open_bundle(sealed->release());
}

Result<Bundle> add_images(const Bundle& bundle, const std::vector<HuntImage>& images) {
  CHECK(images.size() == bundle.hunts_.size());
  Result<std::string> head = read_sources(bundle);
  if (!head) return head.error();
  head->resize(page_up(head->size()), '\0');
  if (bundle.zones_offset_ != 0) *head += zone_table();
  head->resize(page_up(head->size()), '\0');
  std::vector<std::string> rules;
  size_t index_bytes = images_magic.size() + 4;
  size_t all_bytes = 0;
  for (const HuntImage& image : images) {
    rules.push_back(encode_rules(image.rules));
    index_bytes += 12 + rules.back().size();
    all_bytes += page_up(image.image.size());
  }
  if (all_bytes > limits::bundle_images_bytes_max)
    return Error{
        fmt::format("the top-level code of the scripts allocates {} bytes together, more than {}",
                    all_bytes, limits::bundle_images_bytes_max)};
  size_t offset = page_up(head->size() + index_bytes);
  *head += images_magic;
  put_u32(*head, images.size());
  for (size_t i = 0; i < images.size(); ++i) {
    put_u32(*head, offset);
    put_u32(*head, images[i].image.size());
    put_u32(*head, rules[i].size());
    *head += rules[i];
    offset += page_up(images[i].image.size());
  }
  head->resize(page_up(head->size()), '\0');
  static constexpr char zeros[page_bytes] = {};
  std::vector<std::string_view> parts{*head};
  for (const HuntImage& image : images) {
    parts.emplace_back(image.image);
    // The last image ends where it ends.
    if (&image != &images.back())
      parts.emplace_back(zeros, page_up(image.image.size()) - image.image.size());
  }
  Result<UniqueFd> sealed = seal(parts);
  if (!sealed) return sealed.error();
  return open_bundle(sealed->release());
}

Result<Bundle> open_bundle(int descriptor) {
  Bundle bundle;
  bundle.descriptor_.reset(descriptor);
  Result<Mapping> const mapping = Mapping::of(descriptor);
  if (!mapping) return mapping.error();
  std::string_view const bytes = mapping->bytes();
  if (!bundle.read_index(bytes)) return Error{"not a bundle"};
  size_t end = bundle.sources_bytes_;
  std::string_view const behind = bytes.substr(std::min(page_up(end), bytes.size()));
  if (zone_table_head head{};
      behind.starts_with(ZONE_TABLE_MAGIC) && behind.size() >= sizeof head) {
    std::memcpy(&head, behind.data(), sizeof head);
    bundle.zones_offset_ = static_cast<uint32_t>(page_up(end));
    end = bundle.zones_offset_ + size_t{head.bytes};
    if (end > bytes.size()) return Error{"not a bundle: the time zones are malformed"};
  }
  if (end < bytes.size() && !read_images(bytes, page_up(end), bundle.hunts_))
    return Error{"not a bundle: the images are malformed"};
  bundle.name_ = hash128_hex(bytes.substr(0, bundle.sources_bytes_));
  return bundle;
}

Result<std::string> read_sources(const Bundle& bundle) {
  std::string bytes(bundle.sources_bytes(), '\0');
  for (size_t have = 0; have < bytes.size();) {
    ssize_t const got = pread(bundle.descriptor(), bytes.data() + have, bytes.size() - have,
                              static_cast<off_t>(have));
    if (got <= 0) return Error{std::string("cannot read the bundle: ") + std::strerror(errno)};
    have += static_cast<size_t>(got);
  }
  return bytes;
}

Result<Bundle> bundle_of(std::string_view sources) {
  // Before open_bundle(), which trusts the images behind the sources: here there must be none.
  Bundle index;
  if (!index.read_index(sources) || index.sources_bytes_ != sources.size())
    return Error{"not the sources of a bundle"};
  if (index.hunts_.empty()) return Error{"the bundle has no hunt"};
  if (index.modules_.size() > limits::modules_max)
    return Error{fmt::format("the bundle has {} modules, more than {}", index.modules_.size(),
                             limits::modules_max)};
  Result<UniqueFd> sealed = seal({sources});
  if (!sealed) return sealed.error();
  return open_bundle(sealed->release());
}

}  // namespace huntd
