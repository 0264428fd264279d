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
// hunt: u32 offset, u32 size.
constexpr std::string_view images_magic = "hunti001";

size_t images_index_bytes(size_t hunts) { return images_magic.size() + 4 + 8 * hunts; }

// Reads the index of the images. Returns false if there is no valid one at `begin`.
bool read_images(std::string_view bytes, size_t begin, std::vector<BundledHunt>& hunts) {
  if (bytes.size() < begin + images_index_bytes(hunts.size())) return false;
  const char* at = bytes.data() + begin;
  auto const take_u32 = [&at] {
    uint32_t value = 0;
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    return value;
  };
  if (bytes.substr(begin, images_magic.size()) != images_magic) return false;
  at += images_magic.size();
  if (take_u32() != hunts.size()) return false;
  for (BundledHunt& hunt : hunts) {
    hunt.image_offset = take_u32();
    hunt.image_bytes = take_u32();
    if (static_cast<size_t>(hunt.image_offset) + hunt.image_bytes > bytes.size()) return false;
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
  auto const take = [&](size_t size, std::string_view& into) {
    if (bytes.size() < size) return false;
    into = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return true;
  };
  auto const take_u32 = [&](uint32_t& into) {
    std::string_view raw;
    if (!take(sizeof into, raw)) return false;
    std::memcpy(&into, raw.data(), sizeof into);
    return true;
  };
  std::string_view text;
  uint32_t count = 0;
  if (!take(magic.size(), text) || text != magic || !take_u32(count)) return false;
  size_t sources_bytes = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t name_bytes = 0;
    Entry entry;
    if (!take_u32(name_bytes) || !take(name_bytes, entry.name)) return false;
    if (!take_u32(entry.offset) || !take_u32(entry.bytes)) return false;
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

Result<Bundle> add_images(const Bundle& bundle, const std::vector<std::string>& images) {
  CHECK(images.size() == bundle.hunts_.size());
  Result<std::string> head = read_sources(bundle);
  if (!head) return head.error();
  head->resize(page_up(head->size()), '\0');
  size_t offset = page_up(head->size() + images_index_bytes(images.size()));
  size_t all_bytes = 0;
  for (const std::string& image : images) all_bytes += page_up(image.size());
  if (all_bytes > limits::bundle_images_bytes_max)
    return Error{
        fmt::format("the top-level code of the scripts allocates {} bytes together, more than {}",
                    all_bytes, limits::bundle_images_bytes_max)};
  *head += images_magic;
  put_u32(*head, images.size());
  for (const std::string& image : images) {
    put_u32(*head, offset);
    put_u32(*head, image.size());
    offset += page_up(image.size());
  }
  head->resize(page_up(head->size()), '\0');
  static constexpr char zeros[page_bytes] = {};
  std::vector<std::string_view> parts{*head};
  for (const std::string& image : images) {
    parts.emplace_back(image);
    // The last image ends where it ends.
    if (&image != &images.back()) parts.emplace_back(zeros, page_up(image.size()) - image.size());
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
  size_t const end = bundle.sources_bytes_;
  if (end < bytes.size() && !read_images(bytes, page_up(end), bundle.hunts_))
    return Error{"not a bundle: the images are malformed"};
  bundle.name_ = hash128_hex(bytes.substr(0, end));
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
  Result<UniqueFd> sealed = seal({sources});
  if (!sealed) return sealed.error();
  Result<Bundle> bundle = open_bundle(sealed->release());
  if (bundle && bundle->sources_bytes() != sources.size())
    return Error{"not the sources of a bundle"};
  return bundle;
}

}  // namespace huntd
