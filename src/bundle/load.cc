// SPDX-License-Identifier: Apache-2.0
#include "bundle/load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/ids.h"
#include "base/limits.h"
#include "base/unique_fd.h"

namespace huntd {
namespace {

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

std::filesystem::path file_of_hunt(const std::filesystem::path& test) {
  return test.parent_path() / (std::string(hunt_of_test(test.stem().string())) + ".lua");
}

// Whether it is NAME_test.lua beside NAME.lua.
bool is_test_of_hunt(const std::filesystem::path& path) {
  return is_test_name(path.stem().string()) && access(file_of_hunt(path).c_str(), F_OK) == 0;
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
        path.string(), file_of_hunt(path).filename().string(), test_suffix);
  struct stat status {};
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    return not_regular(path.string(), status.st_mode);
  return "";
}

// Reads a regular file of at most `bytes_max` bytes. `what` names its kind in an error.
Result<std::string> read_file(const std::string& path, const char* what, size_t bytes_max) {
  auto const unreadable = [&path] {
    return Error{fmt::format("{}: cannot be read: {}", path, std::strerror(errno))};
  };
  UniqueFd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0) return unreadable();
  // It may have been replaced since its type was looked at.
  if (!S_ISREG(status.st_mode)) return Error{not_regular(path, status.st_mode)};
  std::string source(bytes_max + 1, '\0');
  size_t have = 0;
  while (have < source.size()) {
    ssize_t const got = read(file.get(), source.data() + have, source.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return unreadable();
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  if (have > bytes_max)
    return Error{fmt::format("{}: {} may have at most {} bytes", path, what, bytes_max)};
  source.resize(have);
  return source;
}

// Whether it is NAME.toml beside NAME.lua.
bool is_settings_of_hunt(const std::filesystem::path& path) {
  std::filesystem::path script = path;
  return access(script.replace_extension(".lua").c_str(), F_OK) == 0;
}

// Why a file DIR/*.toml is not read.
std::string no_settings(const std::filesystem::path& path) {
  return fmt::format("{}: there is no {}.lua here, to which it could belong", path.string(),
                     path.stem().string());
}

void add_line(std::string& lines, const std::string& line) {
  if (!lines.empty()) lines.push_back('\n');
  lines += line;
}

}  // namespace

Result<void> add_modules(const std::string& dir, BundleFiles& files,
                         std::vector<std::string>& skipped) {
  std::error_code error;
  size_t modules = 0;
  std::filesystem::directory_iterator entries(dir + "/lib", error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    std::filesystem::path const& path = entries->path();
    std::string const name = path.stem().string();
    if (path.filename().native().starts_with('.') || path.extension() != ".lua") continue;
    struct stat status {};
    if (!is_path_id(name)) {
      skipped.push_back(path.string() +
                        ": a module must be named NAME.lua, with 1 to 64 of A-Z a-z 0-9 _ . -");
    } else if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
      skipped.push_back(not_regular(path.string(), status.st_mode));
    } else {
      Result<std::string> source = read_file(path, "a module", limits::script_bytes_max);
      if (!source) return source.error();
      if (++modules > limits::modules_max)
        return Error{
            fmt::format("{}/lib: there may be at most {} modules", dir, limits::modules_max)};
      files.emplace_back(module_entry(name), std::move(*source));
    }
  }
  bool const none =
      error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory;
  if (error && !none) return Error{fmt::format("{}/lib: {}", dir, error.message())};
  return {};
}

Result<void> add_settings(const std::string& dir, const std::string& hunt_id,
                          const std::string& name, BundleFiles& files) {
  std::string const path = fmt::format("{}/{}.toml", dir, hunt_id);
  if (access(path.c_str(), F_OK) != 0 && errno == ENOENT) return {};
  Result<std::string> text = read_file(path, "the settings of a hunt", limits::settings_bytes_max);
  if (!text) return text.error();
  files.emplace_back(settings_entry(name), std::move(*text));
  return {};
}

Result<LoadedBundle> load_bundle(const std::string& dir) {
  std::error_code error;
  std::string problems;
  LoadedBundle loaded;
  BundleFiles files;
  std::filesystem::directory_iterator entries(dir, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    std::filesystem::path const& path = entries->path();
    // Names with a dot in front are those of editors, copies of a Mac and rsync.
    if (path.filename().native().starts_with('.')) continue;
    if (path.extension() == ".toml" && !is_settings_of_hunt(path))
      loaded.skipped.push_back(no_settings(path));
    if (path.extension() != ".lua") continue;
    if (is_test_of_hunt(path)) continue;
    if (std::string why = why_no_hunt(path); !why.empty()) {
      loaded.skipped.push_back(std::move(why));
      continue;
    }
    Result<std::string> source = read_file(path, "a script", limits::script_bytes_max);
    if (source)
      files.emplace_back(path.stem().string(), std::move(*source));
    else
      add_line(problems, source.error().message);
    std::string const hunt_id = path.stem().string();
    if (Result<void> added = add_settings(dir, hunt_id, hunt_id, files); !added)
      add_line(problems, added.error().message);
  }
  if (error)
    return Error{fmt::format("{}: {}; hunts.dir must name a directory of *.lua files", dir,
                             error.message())};
  bool const without_hunts = files.empty();
  if (Result<void> added = add_modules(dir, files, loaded.skipped); !added)
    add_line(problems, added.error().message);
  std::sort(loaded.skipped.begin(), loaded.skipped.end());
  if (!problems.empty()) return Error{problems};
  if (without_hunts) {
    problems = dir + ": no *.lua file, so there is no hunt to run";
    for (const std::string& why : loaded.skipped) problems += "\n" + why;
    return Error{problems};
  }
  Result<Bundle> bundle = make_bundle(files);
  if (!bundle) return bundle.error();
  loaded.bundle = std::move(*bundle);
  return loaded;
}

}  // namespace huntd
