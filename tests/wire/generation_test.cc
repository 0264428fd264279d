// SPDX-License-Identifier: Apache-2.0
#include "wire/generation.h"

#include <doctest/doctest.h>

using namespace huntd;

TEST_CASE("a generation is read from its text and written back") {
  for (uint64_t generation :
       {uint64_t{0}, uint64_t{1}, uint64_t{0x0193a5b6c7d8e9fa}, generation_max})
    CHECK(read_generation(generation_text(generation)) == generation);
  CHECK(generation_text(0x193a5b6c7d8e9fa) == "0193a5b6c7d8e9fa");
  CHECK(generation_text(generation_max) == "7fffffffffffffff");
}

TEST_CASE("another text is not a generation") {
  for (std::string_view text :
       {"", "0", "0193a5b6c7d8e9f", "0193a5b6c7d8e9fa0", "0193A5B6C7D8E9FA", "0193a5b6c7d8e9fg",
        " 193a5b6c7d8e9fa", "-193a5b6c7d8e9fa", "8000000000000000", "ffffffffffffffff"})
    CHECK_FALSE(read_generation(text));
}

TEST_CASE("the generation of a held hash has its lineage") {
  std::optional<HeldGeneration> const read =
      read_held_generation("0193a5b6c7d8e9fa fedcba9876543210");
  REQUIRE(read);
  CHECK(read->generation == 0x0193a5b6c7d8e9fa);
  CHECK(read->lineage == 0xfedcba9876543210);
  for (std::string_view text :
       {"", "0193a5b6c7d8e9fa", "0193a5b6c7d8e9fa ", "0193a5b6c7d8e9fa  fedcba9876543210",
        "0193a5b6c7d8e9fa fedcba9876543210 ", "f193a5b6c7d8e9fa fedcba9876543210",
        "0193a5b6c7d8e9fa fedcba987654321"})
    CHECK_FALSE(read_held_generation(text));
}

TEST_CASE("the state of a hunt is read from its text and written back") {
  for (const HuntState& state :
       {HuntState{}, HuntState{true, 0, 0}, HuntState{true, 0x0193a5b6c7d8e9fa, 1'764'000'000'123},
        HuntState{false, generation_max, 0}})
    CHECK(read_hunt_state(write_hunt_state(state)) == state);
  CHECK(write_hunt_state({}) == "open 0000000000000000");
  CHECK(write_hunt_state({true, 1, 7}) == "closed 0000000000000001 7");
}

TEST_CASE("another text is not the state of a hunt") {
  for (std::string_view text :
       {"", "open", "open ", "paused 0000000000000000", "closed 000000000000000",
        "closed 8000000000000000", "closed 0000000000000000 x", "closed 0000000000000000 -1",
        "closed 0000000000000000 1 2", "Closed 0000000000000000"})
    CHECK_FALSE(read_hunt_state(text));
}
