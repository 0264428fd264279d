// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/partition_position.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

using huntd::aggregator::fingerprint_of;
using huntd::aggregator::PartitionPosition;
using huntd::aggregator::RecordFingerprint;

namespace {

RecordFingerprint record(int64_t offset, const std::string& topic = "old") {
  return fingerprint_of(offset, 1000 + offset, "k", topic);
}

PartitionPosition committed(int64_t offset) { return {offset, record(offset - 1)}; }

// Reads until `position` is at `end`.
PartitionPosition read_to(int64_t end) {
  PartitionPosition position;
  for (int64_t offset = 0; offset < end; ++offset) position.on_record(record(offset));
  position.on_end(end);
  return position;
}

}  // namespace

TEST_CASE("a new group reads from the first record to the end") {
  PartitionPosition position;
  CHECK(position.start() == 0);
  CHECK(position.on_record(record(0)).deliver);
  CHECK(position.next() == 1);
  CHECK_FALSE(position.on_end(1).restart);
}

TEST_CASE("the record before the committed offset is read again and not delivered twice") {
  PartitionPosition position = committed(20);
  CHECK(position.start() == 19);
  auto const step = position.on_record(record(19));
  CHECK_FALSE(step.deliver);
  CHECK_FALSE(step.restart);
  CHECK(position.next() == 20);
  CHECK(position.on_record(record(20)).deliver);
}

TEST_CASE("another record at the committed offset means another topic") {
  PartitionPosition position = committed(20);
  auto const step = position.on_record(record(19, "new"));
  CHECK(step.recreated);
  CHECK(step.restart);
  CHECK_FALSE(step.deliver);
  CHECK(position.start() == 0);
  CHECK(position.on_record(record(0, "new")).deliver);
}

TEST_CASE("a new topic that ends before the committed offset is read from the beginning") {
  for (int64_t end : {0, 1, 18, 19}) {
    PartitionPosition position = committed(20);
    // At an offset below its end the broker delivers, at its end it says so, above it is an error.
    auto const step =
        end == position.start() ? position.on_end(end) : position.on_out_of_range(0, end);
    CHECK(step.recreated);
    CHECK(step.missed == 0);
    CHECK(position.start() == 0);
  }
}

TEST_CASE("an offset without a fingerprint cannot be checked: read from the beginning") {
  PartitionPosition position(20, std::nullopt);
  CHECK(position.start() == 0);
  CHECK(PartitionPosition(20, record(20)).start() == 0);  // of a record behind the offset
}

TEST_CASE("retention beyond the committed offset loses events, and they are counted") {
  PartitionPosition position = committed(20);
  auto step = position.on_out_of_range(20, 30);
  CHECK(step.restart);
  CHECK_FALSE(step.recreated);
  CHECK(step.missed == 0);
  CHECK(position.start() == 20);

  PartitionPosition late = committed(20);
  step = late.on_out_of_range(25, 30);
  CHECK(step.missed == 5);
  CHECK(step.missed_from == 20);
  CHECK_FALSE(step.recreated);
  CHECK(late.start() == 25);
  CHECK(late.on_out_of_range(27, 30).missed == 0);  // nothing is counted twice

  PartitionPosition unchecked(20, std::nullopt);
  CHECK(unchecked.on_out_of_range(25, 30).missed == 5);
  CHECK(PartitionPosition().on_out_of_range(25, 30).missed == 0);  // a new group has missed nothing
}

TEST_CASE("a running position notices a new topic of any length") {
  for (int64_t end : {0, 1, 5, 19, 20, 21, 200}) {
    PartitionPosition position = read_to(20);
    REQUIRE(position.check());
    CHECK(position.start() == 0);  // the first record is the anchor until the first check
    auto const step = end == 0 ? position.on_end(end) : position.on_record(record(0, "new"));
    CHECK_MESSAGE(step.recreated, end);
    CHECK(position.start() == 0);
  }
}

TEST_CASE("a new topic is noticed also if records of it were read as the next ones") {
  PartitionPosition position = read_to(20);
  CHECK(position.on_record(record(20, "new")).deliver);
  REQUIRE(position.check());
  CHECK(position.on_record(record(0, "new")).recreated);

  // The same after a check, and after a restart from what was committed in between.
  PartitionPosition checked = read_to(20);
  checked.check();
  checked.on_record(record(0));
  checked.on_record(record(20, "new"));
  PartitionPosition restarted(checked.next(), checked.anchor());
  CHECK(restarted.start() == 19);
  CHECK(restarted.on_record(record(19, "new")).recreated);
  checked.check();
  CHECK(checked.start() == 19);
  CHECK(checked.on_record(record(19, "new")).recreated);
}

TEST_CASE("a check of the same topic changes nothing, and what was read is not read again") {
  PartitionPosition position = read_to(20);
  REQUIRE(position.check());
  CHECK_FALSE(position.confirmed());
  auto step = position.on_record(record(0));
  CHECK_FALSE(step.deliver);
  CHECK(step.restart);
  CHECK(position.confirmed());
  CHECK(position.start() == 20);
  CHECK_FALSE(position.on_end(20).restart);
  REQUIRE(position.check());
  CHECK(position.start() == 19);  // now the newest record is the anchor
  step = position.on_record(record(19));
  CHECK_FALSE(step.deliver);
  CHECK_FALSE(step.restart);
  CHECK(position.on_record(record(20)).deliver);
}

TEST_CASE("the end of a transaction takes an offset and is not an event") {
  PartitionPosition position;
  for (int64_t offset = 0; offset < 3; ++offset) position.on_record(record(offset));
  position.on_end(4);
  CHECK(position.next() == 4);
  // As it is committed, and found again.
  PartitionPosition again(position.next(), position.anchor());
  CHECK(again.start() == 0);
  CHECK_FALSE(again.on_record(record(0)).recreated);
  CHECK(again.start() == 4);
}

TEST_CASE("the start of a log that goes back means another topic") {
  PartitionPosition position;
  position.on_out_of_range(500, 500);
  position.on_end(500);
  CHECK_FALSE(position.check());  // no record is known
  CHECK_FALSE(position.on_low(500).restart);
  CHECK_FALSE(position.on_low(510).restart);
  CHECK(position.on_low(0).recreated);
  CHECK(position.start() == 0);
}

TEST_CASE("a commit that was sent before a restart is ignored") {
  PartitionPosition position = read_to(20);
  position.check();
  position.on_record(record(0, "new"));
  position.on_committed(20);
  CHECK(position.committed() == PartitionPosition::unknown);
  position.on_record(record(0, "new"));
  position.on_committed(20);
  CHECK(position.committed() == PartitionPosition::unknown);
  position.on_committed(1);
  CHECK(position.committed() == 1);
}

namespace {

// A broker with one partition, and a reader that is stopped and started.
class Model {
 public:
  explicit Model(unsigned seed) : draw_(seed) {}

  void act() {
    switch (draw_() % 8) {
      case 0:
        log_.clear();
        low_ = high_ = 0;
        topic_ += 1;
        break;
      case 1:
        committed_ = position_.next();
        fingerprint_ = position_.anchor();
        break;
      case 2:
        position_ = PartitionPosition(committed_, fingerprint_);
        break;
      case 3:
        position_.check();
        break;
      case 4:
        low_ = std::min(high_, low_ + static_cast<int64_t>(draw_() % 3));
        break;
      default:
        for (unsigned count = draw_() % 4; count > 0; --count)
          log_.push_back(fmt::format("{}/{}", topic_, high_++));
    }
    for (unsigned steps = draw_() % 4; steps > 0; --steps) fetch();
  }

  // Reads and checks until nothing changes, then every record that is left must have been read.
  void settle() {
    position_.on_low(low_);
    position_.check();
    for (int step = 0; step < 200; ++step) fetch();
    for (int64_t offset = low_; offset < high_; ++offset)
      CHECK_MESSAGE(read_.contains(log_[static_cast<size_t>(offset)]),
                    log_[static_cast<size_t>(offset)]);
    CHECK(position_.next() == high_);
  }

 private:
  void fetch() {
    bool const starts = position_.checking() || position_.next() == PartitionPosition::unknown;
    int64_t const at = starts ? position_.start() : position_.next();
    if (at < low_ || at > high_) {
      position_.on_out_of_range(low_, high_);
      return;
    }
    if (at == high_) {
      position_.on_end(at);
      return;
    }
    const std::string& text = log_[static_cast<size_t>(at)];
    if (position_.on_record(fingerprint_of(at, at, "", text)).deliver) read_.insert(text);
  }

  std::mt19937 draw_;
  std::vector<std::string> log_;
  std::set<std::string> read_;
  int64_t low_ = 0;
  int64_t high_ = 0;
  int topic_ = 0;
  PartitionPosition position_;
  int64_t committed_ = PartitionPosition::unknown;
  std::optional<RecordFingerprint> fingerprint_;
};

}  // namespace

TEST_CASE("after any history of a topic, every record that it still has is read in the end") {
  for (unsigned seed = 1; seed <= 2000; ++seed) {
    CAPTURE(seed);
    Model model(seed);
    for (int turn = 0; turn < 60; ++turn) model.act();
    model.settle();
  }
}
