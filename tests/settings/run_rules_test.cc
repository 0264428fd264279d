// SPDX-License-Identifier: Apache-2.0
#include "settings/run_rules.h"

#include <doctest/doctest.h>

namespace huntd {

TEST_CASE("rules keep their values as bytes, and none are an empty text") {
  CHECK(encode_rules(RunRules{}).empty());
  CHECK(decode_rules("") == RunRules{});
  RunRules const rules{false, 1, 2, {"ann", "ben"}, 3, 4, 5, 6, 7, 8};
  CHECK(decode_rules(encode_rules(rules)) == rules);
}

TEST_CASE("a hunt is open from its start to its end, and for testers before its start") {
  RunRules rules;
  rules.starts_ms = 1000;
  rules.ends_ms = 2000;
  rules.testers = {"ann"};
  CHECK(opening_of(rules, "chest", "ben", 999) == Opening::not_started);
  CHECK(opening_of(rules, "chest", "ann", 999) == Opening::open);
  CHECK(opening_of(rules, "chest", "ben", 1000) == Opening::open);
  CHECK(opening_of(rules, "chest", "ben", 1999) == Opening::open);
  CHECK(opening_of(rules, "chest", "ann", 2000) == Opening::ended);
  rules.enabled = false;
  CHECK(opening_of(rules, "chest", "ann", 1500) == Opening::disabled);
}

TEST_CASE("a share of the hunters is as large as it says, and grows by others only") {
  auto const selected = [](uint32_t share, const std::string& hunter, const char* hunt) {
    RunRules rules;
    rules.share = share;
    return opening_of(rules, hunt, hunter, 0) == Opening::open;
  };
  int of_ten = 0;
  int of_both = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string const hunter = "hunter-" + std::to_string(i);
    bool const in = selected(1000, hunter, "chest");
    of_ten += in ? 1 : 0;
    of_both += in && selected(1000, hunter, "gold") ? 1 : 0;
    if (in) CHECK(selected(1500, hunter, "chest"));
    CHECK_FALSE(selected(0, hunter, "chest"));
    CHECK(selected(10'000, hunter, "chest"));
  }
  CHECK((of_ten > 1850 && of_ten < 2150));
  CHECK((of_both > 140 && of_both < 260));  // another tenth in another hunt
}

TEST_CASE("a tester belongs to a share of none") {
  RunRules rules;
  rules.share = 0;
  rules.testers = {"ann"};
  CHECK(opening_of(rules, "chest", "ann", 0) == Opening::open);
  CHECK(opening_of(rules, "chest", "ben", 0) == Opening::not_selected);
}

TEST_CASE("the bounds of the host are the upper ones") {
  RunRules rules;
  CHECK(rules.deadline_on(50) == 50);
  CHECK(rules.memory_on(1000) == 1000);
  rules.deadline_ms = 20;
  rules.memory_bytes = 2000;
  CHECK(rules.deadline_on(50) == 20);
  CHECK(rules.deadline_on(10) == 10);
  CHECK(rules.memory_on(1000) == 1000);
}

}  // namespace huntd
