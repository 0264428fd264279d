// SPDX-License-Identifier: Apache-2.0
// The secrets of a ledger in the Redis hash `seed_secret` (decision 28, docs/formats/redis.md):
// number -> secret. The highest number is in use; earlier secrets repeat earlier runs.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace huntd {

class SeedSecrets {
 public:
  // Adds a field of the hash. The error says what a field must be, never a secret.
  Result<void> add(std::string_view field, std::string_view value);
  bool empty() const { return by_number_.empty(); }
  // The one in use; empty if there is none.
  std::string newest() const;
  // Returns an empty text if there is no such number.
  std::string numbered(uint32_t number) const;

 private:
  std::map<uint32_t, std::string> by_number_;
};

// Reads the secret in the file that hunts.seed_secret_file names.
Result<std::string> read_seed_secret_file(const std::string& file);

}  // namespace huntd
