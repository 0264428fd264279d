// SPDX-License-Identifier: Apache-2.0
#include "huntctl/latency_baseline.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "base/hash.h"

namespace huntd::huntctl {
namespace {

// The XDG Base Directory Specification ignores a path that is not absolute.
std::string absolute_path_of(const char* variable) {
  const char* const value = std::getenv(variable);
  return value != nullptr && *value == '/' ? value : "";
}

}  // namespace

Result<std::string> latency_baseline_path(std::string_view admin_address) {
  std::string folder = absolute_path_of("XDG_STATE_HOME");
  if (std::string const home = absolute_path_of("HOME"); folder.empty() && !home.empty())
    folder = home + "/.local/state";
  if (folder.empty())
    return Error{"neither XDG_STATE_HOME nor HOME is set, so a reset can't be kept",
                 ErrorKind::usage};
  return fmt::format("{}/huntctl/latency-{:016x}.json", folder, hash64(admin_address));
}

Result<void> keep_latency_baseline(const std::string& path, std::string_view json) {
  std::string const part = fmt::format("{}.{}", path, getpid());
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path(), error);
  std::ofstream file(part);
  file << json;
  file.close();
  if (file) std::filesystem::rename(part, path, error);
  if (file && !error) return {};
  std::error_code ignored;
  std::filesystem::remove(part, ignored);
  return Error{fmt::format("cannot write {}{}{}", path, error ? ": " : "",
                           error ? error.message() : std::string())};
}

Result<LatencyReport> read_latency_baseline(const std::string& path,
                                            std::string_view admin_address) {
  std::ifstream file(path);
  if (!file)
    return Error{fmt::format("there is no reset of {} ({}): run huntctl latency --reset first",
                             admin_address, path),
                 ErrorKind::usage};
  std::string const json(std::istreambuf_iterator<char>(file), {});
  Result<LatencyReport> report = read_latency_report(json);
  if (!report)
    return Error{fmt::format("{} can't be read: run huntctl latency --reset again", path),
                 ErrorKind::usage};
  return report;
}

}  // namespace huntd::huntctl
