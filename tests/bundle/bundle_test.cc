// SPDX-License-Identifier: Apache-2.0
#include "bundle/bundle.h"
#include "bundle/load.h"

#include "base/limits.h"
#include "temp_dir.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

using namespace huntd;
using huntd::tests::TempDir;

namespace {

std::string bytes_of(const Bundle& bundle) {
  struct stat status {};
  REQUIRE(fstat(bundle.descriptor(), &status) == 0);
  std::string bytes(static_cast<size_t>(status.st_size), '\0');
  REQUIRE(pread(bundle.descriptor(), bytes.data(), bytes.size(), 0) ==
          static_cast<ssize_t>(bytes.size()));
  return bytes;
}

std::string source_of(const Bundle& bundle, std::string_view hunt_id) {
  const BundledHunt* hunt = bundle.find(hunt_id);
  REQUIRE(hunt != nullptr);
  return bytes_of(bundle).substr(hunt->offset, hunt->bytes);
}

// A memfd with these bytes.
int memory_of(std::string_view bytes) {
  int const descriptor = memfd_create("test", MFD_CLOEXEC);
  REQUIRE(descriptor >= 0);
  REQUIRE(write(descriptor, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  return descriptor;
}

}  // namespace

TEST_CASE("a bundle has the source of each script under its hunt_id") {
  Result<Bundle> const bundle =
      make_bundle({{"b", "return 2"}, {"a", "return 1"}, {"c.d-e_f", ""}});
  REQUIRE(bundle);
  REQUIRE(bundle->hunts().size() == 3);
  CHECK(bundle->hunts()[0].hunt_id == "a");
  CHECK(source_of(*bundle, "a") == "return 1");
  CHECK(source_of(*bundle, "b") == "return 2");
  CHECK(source_of(*bundle, "c.d-e_f") == "");
  CHECK(bundle->find("d") == nullptr);
  CHECK(bundle->find("") == nullptr);
  CHECK(bundle->find("aa") == nullptr);
}

TEST_CASE("the bytes of a bundle are those of the worked example in docs/formats/bundle.md") {
  Result<Bundle> const bundle = make_bundle({{"b", "return 2"}, {"a", "-- one"}});
  REQUIRE(bundle);
  CHECK(bytes_of(*bundle) == std::string("huntb001"
                                         "\x02\0\0\0"
                                         "\x01\0\0\0a\x26\0\0\0\x06\0\0\0"
                                         "\x01\0\0\0b\x2c\0\0\0\x08\0\0\0"
                                         "-- onereturn 2",
                                         52));
  CHECK(bundle->name() == "07eee0899be224b54bc942dfd4c54713");
}

TEST_CASE("the name depends on every byte, not on the order of the scripts") {
  std::string const name = make_bundle({{"a", "x"}, {"b", "y"}})->name();
  CHECK(name.size() == 32);
  CHECK(make_bundle({{"b", "y"}, {"a", "x"}})->name() == name);
  CHECK(make_bundle({{"a", "x "}, {"b", "y"}})->name() != name);
  CHECK(make_bundle({{"a", "xy"}, {"b", ""}})->name() != name);
  CHECK(make_bundle({{"a", ""}, {"b", "xy"}})->name() != name);
  CHECK(make_bundle({{"a", "x"}, {"c", "y"}})->name() != name);
}

TEST_CASE("a bundle cannot be changed") {
  Result<Bundle> const bundle = make_bundle({{"a", "return 1"}});
  REQUIRE(bundle);
  int const descriptor = bundle->descriptor();
  CHECK(pwrite(descriptor, "x", 1, 0) < 0);
  CHECK(errno == EPERM);
  CHECK(ftruncate(descriptor, 0) < 0);
  CHECK(ftruncate(descriptor, 1 << 20) < 0);
  CHECK(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0) == MAP_FAILED);
  CHECK(fcntl(descriptor, F_ADD_SEALS, F_SEAL_WRITE) < 0);  // no further seal
  int const seals = fcntl(descriptor, F_GET_SEALS);
  CHECK(seals == (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE));
  CHECK((fcntl(descriptor, F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a bundle opened by descriptor is the same bundle") {
  Result<Bundle> const bundle = make_bundle({{"b", "return 2"}, {"a", "return 1"}});
  REQUIRE(bundle);
  Result<Bundle> const opened = open_bundle(dup(bundle->descriptor()));
  REQUIRE(opened);
  CHECK(opened->name() == bundle->name());
  REQUIRE(opened->hunts().size() == 2);
  CHECK(source_of(*opened, "b") == "return 2");
}

TEST_CASE("truncated or changed bytes are not accepted as a bundle") {
  Result<Bundle> const bundle = make_bundle({{"a", "return 1"}, {"b", "return 2"}});
  REQUIRE(bundle);
  std::string const good = bytes_of(*bundle);
  REQUIRE(open_bundle(memory_of(good)));
  for (size_t size = 0; size < good.size(); ++size)
    CHECK_FALSE(open_bundle(memory_of(good.substr(0, size))));
  auto const with = [&](size_t at, char byte) {
    std::string bad = good;
    bad[at] = byte;
    return memory_of(bad);
  };
  CHECK_FALSE(open_bundle(with(0, 'X')));      // magic
  CHECK_FALSE(open_bundle(with(7, '2')));      // version
  CHECK_FALSE(open_bundle(with(8, 100)));      // more hunts than there are
  CHECK_FALSE(open_bundle(with(15, '\x7f')));  // an id of 2 GB
  CHECK_FALSE(open_bundle(with(16, '/')));     // an invalid id
  CHECK_FALSE(open_bundle(with(16, 'c')));     // out of order
  CHECK_FALSE(open_bundle(with(16, 'b')));     // the same id twice
  CHECK_FALSE(open_bundle(with(20, '\x7f')));  // an offset after the end
  CHECK_FALSE(open_bundle(with(24, '\x7f')));  // a size beyond the end
}

TEST_CASE("a moved-from bundle is empty") {
  Result<Bundle> first = make_bundle({{"a", "x"}});
  REQUIRE(first);
  int const descriptor = first->descriptor();
  Bundle second = std::move(*first);
  CHECK(second.descriptor() == descriptor);
  CHECK_FALSE(first->loaded());
  second = std::move(*make_bundle({{"b", "y"}}));
  CHECK(second.find("b") != nullptr);
  CHECK(second.find("a") == nullptr);
}

TEST_CASE("each *.lua file of a directory is a hunt, and no other file is") {
  TempDir dir;
  dir.write("chest.lua", "return 1");
  dir.write("North.Gate-2_x.lua", "return 2");
  dir.write("notes.txt", "no");
  dir.write("chest.lua~", "no");
  dir.make_dir("library");
  Result<LoadedBundle> const loaded = load_bundle(dir.path());
  REQUIRE(loaded);
  CHECK(loaded->skipped.empty());
  const Bundle& bundle = loaded->bundle;
  REQUIRE(bundle.hunts().size() == 2);
  CHECK(source_of(bundle, "chest") == "return 1");
  CHECK(source_of(bundle, "North.Gate-2_x") == "return 2");
  CHECK(bundle.name() ==
        make_bundle({{"chest", "return 1"}, {"North.Gate-2_x", "return 2"}})->name());
}

TEST_CASE("NAME.toml beside NAME.lua is part of the bundle and of its name") {
  TempDir dir;
  dir.write("chest.lua", "return 1");
  dir.write("chest-2.lua", "return 2");
  std::string const without = load_bundle(dir.path())->bundle.name();
  dir.write("chest.toml", "");
  std::string const empty = load_bundle(dir.path())->bundle.name();
  dir.write("chest.toml", "[config]\nx = 1\n");
  Result<LoadedBundle> const loaded = load_bundle(dir.path());
  REQUIRE(loaded);
  const Bundle& bundle = loaded->bundle;
  CHECK((without != empty && empty != bundle.name() && without != bundle.name()));
  REQUIRE(bundle.hunts().size() == 2);
  const BundledHunt& hunt = *bundle.find("chest");
  CHECK(bytes_of(bundle).substr(hunt.settings_offset, hunt.settings_bytes) == "[config]\nx = 1\n");
  CHECK(bundle.find("chest-2")->settings_bytes == 0);
  CHECK(source_of(bundle, "chest-2") == "return 2");
  Result<Bundle> const again = bundle_of(*read_sources(bundle));
  REQUIRE(again);
  CHECK(again->find("chest")->settings_bytes == hunt.settings_bytes);
}

TEST_CASE("settings without their hunt are skipped, those that cannot be read are an error") {
  TempDir dir;
  dir.write("chest.lua", "return 1");
  dir.write("chst.toml", "");
  Result<LoadedBundle> const loaded = load_bundle(dir.path());
  REQUIRE(loaded);
  CHECK(loaded->skipped ==
        std::vector<std::string>{
            dir.path() + "/chst.toml: there is no chst.lua here, to which it could belong"});
  dir.write("chest.toml", std::string(limits::settings_bytes_max + 1, '#'));
  Result<LoadedBundle> const large = load_bundle(dir.path());
  REQUIRE_FALSE(large);
  CHECK(large.error().message ==
        dir.path() + "/chest.toml: the settings of a hunt may have at most 65536 bytes");
}

TEST_CASE("settings in a bundle belong to one of its hunts") {
  CHECK(make_bundle({{"a", "x"}, {"a/toml", ""}}));
  CHECK_FALSE(make_bundle({{"a", "x"}, {"b/toml", ""}}));
  CHECK_FALSE(make_bundle({{"a", "x"}, {"a/yaml", ""}}));
  CHECK_FALSE(make_bundle({{"a", "x"}, {"a/toml/toml", ""}}));
}

TEST_CASE("files whose names begin with a dot are ignored") {
  TempDir dir;
  dir.write("gold.lua", "return 1");
  dir.write("._gold.lua", "a Mac's");
  dir.write(".lua", "nothing");
  dir.write("..lua", "nothing");
  REQUIRE(symlink("me@host.1234:5678", (dir.path() + "/.#gold.lua").c_str()) == 0);  // Emacs
  Result<LoadedBundle> const loaded = load_bundle(dir.path());
  REQUIRE(loaded);
  CHECK(loaded->bundle.hunts().size() == 1);
  CHECK(loaded->skipped.empty());
}

TEST_CASE("files that are not hunts by name or type are skipped, the others are loaded") {
  TempDir dir;
  std::string const path = dir.path() + "/";
  dir.write("gold.lua", "return 1");
  dir.write("Copy of gold.lua", "return 1");
  dir.write("{x}.lua", "return 1");
  dir.make_dir("folder.lua");
  REQUIRE(mkfifo((path + "pipe.lua").c_str(), 0600) == 0);  // to open it would wait for a writer
  REQUIRE(symlink("/dev/null", (path + "null.lua").c_str()) == 0);
  REQUIRE(symlink("gold.lua", (path + "link.lua").c_str()) == 0);
  Result<LoadedBundle> const loaded = load_bundle(dir.path());
  REQUIRE(loaded);
  REQUIRE(loaded->bundle.hunts().size() == 2);
  CHECK(source_of(loaded->bundle, "gold") == "return 1");
  CHECK(source_of(loaded->bundle, "link") == "return 1");
  std::string const name =
      "the file of a hunt must be named HUNT_ID.lua, with 1 to 64 of A-Z a-z 0-9 _ . -, not . or ..";
  CHECK(loaded->skipped == std::vector<std::string>{
                               path + "Copy of gold.lua: " + name,
                               path + "folder.lua: is a directory, not a regular file",
                               path + "null.lua: is a device, not a regular file",
                               path + "pipe.lua: is a FIFO, not a regular file",
                               path + "{x}.lua: " + name,
                           });
}

TEST_CASE("the error of a directory names every problem") {
  TempDir dir;
  SUBCASE("missing") {
    Result<LoadedBundle> const bundle = load_bundle(dir.path() + "/nowhere");
    REQUIRE_FALSE(bundle);
    CHECK(bundle.error().message.starts_with(dir.path() + "/nowhere: "));
    CHECK(bundle.error().message.find("hunts.dir") != std::string::npos);
  }
  SUBCASE("empty") {
    Result<LoadedBundle> const bundle = load_bundle(dir.path());
    REQUIRE_FALSE(bundle);
    CHECK(bundle.error().message == dir.path() + ": no *.lua file, so there is no hunt to run");
  }
  SUBCASE("no file that is a hunt") {
    dir.write("two words.lua", "return 1");
    Result<LoadedBundle> const bundle = load_bundle(dir.path());
    REQUIRE_FALSE(bundle);
    CHECK(bundle.error().message.find("no *.lua file") != std::string::npos);
    CHECK(bundle.error().message.find("\n" + dir.path() + "/two words.lua: ") != std::string::npos);
  }
  SUBCASE("two scripts that are too long") {
    dir.write("fine.lua", "return 1");
    dir.write("longer.lua", std::string(limits::script_bytes_max + 2, ' '));
    dir.write("long.lua", std::string(limits::script_bytes_max + 1, ' '));
    Result<LoadedBundle> const bundle = load_bundle(dir.path());
    REQUIRE_FALSE(bundle);
    const std::string& message = bundle.error().message;
    CHECK(message.find(dir.path() + "/longer.lua: a script may have at most 262144 bytes") !=
          std::string::npos);
    CHECK(message.find(dir.path() + "/long.lua: a script may have at most 262144 bytes") !=
          std::string::npos);
    CHECK(message.find("fine.lua") == std::string::npos);
  }
  SUBCASE("a dangling link") {
    REQUIRE(symlink("nowhere", (dir.path() + "/broken.lua").c_str()) == 0);
    Result<LoadedBundle> const bundle = load_bundle(dir.path());
    REQUIRE_FALSE(bundle);
    CHECK(bundle.error().message.starts_with(dir.path() + "/broken.lua: "));
  }
}

TEST_CASE("scripts and bundles of the maximum size are accepted") {
  CHECK(make_bundle({{"a", std::string(limits::script_bytes_max, ' ')}}));
  std::vector<std::pair<std::string, std::string>> scripts;
  for (size_t i = 0; i < limits::bundle_bytes_max / limits::script_bytes_max; ++i)
    scripts.emplace_back("hunt" + std::to_string(i), std::string(limits::script_bytes_max, ' '));
  Result<Bundle> const over = make_bundle(scripts);
  REQUIRE_FALSE(over);
  CHECK(over.error().message.find("16777216") != std::string::npos);
  scripts.pop_back();
  CHECK(make_bundle(scripts));
}

TEST_CASE("two scripts with the same name are rejected") {
  CHECK_FALSE(make_bundle({{"a", "x"}, {"a", "y"}}));
  CHECK_FALSE(make_bundle({{"a b", "x"}}));
}

TEST_CASE("a bundle is the same again from its sources, with and without images") {
  Result<Bundle> const bundle = make_bundle({{"a", "-- one"}, {"b", "return 2"}});
  REQUIRE(bundle);
  Result<Bundle> const checked =
      add_images(*bundle, {{std::string(9000, 'i'), {}}, {std::string(1, 'j'), {}}});
  REQUIRE(checked);
  CHECK(checked->hunts()[1].image_offset % 4096 == 0);
  char last = 0;
  REQUIRE(pread(checked->descriptor(), &last, 1, checked->hunts()[1].image_offset) == 1);
  CHECK(last == 'j');
  CHECK(*read_sources(*checked) == *read_sources(*bundle));
  Result<Bundle> const again = bundle_of(*read_sources(*checked));
  REQUIRE(again);
  CHECK(again->name() == bundle->name());
  CHECK_FALSE(bundle_of(*read_sources(*bundle) + "x"));
  CHECK_FALSE(bundle_of(""));
}

TEST_CASE("the test of a hunt is ignored, and one without its hunt is named") {
  TempDir dir;
  dir.write("chest.lua", "return 1");
  dir.write("chest_test.lua", "return 2");
  dir.write("lost_test.lua", "return 3");
  dir.write("_test.lua", "return 4");  // a hunt: nothing is in front of the suffix
  Result<LoadedBundle> const loaded = load_bundle(dir.path());
  REQUIRE(loaded);
  REQUIRE(loaded->bundle.hunts().size() == 2);
  CHECK(loaded->bundle.find("chest") != nullptr);
  CHECK(loaded->bundle.find("_test") != nullptr);
  REQUIRE(loaded->skipped.size() == 1);
  CHECK(loaded->skipped[0] ==
        dir.path() +
            "/lost_test.lua: is the test of lost.lua, which is not here; the name of a "
            "hunt cannot end in _test");
}

TEST_CASE("the sources of a bundle are accepted, and no other bytes") {
  Result<std::string> const sources = read_sources(*make_bundle({{"a", "return 1"}}));
  REQUIRE(sources);
  Result<Bundle> const bundle = bundle_of(*sources);
  REQUIRE(bundle);
  CHECK(source_of(*bundle, "a") == "return 1");
  CHECK_FALSE(bundle_of(""));
  CHECK_FALSE(bundle_of("huntb001"));
  CHECK_FALSE(bundle_of(*sources + "x"));
  CHECK_FALSE(bundle_of(sources->substr(0, sources->size() - 1)));
}

TEST_CASE("images behind the sources that anyone may have written are not read") {
  std::string bytes = *read_sources(*make_bundle({{"a", "return 1"}}));
  bytes.resize(4096, '\0');
  bytes +=
      std::string("hunti002\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\x01", 25);  // rules of one byte
  CHECK_FALSE(bundle_of(bytes));
}

TEST_CASE("a bundle of anyone has at least one hunt, and at most so many modules") {
  CHECK_FALSE(bundle_of(*read_sources(*make_bundle({}))));
  BundleFiles files{{"a", "return 1"}};
  for (size_t i = 0; i < limits::modules_max; ++i)
    files.emplace_back(module_entry("m" + std::to_string(i)), "return 1");
  CHECK(bundle_of(*read_sources(*make_bundle(files))));
  files.emplace_back(module_entry("one-more"), "return 1");
  CHECK_FALSE(bundle_of(*read_sources(*make_bundle(files))));
}
