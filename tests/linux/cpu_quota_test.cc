// SPDX-License-Identifier: Apache-2.0
#include "linux/cpu_quota.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

using huntd::server::cpu_quota;
using huntd::server::CpuQuota;

namespace {

// A root with /proc/self/cgroup and /sys/fs/cgroup.
class FakeRoot {
 public:
  explicit FakeRoot(const std::string& cgroups) {
    std::string name = (std::filesystem::temp_directory_path() / "huntd-test-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
    write("/proc/self/cgroup", cgroups);
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  FakeRoot(const FakeRoot&) = delete;
  FakeRoot& operator=(const FakeRoot&) = delete;

  const std::string& path() const { return path_; }
  void write(const std::string& file, const std::string& text) const {
    std::filesystem::path const whole = path_ + file;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text;
  }
  // Of /sys/fs/cgroup.
  void v2(const std::string& group, const std::string& cpu_max) const {
    write("/sys/fs/cgroup" + group + "/cpu.max", cpu_max + "\n");
  }
  void v1(const std::string& group, const std::string& quota, const std::string& period) const {
    write("/sys/fs/cgroup" + group + "/cpu.cfs_quota_us", quota + "\n");
    write("/sys/fs/cgroup" + group + "/cpu.cfs_period_us", period + "\n");
  }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("there is no quota without cgroups, or if none sets one") {
  CHECK_FALSE(cpu_quota("/nowhere"));
  FakeRoot const root("0::/a/b\n");
  CHECK_FALSE(cpu_quota(root.path()));
  root.v2("/a/b", "max 100000");
  root.v2("/a", "max 100000");
  CHECK_FALSE(cpu_quota(root.path()));
}

TEST_CASE("cpu.max is the quota over the period") {
  FakeRoot const root("0::/a\n");
  root.v2("/a", "10000 100000");
  std::optional<CpuQuota> const quota = cpu_quota(root.path());
  REQUIRE(quota);
  CHECK(quota->cpus == doctest::Approx(0.1));
  CHECK(quota->file == root.path() + "/sys/fs/cgroup/a/cpu.max");
}

TEST_CASE("the smallest quota from the process's cgroup to the top counts") {
  FakeRoot const root("0::/system.slice/huntd.service\n");
  root.v2("/system.slice/huntd.service", "400000 100000");
  root.v2("/system.slice", "150000 50000");
  root.v2("", "max 100000");
  std::optional<CpuQuota> const quota = cpu_quota(root.path());
  REQUIRE(quota);
  CHECK(quota->cpus == doctest::Approx(3));
  CHECK(quota->file == root.path() + "/sys/fs/cgroup/system.slice/cpu.max");
}

TEST_CASE("a container has its quota at the top, with and without a namespace of cgroups") {
  for (const char* cgroups : {"0::/\n", "0::/docker/4f1c\n", "0::/../sibling\n"}) {
    CAPTURE(cgroups);
    FakeRoot const root(cgroups);
    root.v2("", "250000 100000");
    std::optional<CpuQuota> const quota = cpu_quota(root.path());
    REQUIRE(quota);
    CHECK(quota->cpus == doctest::Approx(2.5));
  }
}

TEST_CASE("version 1 has the quota at the controller cpu, under either name") {
  FakeRoot const root("5:memory:/m\n4:cpu,cpuacct:/a/b\n1:cpuset:/c\n0::/\n");
  root.v1("/memory/m", "1", "100000");
  root.v1("/cpuset/c", "1", "100000");
  SUBCASE("both controllers") { root.v1("/cpu,cpuacct/a", "50000", "100000"); }
  SUBCASE("cpu alone") { root.v1("/cpu/a/b", "50000", "100000"); }
  root.v1("/cpu/a", "-1", "100000");
  root.v1("/cpu", "-1", "100000");
  std::optional<CpuQuota> const quota = cpu_quota(root.path());
  REQUIRE(quota);
  CHECK(quota->cpus == doctest::Approx(0.5));
}

TEST_CASE("version 2 beside version 1 is read too") {
  FakeRoot const root("4:cpu:/\n0::/a\n");
  root.v1("/cpu", "-1", "100000");
  root.v2("/unified/a", "120000 100000");
  std::optional<CpuQuota> const quota = cpu_quota(root.path());
  REQUIRE(quota);
  CHECK(quota->cpus == doctest::Approx(1.2));
}

TEST_CASE("malformed files set no quota") {
  FakeRoot const root("\n0\n0:\n0::\n0::a\n0::/a\n");
  for (const char* text : {"", "many", "100000", "0 100000", "100000 0", "-5 100000"}) {
    CAPTURE(text);
    root.v2("/a", text);
    CHECK_FALSE(cpu_quota(root.path()));
  }
}
