// SPDX-License-Identifier: Apache-2.0
// Checks bundles with real workers.
#include "bundle/check.h"
#include "bundle/load.h"

#include "base/clock.h"
#include "temp_dir.h"

#include <doctest/doctest.h>

#include <cstdlib>

using namespace huntd;
using huntd::tests::TempDir;

namespace {

constexpr uint64_t memory_bytes = 32 * 1024 * 1024;

std::string worker_path() {
  const char* path = std::getenv("HUNTD_WORKER");
  REQUIRE(path != nullptr);
  return path;
}

// Returns "" if the bundle passes.
std::string problems_of(const std::vector<std::pair<std::string, std::string>>& scripts,
                        uint32_t deadline_ms = 20'000, const std::string& worker = worker_path()) {
  Result<Bundle> const bundle = make_bundle(scripts);
  REQUIRE(bundle);
  Result<Bundle> const checked = check_bundle(*bundle, "lua", worker, deadline_ms, memory_bytes);
  return checked ? "" : checked.error().message;
}

}  // namespace

TEST_CASE("scripts that compile and return a function pass") {
  CHECK(problems_of({{"a", "return function() end"},
                     {"b", "local f = function() error('later') end return f"}}) == "");
}

TEST_CASE("every script that fails has a line with its file, in the order of the bundle") {
  CHECK(problems_of({{"typo", "return function(hunt)\n  hunt.award('x'\nend"},
                     {"fine", "return function() end"},
                     {"top", "\nerror('no')"},
                     {"io", "local f = io.open('/etc/passwd')"},
                     {"empty", ""},
                     {"code", "\x1bLJ"}}) ==
        "lua/code.lua:1: a script is text, not bytecode\n"
        "lua/empty.lua:1: the script must return a function: return function(hunt) ... end\n"
        "lua/io.lua:1: attempt to index global 'io' (a nil value)\n"
        "lua/top.lua:2: no\n"
        "lua/typo.lua:3: ')' expected (to close '(' at line 2) near 'end'");
}

TEST_CASE("top-level code that loops or exhausts memory is reported") {
  CHECK(problems_of({{"loop", "while true do end"}}, 100) ==
        "lua/loop.lua: its top-level code exceeded the deadline of 100 ms");
  CHECK(problems_of({{"eats", "local t = {} for i = 1, 1e9 do t[i] = {i} end"}}) ==
        "lua/eats.lua: the script needs more memory than worker.memory_bytes");
}

TEST_CASE("top-level code has no hunt object") {
  CHECK(problems_of({{"early", "hunt.award('x')"}}) ==
        "lua/early.lua:1: attempt to index global 'hunt' (a nil value)");
}

TEST_CASE("a worker that cannot be started is reported with the key to set") {
  std::string const problems =
      problems_of({{"a", "return function() end"}}, 1000, "/nowhere/hunt_worker");
  CHECK(problems ==
        "/nowhere/hunt_worker: cannot be started: No such file or directory; set worker.binary");
}

TEST_CASE("a program that is not a worker is reported") {
  std::string const problems = problems_of({{"a", "return function() end"}}, 20'000, "/bin/true");
  CHECK(problems.starts_with("lua/a.lua: its worker exited without an outcome"));
}

TEST_CASE("the sample hunts pass") {
  const char* root = std::getenv("HUNTD_SOURCE_ROOT");
  REQUIRE(root != nullptr);
  Result<LoadedBundle> const loaded = load_bundle(std::string(root) + "/lua");
  REQUIRE(loaded);
  CHECK(loaded->skipped.empty());
  CHECK(loaded->bundle.hunts().size() >= 6);
  Result<Bundle> const checked =
      check_bundle(loaded->bundle, "lua", worker_path(), 20'000, memory_bytes);
  CHECK_MESSAGE(checked, (checked ? "" : checked.error().message));
}

TEST_CASE("a checked bundle has an image of each hunt and the same name") {
  Result<Bundle> const bundle = make_bundle({{"a", "return function() end"},
                                             {"b",
                                              "local t = {} for i = 1, 1e4 do t[i] = {} end "
                                              "return function() return #t end"}});
  REQUIRE(bundle);
  Result<Bundle> const checked = check_bundle(*bundle, "lua", worker_path(), 20'000, memory_bytes);
  REQUIRE(checked);
  CHECK(checked->name() == bundle->name());
  REQUIRE(checked->hunts().size() == 2);
  for (const BundledHunt& hunt : checked->hunts()) {
    CHECK(hunt.image_offset % 4096 == 0);
    CHECK(hunt.image_bytes > 10'000);
  }
  CHECK(checked->hunts()[1].image_bytes > 500'000);
  CHECK(bundle->hunts()[0].image_bytes == 0);
}

TEST_CASE("top-level code that allocates more than an image may have is reported") {
  CHECK(
      problems_of(
          {{"big", "local t = {} for i = 1, 2e5 do t[i] = {i} end return function() end"}}) ==
      "lua/big.lua: the state after its top-level code has more than 8388608 bytes; build it in the function");
}

TEST_CASE("mistakes in the settings of a hunt are errors of their own file") {
  CHECK(problems_of({{"a", "return function() end"},
                     {"a/toml", "\nx = 1\n"},
                     {"b", "return 1"},
                     {"b/toml", "[config]\n"}}) ==
        "lua/a.toml:2: x is not a key of this file; what the script reads is in [config]\n"
        "lua/b.lua:1: the script must return a function: return function(hunt) ... end");
}

TEST_CASE("scripts are checked at the same time, and errors keep the order of the bundle") {
  // One after the other, they would need eight times the deadline; the last one has a good script.
  std::vector<std::pair<std::string, std::string>> scripts;
  for (char name = 'a'; name < 'i'; ++name)
    scripts.emplace_back(std::string(1, name), name % 2 == 0 ? "while true do end" : "error('no')");
  scripts.emplace_back("z", "return function() end");
  CHECK(problems_of(scripts, 300) ==
        "lua/a.lua:1: no\n"
        "lua/b.lua: its top-level code exceeded the deadline of 300 ms\n"
        "lua/c.lua:1: no\n"
        "lua/d.lua: its top-level code exceeded the deadline of 300 ms\n"
        "lua/e.lua:1: no\n"
        "lua/f.lua: its top-level code exceeded the deadline of 300 ms\n"
        "lua/g.lua:1: no\n"
        "lua/h.lua: its top-level code exceeded the deadline of 300 ms");
}

TEST_CASE("more scripts than workers all get their image, and progress is reported") {
  std::vector<std::pair<std::string, std::string>> scripts;
  for (int i = 0; i < 3 * static_cast<int>(check_workers_max); ++i)
    scripts.emplace_back("hunt" + std::to_string(i),
                         "return function() return " + std::to_string(i) + " end");
  Result<Bundle> const bundle = make_bundle(scripts);
  REQUIRE(bundle);
  std::vector<size_t> seen;
  CheckAll all;
  all.progress = [&](size_t checked, size_t count) {
    CHECK(count == scripts.size());
    seen.push_back(checked);
  };
  Result<Bundle> const checked =
      check_bundle(*bundle, "lua", worker_path(), 20'000, memory_bytes, all);
  REQUIRE(checked);
  for (const BundledHunt& hunt : checked->hunts()) CHECK(hunt.image_bytes > 10'000);
  REQUIRE(seen.size() == scripts.size());
  for (size_t i = 0; i < seen.size(); ++i) CHECK(seen[i] == i + 1);
}

TEST_CASE("scripts that the time for all leaves no time for are errors") {
  Result<Bundle> const bundle =
      make_bundle({{"a", "while true do end"}, {"b", "return function() end"}});
  REQUIRE(bundle);
  CheckAll all;
  all.end_at_ms = monotonic_ms();
  Result<Bundle> const none =
      check_bundle(*bundle, "lua", worker_path(), 20'000, memory_bytes, all);
  REQUIRE_FALSE(none);
  CHECK(
      none.error().message ==
      "lua/a.lua: not checked: the time for the check of all scripts (hunts.check_deadline_ms) is "
      "over\n"
      "lua/b.lua: not checked: the time for the check of all scripts (hunts.check_deadline_ms) is "
      "over");
  all.end_at_ms = monotonic_ms() + 500;
  Result<Bundle> const one = check_bundle(*bundle, "lua", worker_path(), 20'000, memory_bytes, all);
  REQUIRE_FALSE(one);
  CHECK(one.error().message.starts_with("lua/a.lua: not checked: "));
}
