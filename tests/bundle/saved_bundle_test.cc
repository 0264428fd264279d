// SPDX-License-Identifier: Apache-2.0
#include "bundle/saved_bundle.h"

#include "temp_dir.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <iterator>

using namespace huntd;
using huntd::tests::TempDir;

namespace {

Bundle two_hunts() {
  Result<Bundle> bundle = make_bundle({{"a", "-- one"}, {"b", "return 2"}});
  REQUIRE(bundle);
  return std::move(*bundle);
}

std::string content_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace

TEST_CASE("a saved bundle is loaded with its name and its sources") {
  TempDir const dir;
  Bundle const bundle = two_hunts();
  REQUIRE(save_bundle(dir.path(), bundle));
  Result<std::optional<Bundle>> const loaded = load_saved_bundle(dir.path());
  REQUIRE(loaded);
  REQUIRE(loaded->has_value());
  CHECK((*loaded)->name() == bundle.name());
  REQUIRE((*loaded)->hunts().size() == 2);
  CHECK((*loaded)->hunts()[1].hunt_id == "b");
  CHECK(*read_sources(**loaded) == *read_sources(bundle));
  struct stat status {};
  REQUIRE(stat(saved_bundle_path(dir.path()).c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
}

TEST_CASE("images are not saved") {
  TempDir const dir;
  Result<Bundle> const checked =
      add_images(two_hunts(), {{std::string(5000, 'x'), {}}, {std::string(10, 'y'), {}}});
  REQUIRE(checked);
  REQUIRE(save_bundle(dir.path(), *checked));
  Result<std::optional<Bundle>> const loaded = load_saved_bundle(dir.path());
  REQUIRE(loaded);
  CHECK((*loaded)->name() == checked->name());
  CHECK((*loaded)->hunts()[0].image_bytes == 0);
}

TEST_CASE("a directory without a saved bundle has none, and one that is missing cannot save") {
  TempDir const dir;
  Result<std::optional<Bundle>> const none = load_saved_bundle(dir.path());
  REQUIRE(none);
  CHECK_FALSE(none->has_value());
  Result<void> const saved = save_bundle(dir.path() + "/none", two_hunts());
  REQUIRE_FALSE(saved);
  CHECK(saved.error().message.find("No such file or directory") != std::string::npos);
}

TEST_CASE("every file that save_bundle did not write is rejected with its path") {
  TempDir const dir;
  REQUIRE(save_bundle(dir.path(), two_hunts()));
  std::string const path = saved_bundle_path(dir.path());
  std::string const good = content_of(path);
  auto const rejected = [&](const std::string& content) {
    write_file(path, content);
    Result<std::optional<Bundle>> const loaded = load_saved_bundle(dir.path());
    return !loaded && loaded.error().message.starts_with(path + ": is corrupt");
  };
  for (size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(rejected(good.substr(0, size)));
    std::string flipped = good;
    flipped[size] = static_cast<char>(flipped[size] ^ 1);
    CHECK(rejected(flipped));
  }
  CHECK(rejected(good + '\0'));
  write_file(path, good);
  CHECK(load_saved_bundle(dir.path()));
}

TEST_CASE("a FIFO in place of the file is an error and is not waited for") {
  TempDir const dir;
  REQUIRE(mkfifo(saved_bundle_path(dir.path()).c_str(), 0600) == 0);
  Result<std::optional<Bundle>> const loaded = load_saved_bundle(dir.path());
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message.find("not a regular file") != std::string::npos);
}

TEST_CASE("while another process saves, the file stays") {
  TempDir const dir;
  std::string const path = saved_bundle_path(dir.path());
  int const lock = open((path + ".lock").c_str(), O_RDWR | O_CREAT, 0600);
  REQUIRE(flock(lock, LOCK_EX) == 0);
  CHECK_FALSE(save_bundle(dir.path(), two_hunts()));
  CHECK_FALSE(std::filesystem::exists(path));
  close(lock);
  CHECK(save_bundle(dir.path(), two_hunts()));
}
