// SPDX-License-Identifier: Apache-2.0
// The CPU time that the cgroups of this process allow.
#pragma once
#include <optional>
#include <string>

namespace huntd::server {

struct CpuQuota {
  double cpus = 0;   // 0.5: half of one CPU
  std::string file;  // the one that says so
};
// Returns the smallest quota of this process's cgroups and of those above them, version 2 (cpu.max)
// and 1 (cpu.cfs_quota_us); nothing if none has one. Reads `root`/proc/self/cgroup and
// `root`/sys/fs/cgroup. In a container without a namespace of cgroups, the paths of the first are
// those of the host and do not exist; then the top of the second is the container's.
std::optional<CpuQuota> cpu_quota(const std::string& root = "");

}  // namespace huntd::server
