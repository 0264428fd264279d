// SPDX-License-Identifier: Apache-2.0
#include "wire/seq_set.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using huntd::SeqRange;
using huntd::SeqSet;
using Insert = huntd::SeqSet::Insert;

namespace {

SeqSet set_of(const std::vector<uint64_t>& seqs, size_t ranges_max = 64) {
  SeqSet set(ranges_max);
  for (uint64_t seq : seqs) set.insert(seq);
  return set;
}

// Checks the invariants of upto and the ranges.
void check_shape(const SeqSet& set) {
  uint64_t before = set.upto();
  for (const SeqRange& range : set.beyond()) {
    CHECK(range.first >= before + 2);
    CHECK(range.last >= range.first);
    before = range.last;
  }
}

}  // namespace

TEST_CASE("an empty set has no seq and no hole") {
  SeqSet set;
  CHECK(set.upto() == 0);
  CHECK(set.newest() == 0);
  CHECK(set.count() == 0);
  CHECK_FALSE(set.contains(0));
  CHECK_FALSE(set.contains(1));
  CHECK(set.holes().empty());
  CHECK(set.beyond_text() == "{}");
}

TEST_CASE("seqs in order raise upto and add no range") {
  SeqSet set = set_of({1, 2, 3});
  CHECK(set.upto() == 3);
  CHECK(set.beyond().empty());
}

TEST_CASE("a seq after a hole is in a range until the hole closes") {
  SeqSet set = set_of({1, 3, 4});
  CHECK(set.upto() == 1);
  CHECK(set.beyond() == std::vector<SeqRange>{{3, 4}});
  CHECK(set.holes() == std::vector<SeqRange>{{2, 2}});
  CHECK(set.insert(2) == Insert::added);
  CHECK(set.upto() == 4);
  CHECK(set.beyond().empty());
}

TEST_CASE("a seq between two ranges joins them") {
  SeqSet set = set_of({5, 7});
  CHECK(set.insert(6) == Insert::added);
  CHECK(set.beyond() == std::vector<SeqRange>{{5, 7}});
}

TEST_CASE("a seq in the set is a duplicate, below upto and in a range") {
  SeqSet set = set_of({1, 2, 5, 6, 7});
  for (uint64_t seq : {1, 2, 5, 6, 7}) CHECK(set.insert(seq) == Insert::duplicate);
  CHECK(set.count() == 5);
}

TEST_CASE("a full set rejects a new range and accepts a seq next to a range") {
  SeqSet set = set_of({3, 5, 7}, 3);
  REQUIRE(set.full());
  SeqSet const before = set;
  CHECK(set.insert(9) == Insert::no_room);
  CHECK(set == before);
  CHECK(set.insert(8) == Insert::added);
  CHECK(set.insert(2) == Insert::added);
  CHECK(set.insert(4) == Insert::added);
  CHECK_FALSE(set.full());
  CHECK(set.insert(10) == Insert::added);
  CHECK(set.insert(1) == Insert::added);
  CHECK(set.upto() == 5);
}

TEST_CASE("the text is PostgreSQL's int8multirange, and reading it gives the same set") {
  SeqSet set = set_of({1, 2, 5, 6, 9});
  CHECK(set.beyond_text() == "{[5,7),[9,10)}");
  auto read = SeqSet::read(2, "{[5,7),[9,10)}");
  REQUIRE(read);
  CHECK(*read == set);
  CHECK(*SeqSet::read(0, "{}") == SeqSet());
}

TEST_CASE("the text of the whole set has every range, and reading it gives the same set") {
  for (const auto& [seqs, text] : std::vector<std::pair<std::vector<uint64_t>, std::string>>{
           {{}, "{}"},
           {{1}, "{[1,2)}"},
           {{1, 2, 5, 6, 9}, "{[1,3),[5,7),[9,10)}"},
           {{2, 3}, "{[2,4)}"},
           {{huntd::limits::seq_max}, "{[9223372036854775806,9223372036854775807)}"}}) {
    SeqSet const set = set_of(seqs);
    CHECK(set.text() == text);
    CHECK(set.empty() == seqs.empty());
    auto read = SeqSet::read_text(text);
    REQUIRE(read);
    CHECK(*read == set);
  }
  for (const char* text :
       {"", "{", "{[0,2)}", "{[1,1)}", "{[1,3),[3,4)}", "{[5,7),[1,3)}", "{[1,3)} "})
    CHECK_MESSAGE(!SeqSet::read_text(text), text);
}

TEST_CASE("a set without a bound has room for every seq") {
  SeqSet set = set_of({3, 5}, 2);
  CHECK(set.unbounded().insert(9) == Insert::added);
  CHECK(set.unbounded() == set);
  CHECK(set.insert(9) == Insert::no_room);
}

TEST_CASE("a text that no set writes is rejected") {
  for (const char* text :
       {"", "{", "}", "{}x", "{[5,7)", "{[5,7]}", "{[7,5)}", "{[5,5)}", "{[5,7),}", "{,[5,7)}",
        "{[5,7),[7,9)}", "{[5,7),[6,9)}", "{[9,10),[5,7)}", "{[3,5)}", "{[-1,5)}", "{(5,7)}",
        "{[5,99999999999999999999)}"})
    CHECK_MESSAGE(!SeqSet::read(2, text), text);
  CHECK_FALSE(SeqSet::read(UINT64_MAX, "{}"));
}

TEST_CASE("the greatest seq fits, and its text is a valid range") {
  SeqSet set = set_of({huntd::limits::seq_max});
  auto read = SeqSet::read(0, set.beyond_text());
  REQUIRE(read);
  CHECK(*read == set);
}

TEST_CASE("in any order and with duplicates it equals std::set") {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    uint64_t const span = 1 + random() % 120;
    std::vector<uint64_t> seqs;
    for (uint64_t i = 0; i < span; ++i) seqs.push_back(1 + random() % span);
    SeqSet set(1000);
    std::set<uint64_t> model;
    for (uint64_t seq : seqs) {
      bool const is_new = model.insert(seq).second;
      CHECK(set.insert(seq) == (is_new ? Insert::added : Insert::duplicate));
      check_shape(set);
    }
    CHECK(set.count() == model.size());
    CHECK(set.newest() == *model.rbegin());
    for (uint64_t seq = 0; seq <= span + 1; ++seq) CHECK(set.contains(seq) == model.contains(seq));
    uint64_t missing = 0;
    for (const SeqRange& hole : set.holes()) missing += hole.last - hole.first + 1;
    CHECK(missing == set.newest() - model.size());
    auto read = SeqSet::read(set.upto(), set.beyond_text());
    REQUIRE(read);
    CHECK(*read == set);
    std::shuffle(seqs.begin(), seqs.end(), random);
    CHECK(set_of(seqs, 1000) == set);
  }
}

TEST_CASE("a bounded set never exceeds its ranges, loses a seq or counts it twice") {
  for (uint32_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    size_t const ranges_max = 1 + random() % 4;
    SeqSet set(ranges_max);
    std::set<uint64_t> model;
    for (int i = 0; i < 200; ++i) {
      uint64_t const seq = 1 + random() % 60;
      switch (set.insert(seq)) {
        case Insert::added:
          CHECK(model.insert(seq).second);
          break;
        case Insert::duplicate:
          CHECK(model.contains(seq));
          break;
        case Insert::no_room:
          CHECK_FALSE(model.contains(seq));
          CHECK(set.full());
          break;
      }
      CHECK(set.beyond().size() <= ranges_max);
      check_shape(set);
      CHECK(set.count() == model.size());
    }
  }
}
