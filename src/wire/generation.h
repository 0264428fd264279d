// SPDX-License-Identifier: Apache-2.0
// Generations of what a hunter holds, and the state of a hunt (docs/formats/redis.md, decision 29).
//
// A generation is one history of a `held` hash: 48 bits of milliseconds since the epoch by Redis'
// clock, then 16 random bits. A later generation of one hash is greater. 0: of an older huntd, or
// of a hash that was restored. As text it has 16 lower-case hex digits, so that texts have the
// order of the numbers.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace huntd {

inline constexpr uint64_t generation_max = INT64_MAX;  // a PostgreSQL bigint holds it
inline constexpr size_t generation_digits = 16;

std::string generation_text(uint64_t generation);
// Returns nothing if `text` is not 16 lower-case hex digits, or above generation_max.
std::optional<uint64_t> read_generation(std::string_view text);

// The value of the field `#gen`: "GENERATION LINEAGE", 16 hex digits each.
struct HeldGeneration {
  uint64_t generation = 0;
  uint64_t lineage = 0;  // of the connection whose commit started the generation
};
std::optional<HeldGeneration> read_held_generation(std::string_view text);

// The value of a field of the hash `hunts`: "STATE FLOOR", and of a closed hunt the time of its
// closing as a third word.
struct HuntState {
  bool closed = false;
  uint64_t floor = 0;        // generations up to it are of a purged season
  int64_t closed_at_ms = 0;  // since the epoch, by Redis' clock; 0: not known

  bool operator==(const HuntState&) const = default;
};
std::string write_hunt_state(const HuntState& state);
std::optional<HuntState> read_hunt_state(std::string_view text);

}  // namespace huntd
