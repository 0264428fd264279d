// SPDX-License-Identifier: Apache-2.0
// What a Redis hash `held` contains (docs/formats/redis.md), and what of it the table has counted.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "aggregator/sessions/session.h"
#include "base/result.h"

namespace huntd::huntctl {

struct HeldHash {
  // All fields as they were read; empty if the hash does not exist.
  std::vector<std::pair<std::string, std::string>> fields;

  std::map<std::string, uint64_t, std::less<>> loot;
  uint64_t seq = 0;                  // of the present generation
  uint64_t before = 0;               // loot of earlier generations
  uint64_t generation = 0;           // the present one; 0: there is no #gen
  std::map<uint64_t, uint64_t> was;  // earlier generation -> the seq that it had reached

  // The seq that each generation has reached here, earlier ones and the present one.
  std::map<uint64_t, uint64_t> reached() const;
  // The greatest generation; 0 if there is none.
  uint64_t newest_generation() const;

  // The error says which field is malformed.
  static Result<HeldHash> read(std::vector<std::pair<std::string, std::string>> fields);
};

// A generation of which `row` has not counted every seq that `held` has reached; nothing if there
// is none.
struct UncountedSeqs {
  uint64_t generation;
  uint64_t seq;  // the one that `held` has reached
};
std::optional<UncountedSeqs> uncounted(const HeldHash& held, const aggregator::Session& row);

}  // namespace huntd::huntctl
