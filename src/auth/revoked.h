// SPDX-License-Identifier: Apache-2.0
// What is not valid any more although its signature is: tokens by their id, and all tokens of a
// hunter (auth.revoked_file).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

class Revoked {
 public:
  Revoked() = default;
  // `hashes` as of hashes(). They are compared instead of the ids, which makes a list small enough
  // for one message to a core; two of 4,096 ids have the same one in a run of 10^12 lists.
  explicit Revoked(std::vector<uint64_t> hashes) : hashes_(std::move(hashes)) {}

  bool has_token(std::string_view id) const { return !id.empty() && has("token", id); }
  bool has_hunter(std::string_view id) const { return has("hunter", id); }
  const std::vector<uint64_t>& hashes() const { return hashes_; }  // sorted

 private:
  bool has(std::string_view kind, std::string_view id) const;

  std::vector<uint64_t> hashes_;
};

// Reads a list of at most limits::revoked_max lines "token ID" or "hunter ID". Empty lines and
// lines that start with # are ignored. The error names the line, and not the file.
Result<Revoked> read_revoked(const std::string& text);

}  // namespace huntd
