// SPDX-License-Identifier: Apache-2.0
#include "metrics/process_figures.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <string_view>

#include "base/read_text.h"

namespace huntd {
namespace {

// The fields of FOLDER/stat from number `first` on, which is at least 3. Field 2 is the program's
// name in parentheses and may hold anything, so counting starts after the last one.
std::istringstream stat_fields(const std::string& folder, int first) {
  std::ifstream file(folder + "/stat");
  std::string const text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  size_t const name_end = text.rfind(')');
  std::istringstream fields(name_end == std::string::npos ? "" : text.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < first; ++field) fields >> skipped;
  return fields;
}

// Fields 14 and 15, in clock ticks.
std::optional<uint64_t> cpu_clock_ticks(const std::string& folder) {
  std::istringstream fields = stat_fields(folder, 14);
  uint64_t user = 0;
  uint64_t system = 0;
  if (!(fields >> user >> system)) return std::nullopt;
  return user + system;
}

// The soft limit of "Max open files" (proc(5), /proc/pid/limits).
std::optional<uint64_t> max_descriptors(const std::string& folder) {
  constexpr std::string_view name = "Max open files";
  std::ifstream limits(folder + "/limits");
  for (std::string line; std::getline(limits, line);) {
    if (!line.starts_with(name)) continue;
    std::string soft;
    std::istringstream(line.substr(name.size())) >> soft;
    return soft == "unlimited" ? UINT64_MAX : read_number<uint64_t>(soft);
  }
  return std::nullopt;
}

}  // namespace

std::optional<ProcessFigures> read_process_figures(uint64_t pid) {
  if (pid == 0) return std::nullopt;
  std::string const folder = fmt::format("/proc/{}", pid);
  std::optional<uint64_t> const clock_ticks = cpu_clock_ticks(folder);
  std::ifstream statm(folder + "/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  if (!clock_ticks || !(statm >> total_pages >> resident_pages)) return std::nullopt;

  ProcessFigures figures;
  figures.cpu_seconds =
      static_cast<double>(*clock_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  figures.resident_bytes = resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  std::error_code error;
  std::filesystem::directory_iterator const entries(folder + "/fd", error);
  if (error) return std::nullopt;
  figures.open_descriptors =
      static_cast<uint64_t>(std::distance(begin(entries), std::filesystem::directory_iterator()));
  std::optional<uint64_t> const max = max_descriptors(folder);
  if (!max) return std::nullopt;
  figures.max_descriptors = *max;
  return figures;
}

std::optional<uint64_t> process_start_ticks(uint64_t pid) {
  std::istringstream fields = stat_fields(fmt::format("/proc/{}", pid), 22);
  uint64_t ticks = 0;
  if (pid == 0 || !(fields >> ticks)) return std::nullopt;
  return ticks;
}

}  // namespace huntd
