// SPDX-License-Identifier: Apache-2.0
#include "bundle/kept_bundles.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/unique_fd.h"
#include "bundle/saved_bundle.h"

namespace huntd {
namespace {

constexpr std::string_view suffix = ".bundle";
constexpr size_t history_bytes_max = 64 * 1024;

std::string folder_of(const std::string& state_dir) { return state_dir + "/bundles"; }
std::string path_of(const std::string& folder, const std::string& name) {
  return fmt::format("{}/{}{}", folder, name, suffix);
}
std::string history_path(const std::string& folder) { return folder + "/history"; }

Error failed(const std::string& path, const char* call) {
  return Error{fmt::format("{}: {}: {}", path, call, std::strerror(errno))};
}

// Held by the process that changes the folder.
Result<UniqueFd> lock(const std::string& folder) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed(folder, "mkdir");
  std::string const path = folder + "/lock";
  UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return failed(path, "open");
  if (flock(file.get(), LOCK_EX) != 0) return failed(path, "flock");
  return file;
}

// Bundles that the history does not name, and files that a crash has left half written.
Result<void> remove_others(const std::string& folder, const BundleHistory& history) {
  std::error_code error;
  std::filesystem::directory_iterator files(folder, error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::string const file = files->path().filename();
    bool const whole = file.ends_with(suffix);
    bool const half = file.ends_with(".bundle.new");
    bool const named =
        whole && history.find(std::string_view(file).substr(0, file.size() - suffix.size()));
    if ((!whole && !half) || named) continue;
    if (unlink(files->path().c_str()) != 0 && errno != ENOENT)
      return failed(files->path(), "unlink");
  }
  if (error) return Error{fmt::format("{}: {}", folder, error.message())};
  return {};
}

}  // namespace

Result<void> keep_bundle(const std::string& state_dir, const Bundle& bundle) {
  std::string const folder = folder_of(state_dir);
  Result<UniqueFd> const locked = lock(folder);
  if (!locked) return locked.error();
  std::string const path = path_of(folder, bundle.name());
  // One that is damaged is written again.
  Result<std::optional<Bundle>> const kept = read_bundle_file(path);
  if (kept && kept->has_value() && (*kept)->name() == bundle.name()) return {};
  return write_bundle_file(folder, path, bundle);
}

Result<Bundle> load_kept_bundle(const std::string& state_dir, const std::string& name) {
  std::string const path = path_of(folder_of(state_dir), name);
  Result<std::optional<Bundle>> kept = read_bundle_file(path);
  if (!kept) return kept.error();
  if (!kept->has_value()) return Error{path + ": there is no such file"};
  if ((*kept)->name() != name)
    return Error{fmt::format("{}: is corrupt: it has the content of {}", path, (*kept)->name())};
  return std::move(**kept);
}

Result<void> save_history(const std::string& state_dir, const BundleHistory& history) {
  std::string const folder = folder_of(state_dir);
  Result<UniqueFd> const locked = lock(folder);
  if (!locked) return locked.error();
  Result<void> const written = write_text_file(folder, history_path(folder), history_text(history));
  if (!written) return written;
  return remove_others(folder, history);
}

Result<std::optional<BundleHistory>> load_history(const std::string& state_dir) {
  std::string const path = history_path(folder_of(state_dir));
  UniqueFd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file.valid() && (errno == ENOENT || errno == ENOTDIR)) return std::optional<BundleHistory>();
  if (!file.valid()) return failed(path, "open");
  std::string text(history_bytes_max, '\0');
  ssize_t const size = read(file.get(), text.data(), text.size());
  if (size < 0) return failed(path, "read");
  text.resize(static_cast<size_t>(size));
  Result<BundleHistory> history = history_of(text);
  if (!history)
    return Error{
        fmt::format("{}: {}; restore it, or let the next `huntctl deploy` write another "
                    "one, which removes the earlier bundles: copy those that you need",
                    path, history.error().message)};
  return std::optional<BundleHistory>(std::move(*history));
}

}  // namespace huntd
