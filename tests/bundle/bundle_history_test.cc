// SPDX-License-Identifier: Apache-2.0
#include "bundle/bundle_history.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "bundle/deploy_message.h"
#include "bundle/kept_bundles.h"

using namespace huntd;

namespace {

std::string name_of(int number) { return fmt::format("{:032x}", number); }

BundleRecord record_of(int number) {
  return {name_of(number), 1000 + number, "alice", "/hunts", 3, 0};
}

BundleHistory deployed(int count) {
  BundleHistory history;
  for (int number = 1; number <= count; ++number) history.put_live(record_of(number), true);
  return history;
}

struct Folder {
  std::string path;
  Folder() {
    char made[] = "/tmp/kept-bundles-XXXXXX";
    REQUIRE(mkdtemp(made) != nullptr);
    path = made;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { std::filesystem::remove_all(path); }
};

Bundle bundle_with(const std::string& source) {
  Result<Bundle> bundle = make_bundle({{"gold", source}});
  REQUIRE(bundle);
  return std::move(*bundle);
}

}  // namespace

TEST_CASE("the newest bundles are kept, and one rollback after the other goes further back") {
  BundleHistory history = deployed(25);
  CHECK(history.records.size() == kept_bundles_max);
  CHECK(history.live == name_of(25));
  for (int number = 24; number > 5; --number) {
    const BundleRecord* const before = history.before_live();
    REQUIRE(before != nullptr);
    CHECK(before->name == name_of(number));
    history.go_back(before->name);
  }
  CHECK(history.before_live() == nullptr);
  CHECK(history.records.front().name == name_of(25));
}

TEST_CASE("a rollback after a rollback and a deploy goes to what was live before") {
  BundleHistory history = deployed(3);
  history.go_back(name_of(2));
  history.put_live(record_of(4), true);
  REQUIRE(history.before_live() != nullptr);
  CHECK(history.before_live()->name == name_of(2));
  history.go_back(name_of(2));
  CHECK(history.before_live()->name == name_of(3));
  CHECK(history.records.size() == 4);
}

TEST_CASE("a bundle that is deployed again is the newest, and keeps what it served") {
  BundleHistory history = deployed(3);
  history.find(name_of(1))->served = 7;
  history.put_live(record_of(1), true);
  CHECK(history.records.size() == 3);
  CHECK(history.records.front().name == name_of(1));
  CHECK(history.records.front().served == 7);
}

TEST_CASE("the same scripts of hunts.dir again change nothing, and hunts.dir ends a deploy") {
  BundleHistory history;
  history.put_live(record_of(1), false);
  BundleRecord again = record_of(1);
  again.by = "reload";
  history.put_live(again, false);
  CHECK(history.records.size() == 1);
  CHECK(history.records[0].by == "alice");
  history.put_live(record_of(2), true);
  CHECK(history.deployed);
  history.put_live(record_of(1), false);
  CHECK(!history.deployed);
  CHECK(history.live == name_of(1));
}

TEST_CASE("a history is the same after its text, and names cannot forge a line") {
  BundleHistory history = deployed(2);
  history.records[0].by = "a\tb\nlive - folder";
  Result<BundleHistory> const read = history_of(history_text(history));
  REQUIRE(read);
  CHECK(read->live == history.live);
  CHECK(read->deployed);
  REQUIRE(read->records.size() == 2);
  CHECK(read->records[0].by == "a?b?live - folder");
  CHECK(read->records[1].at_ms == 1001);
}

TEST_CASE("what is not a history is an error that names the line") {
  std::string const good = history_text(deployed(1));
  for (const std::string& text :
       {std::string(), std::string("nonsense\n"), good + "x\n", good.substr(0, good.size() / 2),
        std::string("huntd bundles 1\nlive - deployed\n")}) {
    CAPTURE(text);
    CHECK(!history_of(text));
  }
}

TEST_CASE("kept bundles are read again, and those without a record are removed") {
  Folder const folder;
  CHECK(!load_history(folder.path)->has_value());
  Bundle const one = bundle_with("return 1");
  Bundle const two = bundle_with("return 2");
  REQUIRE(keep_bundle(folder.path, one));
  REQUIRE(keep_bundle(folder.path, two));
  CHECK(load_kept_bundle(folder.path, one.name())->name() == one.name());
  BundleHistory history;
  history.put_live({two.name(), 1, "alice", "/hunts", 1, 0}, true);
  REQUIRE(save_history(folder.path, history));
  CHECK(!load_kept_bundle(folder.path, one.name()));
  CHECK(load_kept_bundle(folder.path, two.name()));
  Result<std::optional<BundleHistory>> const read = load_history(folder.path);
  REQUIRE(read);
  CHECK((*read)->live == two.name());
}

TEST_CASE("a damaged bundle is an error, and is written again when it is kept") {
  Folder const folder;
  Bundle const one = bundle_with("return 1");
  REQUIRE(keep_bundle(folder.path, one));
  std::ofstream(folder.path + "/bundles/" + one.name() + ".bundle") << "damaged";
  CHECK(!load_kept_bundle(folder.path, one.name()));
  REQUIRE(keep_bundle(folder.path, one));
  CHECK(load_kept_bundle(folder.path, one.name()));
}

TEST_CASE("a kept bundle under the name of another one is damaged") {
  Folder const folder;
  Bundle const one = bundle_with("return 1");
  Bundle const two = bundle_with("return 2");
  REQUIRE(keep_bundle(folder.path, two));
  std::string const folder_of_bundles = folder.path + "/bundles/";
  std::filesystem::copy_file(folder_of_bundles + two.name() + ".bundle",
                             folder_of_bundles + one.name() + ".bundle");
  CHECK(!load_kept_bundle(folder.path, one.name()));
  REQUIRE(keep_bundle(folder.path, one));
  Result<Bundle> const kept = load_kept_bundle(folder.path, one.name());
  REQUIRE(kept);
  CHECK(kept->name() == one.name());
}

TEST_CASE("packets of deploys are read as they were written") {
  DeployRequest const request{DeployRequest::Kind::deploy, "alice", "/a folder", "", name_of(1)};
  std::optional<DeployRequest> const read = read_deploy_request(encode_deploy(request));
  REQUIRE(read);
  CHECK(read->kind == request.kind);
  CHECK(read->from == "/a folder");
  CHECK(read->expects == name_of(1));
  DeployReply const reply{DeployReply::Kind::rejected, name_of(2), "x\x1fy"};
  std::optional<DeployReply> const back = read_deploy_reply(encode_deploy(reply));
  REQUIRE(back);
  CHECK(back->text == "x?y");
  CHECK(encode_deploy({DeployReply::Kind::rejected, "", std::string(20'000, 'x')}).size() <=
        deploy_packet_bytes_max);
  for (const char* const packet :
       {"", "huntd deploy 1", "huntd deploy 2\x1flook", "GET / HTTP/1.1"})
    CHECK(!read_deploy_request(packet));
}
