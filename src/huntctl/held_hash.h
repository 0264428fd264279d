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

  // Not 0; below 0: so much the hunter owes (docs/formats/redis.md).
  std::map<std::string, int64_t, std::less<>> loot;
  uint64_t seq = 0;                  // of the present generation
  uint64_t before = 0;               // loot of earlier generations
  uint64_t generation = 0;           // the present one; 0: there is no #gen
  std::map<uint64_t, uint64_t> was;  // earlier generation -> the seq that it had reached
  // Of all generations: units that awards gave beyond one each; units that takes took, and one for
  // each take.
  uint64_t added = 0;
  uint64_t taken = 0;

  // The seq that each generation has reached here, earlier ones and the present one.
  std::map<uint64_t, uint64_t> reached() const;
  // How much loot the hunter holds, by the fields that count it; below 0 if debts are greater.
  int64_t units() const { return static_cast<int64_t>(before + seq + added - taken); }
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
