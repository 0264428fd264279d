// SPDX-License-Identifier: Apache-2.0
#include "auth/revoked.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "base/hash.h"
#include "base/ids.h"
#include "base/limits.h"
#include "base/read_text.h"

namespace huntd {
namespace {

uint64_t hash_of(std::string_view kind, std::string_view id) {
  return hash64(std::string(kind).append(" ").append(id));
}

}  // namespace

bool Revoked::has(std::string_view kind, std::string_view id) const {
  return !hashes_.empty() && std::ranges::binary_search(hashes_, hash_of(kind, id));
}

Result<Revoked> read_revoked(const std::string& text) {
  std::istringstream lines(text);
  std::vector<uint64_t> hashes;
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.ends_with('\r')) line.pop_back();
    if (line.empty() || line.starts_with('#')) continue;
    std::string_view id = line;
    std::string_view const kind = take_word(id);
    bool const token = kind == "token" && !id.empty() && id.size() <= limits::claim_bytes_max &&
                       is_visible_ascii(id);
    if (!token && !(kind == "hunter" && is_id(id)))
      return Error{fmt::format("line {}: write \"token ID\" or \"hunter ID\"", number)};
    if (hashes.size() == limits::revoked_max)
      return Error{
          fmt::format("line {}: more than {} entries: remove those of tokens that have "
                      "expired, or replace the signing key",
                      number, limits::revoked_max)};
    hashes.push_back(hash_of(kind, id));
  }
  std::ranges::sort(hashes);
  return Revoked(std::move(hashes));
}

}  // namespace huntd
