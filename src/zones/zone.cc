// SPDX-License-Identifier: Apache-2.0
#include "zones/zone.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "base/ids.h"
#include "base/nearest.h"
#include "base/unique_fd.h"
#include "zones/zone_rule.h"

namespace huntd {
namespace {

namespace fs = std::filesystem;

constexpr size_t zone_file_bytes_max = 64 * 1024;
constexpr std::string_view magic = "TZif";

// Reads big-endian numbers. Beyond the end it fails, and reads zeros.
class Bytes {
 public:
  explicit Bytes(std::string_view bytes) : rest_(bytes) {}
  bool failed() const { return failed_; }
  std::string_view rest() const { return rest_; }
  void skip(size_t size) { take(size); }
  template <class T>
  T number() {
    std::string_view const from = take(sizeof(T));
    uint64_t value = 0;
    for (char const c : from) value = value << 8 | static_cast<unsigned char>(c);
    return static_cast<T>(value);
  }

 private:
  std::string_view take(size_t size) {
    failed_ |= rest_.size() < size;
    if (failed_) return {};
    std::string_view const taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest_;
  bool failed_ = false;
};

// The counts of a header, in the order of the file.
struct Header {
  uint8_t version = 0;
  uint32_t utc_flags = 0, standard_flags = 0, leaps = 0, changes = 0, types = 0, name_bytes = 0;
};

std::optional<Header> read_header(Bytes& bytes) {
  if (!bytes.rest().starts_with(magic)) return std::nullopt;
  bytes.skip(magic.size());
  Header header;
  header.version = bytes.number<uint8_t>();
  bytes.skip(15);
  header.utc_flags = bytes.number<uint32_t>();
  header.standard_flags = bytes.number<uint32_t>();
  header.leaps = bytes.number<uint32_t>();
  header.changes = bytes.number<uint32_t>();
  header.types = bytes.number<uint32_t>();
  header.name_bytes = bytes.number<uint32_t>();
  if (bytes.failed() || header.changes > zone_file_bytes_max || header.types > 255)
    return std::nullopt;
  return header;
}

size_t block_bytes(const Header& header, size_t time_bytes) {
  return header.changes * (time_bytes + 1) + header.types * size_t{6} + header.name_bytes +
         header.leaps * (time_bytes + 4) + header.standard_flags + header.utc_flags;
}

// The changes that the block lists; `last_s` is the time of its last one.
std::optional<ZoneChanges> read_block(Bytes bytes, const Header& header, int64_t& last_s) {
  std::vector<int64_t> times(header.changes);
  for (int64_t& time : times) time = bytes.number<int64_t>();
  std::vector<uint8_t> types(header.changes);
  for (uint8_t& type : types) type = bytes.number<uint8_t>();
  std::vector<int32_t> offsets(header.types);
  for (int32_t& offset : offsets) {
    offset = bytes.number<int32_t>();
    bytes.skip(2);
  }
  if (bytes.failed() || offsets.empty()) return std::nullopt;
  ZoneChanges changes{{0, offsets[0]}};
  for (size_t i = 0; i < times.size(); ++i) {
    if (types[i] >= offsets.size()) return std::nullopt;
    last_s = times[i];
    int32_t const offset_s = offsets[types[i]];
    if (times[i] <= 0)
      changes[0].offset_s = offset_s;
    else if (times[i] < zone_end_s)
      changes.push_back({static_cast<uint32_t>(times[i]), offset_s});
  }
  return changes;
}

// A change of the name only is none.
void drop_equal(ZoneChanges& changes) {
  auto const same = [](const ZoneChange& a, const ZoneChange& b) {
    return a.offset_s == b.offset_s;
  };
  changes.erase(std::unique(changes.begin(), changes.end(), same), changes.end());
}

bool is_zone_name(std::string_view name) {
  auto const fits = [](char c) { return is_id_char(c) || c == '/' || c == '+'; };
  return !name.empty() && name.size() < zone_name_bytes && name.front() != '/' &&
         name.find("..") == std::string_view::npos && std::ranges::all_of(name, fits);
}

// The bytes of a file, "" if it can't be read or isn't regular.
std::string file_text(const std::string& path) {
  UniqueFd const file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return "";
  std::array<char, zone_file_bytes_max> bytes;
  size_t size = 0;
  for (ssize_t got = 1; got > 0 && size < bytes.size(); size += static_cast<size_t>(got))
    if (got = ::read(file.get(), bytes.data() + size, bytes.size() - size); got < 0) return "";
  return {bytes.data(), size};
}

// Folders of the database whose files are not zones, or are others with leap seconds.
bool is_other(std::string_view name) {
  return name == "posix" || name == "right" || name == "posixrules" || name == "localtime" ||
         name == "Factory";
}

std::string path_of(std::string_view name) { return fmt::format("{}/{}", zones_dir, name); }

}  // namespace

Result<ZoneChanges> parse_zone(std::string_view whole) {
  Bytes bytes(whole);
  std::optional<Header> const old = read_header(bytes);
  if (!old || old->version < '2') return Error{"not a time zone file of version 2"};
  bytes.skip(block_bytes(*old, 4));
  std::optional<Header> const header = read_header(bytes);
  if (!header) return Error{"its second header is malformed"};
  int64_t last_s = INT64_MIN;
  std::optional<ZoneChanges> changes = read_block(bytes, *header, last_s);
  bytes.skip(block_bytes(*header, 8));
  std::string_view rule = bytes.rest();
  if (!changes || bytes.failed() || rule.size() < 2 || rule.front() != '\n')
    return Error{"it is cut off"};
  rule = rule.substr(1, rule.find('\n', 1) - 1);
  if (!rule.empty())
    if (Result<void> appended = append_rule(rule, last_s, *changes); !appended)
      return appended.error();
  drop_equal(*changes);
  if (changes->size() > zone_changes_max) return Error{"it has too many changes"};
  return std::move(*changes);
}

std::vector<std::string> zone_files() {
  std::vector<std::string> names;
  std::error_code error;
  fs::recursive_directory_iterator found(zones_dir, error);
  size_t const root_bytes = std::strlen(zones_dir) + 1;
  for (; !error && found != fs::recursive_directory_iterator(); found.increment(error)) {
    std::string name = found->path().native().substr(root_bytes);
    if (is_other(name))
      found.disable_recursion_pending();
    else if (std::error_code ignored; is_zone_name(name) && !found->is_directory(ignored))
      names.push_back(std::move(name));
  }
  std::ranges::sort(names);
  return names;
}

std::string zone_file_text(const std::string& name) {
  if (!is_zone_name(name) || is_other(name.substr(0, name.find('/')))) return "";
  std::string text = file_text(path_of(name));
  return text.starts_with(magic) ? text : "";
}

const std::vector<std::string>& zone_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> found = zone_files();
    std::erase_if(found, [](const std::string& name) { return zone_file_text(name).empty(); });
    return found;
  }();
  return names;
}

Result<ZoneChanges> read_zone(const std::string& name) {
  if (std::string const text = zone_file_text(name); !text.empty()) {
    Result<ZoneChanges> zone = parse_zone(text);
    if (!zone) return Error{fmt::format("{}: {}", path_of(name), zone.error().message)};
    return zone;
  }
  if (zone_names().empty())
    return Error{fmt::format("this host has no time zones in {}: install tzdata", zones_dir)};
  std::vector<std::string_view> const names(zone_names().begin(), zone_names().end());
  std::string_view const near = nearest_name(name, names);
  return Error{fmt::format(
      "there is no time zone \"{}\"; {}", name,
      near.empty() ? "write it as in Europe/Berlin" : fmt::format("did you mean {}?", near))};
}

int64_t utc_of_local(const ZoneChanges& zone, int64_t local_s) {
  for (size_t i = 0; i < zone.size(); ++i) {
    int64_t const utc_s = local_s - zone[i].offset_s;
    bool const last = i + 1 == zone.size();
    if (last || utc_s < int64_t{zone[i + 1].at_s})
      return i == 0 ? utc_s : std::max(utc_s, int64_t{zone[i].at_s});
  }
  return local_s;
}

}  // namespace huntd
