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
#include <filesystem>
#include <utility>

#include "base/check.h"
#include "base/hash.h"
#include "base/ids.h"
#include "base/limits.h"

namespace huntd {
namespace {

// The magic and the version of the format. The count of hunts follows, then per hunt: u32 id size,
// id, u32 offset, u32 size; then the sources.
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

// The size of the index and the sources together. The images follow.
size_t sources_end(const std::vector<BundledHunt>& hunts) {
  size_t end = magic.size() + 4;
  for (const BundledHunt& hunt : hunts) end += 4 + hunt.hunt_id.size() + 8 + hunt.bytes;
  return end;
}

// Reads the index of the sources. Returns false if the bytes are not a bundle.
bool read_index(std::string_view bytes, std::vector<BundledHunt>& hunts) {
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
  size_t const whole = bytes.size();
  std::string_view text;
  uint32_t count = 0;
  if (!take(magic.size(), text) || text != magic || !take_u32(count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t id_bytes = 0;
    BundledHunt hunt;
    if (!take_u32(id_bytes) || !take(id_bytes, text) || !is_id(text)) return false;
    hunt.hunt_id = text;
    if (!take_u32(hunt.offset) || !take_u32(hunt.bytes)) return false;
    if (static_cast<size_t>(hunt.offset) + hunt.bytes > whole) return false;
    hunts.push_back(std::move(hunt));
  }
  // Strictly ascending, so no hunt comes twice.
  return std::adjacent_find(hunts.begin(), hunts.end(),
                            [](const BundledHunt& a, const BundledHunt& b) {
                              return a.hunt_id >= b.hunt_id;
                            }) == hunts.end();
}

// Names the type of a file that is not a regular one.
const char* type_name(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

std::string not_regular(const std::string& path, mode_t mode) {
  return fmt::format("{}: is {}, not a regular file", path, type_name(mode));
}

std::filesystem::path hunt_of_test(const std::filesystem::path& path) {
  std::string const name = path.stem().string();
  return path.parent_path() / (name.substr(0, name.size() - test_suffix.size()) + ".lua");
}

// Whether it is NAME_test.lua beside NAME.lua.
bool is_test_of_hunt(const std::filesystem::path& path) {
  return is_test_name(path.stem().string()) && access(hunt_of_test(path).c_str(), F_OK) == 0;
}

// Why a file DIR/*.lua is not a hunt, by its name or type; empty if it can be one. Opens nothing:
// to open a FIFO waits for its writer, and to open a device can act on it.
std::string why_no_hunt(const std::filesystem::path& path) {
  if (!is_path_id(path.stem().string()))
    return path.string() +
           ": the file of a hunt must be named HUNT_ID.lua, with 1 to 64 of A-Z a-z 0-9 _ . -, "
           "not . or ..";
  if (is_test_name(path.stem().string()))
    return fmt::format(
        "{}: is the test of {}, which is not here; the name of a hunt cannot end in {}",
        path.string(), hunt_of_test(path).filename().string(), test_suffix);
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return not_regular(path.string(), status.st_mode);
  return "";
}

Result<std::string> read_script(const std::string& path) {
  auto const unreadable = [&path] {
    return Error{fmt::format("{}: cannot be read: {}", path, std::strerror(errno))};
  };
  UniqueFd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0) return unreadable();
  // It may have been replaced since its type was looked at.
  if (!S_ISREG(status.st_mode)) return Error{not_regular(path, status.st_mode)};
  std::string source(limits::script_bytes_max + 1, '\0');
  size_t have = 0;
  while (have < source.size()) {
    ssize_t const got = read(file.get(), source.data() + have, source.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable();
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  if (have > limits::script_bytes_max)
    return Error{
        fmt::format("{}: a script may have at most {} bytes", path, limits::script_bytes_max)};
  source.resize(have);
  return source;
}

}  // namespace

const BundledHunt* Bundle::find(std::string_view hunt_id) const {
  auto const found = std::lower_bound(
      hunts_.begin(), hunts_.end(), hunt_id,
      [](const BundledHunt& hunt, std::string_view id) { return hunt.hunt_id < id; });
  return found != hunts_.end() && found->hunt_id == hunt_id ? &*found : nullptr;
}

Result<Bundle> make_bundle(const std::vector<std::pair<std::string, std::string>>& scripts) {
  std::vector<std::pair<std::string, std::string>> sorted = scripts;
  std::sort(sorted.begin(), sorted.end());
  size_t index_bytes = magic.size() + 4;
  for (const auto& [hunt_id, source] : sorted) index_bytes += 4 + hunt_id.size() + 8;
  std::string bytes(magic);
  put_u32(bytes, sorted.size());
  size_t offset = index_bytes;
  for (const auto& [hunt_id, source] : sorted) {
    put_u32(bytes, hunt_id.size());
    bytes += hunt_id;
    put_u32(bytes, offset);
    put_u32(bytes, source.size());
    offset += source.size();
  }
  for (const auto& [hunt_id, source] : sorted) bytes += source;
  if (bytes.size() > limits::bundle_bytes_max)
    return Error{fmt::format("the scripts have {} bytes together, more than {}", bytes.size(),
                             limits::bundle_bytes_max)};

  Result<UniqueFd> sealed = seal({bytes});
  if (!sealed) return sealed.error();
  Bundle bundle;
  bundle.descriptor_ = std::move(*sealed);
  bundle.name_ = hash128_hex(bytes);
  if (!read_index(bytes, bundle.hunts_))
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
  if (!read_index(bytes, bundle.hunts_)) return Error{"not a bundle"};
  size_t const end = sources_end(bundle.hunts_);
  if (end > bytes.size()) return Error{"not a bundle: it ends too early"};
  if (end < bytes.size() && !read_images(bytes, page_up(end), bundle.hunts_))
    return Error{"not a bundle: the images are malformed"};
  bundle.name_ = hash128_hex(bytes.substr(0, end));
  return bundle;
}

Result<std::string> read_sources(const Bundle& bundle) {
  std::string bytes(sources_end(bundle.hunts()), '\0');
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
  if (bundle && sources_end(bundle->hunts()) != sources.size())
    return Error{"not the sources of a bundle"};
  return bundle;
}

Result<LoadedBundle> load_bundle(const std::string& dir) {
  std::error_code error;
  std::string problems;
  LoadedBundle loaded;
  std::vector<std::pair<std::string, std::string>> scripts;
  std::filesystem::directory_iterator files(dir, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::filesystem::path const& path = files->path();
    // Names with a dot in front are those of editors, copies of a Mac and rsync.
    if (path.extension() != ".lua" || path.filename().native().starts_with('.')) continue;
    if (is_test_of_hunt(path)) continue;
    if (std::string why = why_no_hunt(path); !why.empty()) {
      loaded.skipped.push_back(std::move(why));
      continue;
    }
    Result<std::string> source = read_script(path);
    if (source)
      scripts.emplace_back(path.stem().string(), std::move(*source));
    else
      problems += (problems.empty() ? "" : "\n") + source.error().message;
  }
  if (error)
    return Error{fmt::format("{}: {}; hunts.dir must name a directory of *.lua files", dir,
                             error.message())};
  std::sort(loaded.skipped.begin(), loaded.skipped.end());
  if (!problems.empty()) return Error{problems};
  if (scripts.empty()) {
    problems = dir + ": no *.lua file, so there is no hunt to run";
    for (const std::string& why : loaded.skipped) problems += "\n" + why;
    return Error{problems};
  }
  Result<Bundle> bundle = make_bundle(scripts);
  if (!bundle) return bundle.error();
  loaded.bundle = std::move(*bundle);
  return loaded;
}

}  // namespace huntd
