// SPDX-License-Identifier: Apache-2.0
#include "bundle/saved_bundle.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/hash.h"
#include "base/limits.h"
#include "base/unique_fd.h"

namespace huntd {
namespace {

// The first line is this, the bundle's name and a line break; then the sources.
constexpr std::string_view magic = "huntd last good bundle 1 ";
constexpr size_t name_bytes = 32;
constexpr size_t head_bytes = magic.size() + name_bytes + 1;

Error failed(const std::string& path, const char* call) {
  return Error{fmt::format("{}: {}: {}", path, call, std::strerror(errno))};
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t const wrote = write(descriptor, bytes.data(), bytes.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(wrote));
  }
  return true;
}

// Writes a new file and gives it the name `path`. REQUIRES: the lock of the directory is held.
Result<void> replace_file(const std::string& dir, const std::string& path, std::string_view head,
                          std::string_view sources) {
  std::string const fresh = path + ".new";
  UniqueFd const file(
      open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return failed(fresh, "open");
  // A file that is left half written would keep a full disk full.
  auto const give_up = [&fresh](const char* call) {
    Error error = failed(fresh, call);
    unlink(fresh.c_str());
    return error;
  };
  if (!write_all(file.get(), head) || !write_all(file.get(), sources)) return give_up("write");
  if (fsync(file.get()) != 0) return give_up("fsync");
  if (rename(fresh.c_str(), path.c_str()) != 0) return give_up("rename");
  UniqueFd const folder(open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.valid() || fsync(folder.get()) != 0) return failed(dir, "fsync");
  return {};
}

Result<std::string> read_file(int descriptor, const std::string& path) {
  constexpr size_t bytes_max = head_bytes + limits::bundle_bytes_max;
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return failed(path, "fstat");
  if (!S_ISREG(status.st_mode)) return Error{path + ": is not a regular file"};
  auto const size = static_cast<size_t>(status.st_size);
  if (size > bytes_max) return Error{fmt::format("{}: has more than {} bytes", path, bytes_max)};
  std::string bytes(size, '\0');
  for (size_t have = 0; have < bytes.size();) {
    ssize_t const got = read(descriptor, bytes.data() + have, bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(path, "read");
    if (got == 0) return Error{path + ": became shorter while it was read"};
    have += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

std::string saved_bundle_path(const std::string& dir) { return dir + "/last-good.bundle"; }

Result<void> write_bundle_file(const std::string& dir, const std::string& path,
                               const Bundle& bundle) {
  Result<std::string> const sources = read_sources(bundle);
  if (!sources) return sources.error();
  return replace_file(dir, path, fmt::format("{}{}\n", magic, bundle.name()), *sources);
}

Result<void> write_text_file(const std::string& dir, const std::string& path,
                             std::string_view text) {
  return replace_file(dir, path, text, "");
}

Result<void> save_bundle(const std::string& dir, const Bundle& bundle) {
  std::string const path = saved_bundle_path(dir);
  std::string const lock_path = path + ".lock";
  UniqueFd const lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock.valid()) return failed(lock_path, "open");
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return failed(lock_path, "flock");
  return write_bundle_file(dir, path, bundle);
}

Result<std::optional<Bundle>> load_saved_bundle(const std::string& dir) {
  return read_bundle_file(saved_bundle_path(dir));
}

Result<std::optional<Bundle>> read_bundle_file(const std::string& path) {
  // Without O_NONBLOCK, open() of a FIFO would wait for its writer.
  UniqueFd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid() && errno == ENOENT) return std::optional<Bundle>();
  if (!file.valid()) return failed(path, "open");
  Result<std::string> const bytes = read_file(file.get(), path);
  if (!bytes) return bytes.error();
  std::string_view const whole = *bytes;
  auto const corrupt = [&path](std::string_view why) {
    return Error{fmt::format("{}: is corrupt ({}): delete it", path, why)};
  };
  if (whole.size() < head_bytes || !whole.starts_with(magic) || whole[head_bytes - 1] != '\n')
    return corrupt("it does not start as a saved bundle does");
  std::string_view const sources = whole.substr(head_bytes);
  if (hash128_hex(sources) != whole.substr(magic.size(), name_bytes))
    return corrupt("its content does not have the name in its first line");
  Result<Bundle> bundle = bundle_of(sources);
  if (!bundle) return corrupt(bundle.error().message);
  return std::optional<Bundle>(std::move(*bundle));
}

}  // namespace huntd
