// SPDX-License-Identifier: Apache-2.0
#include "linux/cpu_quota.h"

#include <fstream>
#include <string_view>

namespace huntd::server {
namespace {

// Quota and period in microseconds; both 0 if there is no quota.
struct Share {
  double quota_us = 0;
  double period_us = 0;
};

// "10000 100000", or "max 100000" for none.
Share read_v2(const std::string& folder) {
  Share share;
  std::ifstream file(folder + "/cpu.max");
  if (!(file >> share.quota_us >> share.period_us)) return {};
  return share;
}

// A quota of -1 is none.
Share read_v1(const std::string& folder) {
  Share share;
  std::ifstream quota(folder + "/cpu.cfs_quota_us");
  std::ifstream period(folder + "/cpu.cfs_period_us");
  if (!(quota >> share.quota_us) || !(period >> share.period_us)) return {};
  return share;
}

void take_smaller(std::optional<CpuQuota>& smallest, const Share& share, std::string file) {
  if (share.quota_us <= 0 || share.period_us <= 0) return;
  double const cpus = share.quota_us / share.period_us;
  if (!smallest || cpus < smallest->cpus) smallest = CpuQuota{cpus, std::move(file)};
}

// From the cgroup at `path` up to `mount` itself.
void walk_up(std::optional<CpuQuota>& smallest, const std::string& mount, std::string path) {
  if (path.find("..") != std::string::npos) path.clear();  // outside of our namespace
  for (;;) {
    while (path.ends_with('/')) path.pop_back();
    std::string const folder = mount + path;
    take_smaller(smallest, read_v2(folder), folder + "/cpu.max");
    take_smaller(smallest, read_v1(folder), folder + "/cpu.cfs_quota_us");
    if (path.empty()) return;
    path.resize(path.rfind('/'));
  }
}

bool names_cpu(std::string_view controllers) {
  while (!controllers.empty()) {
    size_t const comma = controllers.find(',');
    if (controllers.substr(0, comma) == "cpu") return true;
    if (comma == std::string_view::npos) return false;
    controllers.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

std::optional<CpuQuota> cpu_quota(const std::string& root) {
  std::optional<CpuQuota> smallest;
  std::string const mounts = root + "/sys/fs/cgroup";
  std::ifstream cgroups(root + "/proc/self/cgroup");
  // A line is NUMBER:CONTROLLERS:PATH; version 2 has no controllers.
  for (std::string line; std::getline(cgroups, line);) {
    size_t const first = line.find(':');
    size_t const second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos || line.compare(second + 1, 1, "/") != 0) continue;
    std::string const controllers = line.substr(first + 1, second - first - 1);
    std::string const path = line.substr(second + 1);
    if (controllers.empty()) {
      walk_up(smallest, mounts, path);
      walk_up(smallest, mounts + "/unified", path);  // beside version 1
    } else if (names_cpu(controllers)) {
      walk_up(smallest, mounts + "/" + controllers, path);
      if (controllers != "cpu") walk_up(smallest, mounts + "/cpu", path);
    }
  }
  return smallest;
}

}  // namespace huntd::server
