// SPDX-License-Identifier: Apache-2.0
// Any bytes as a JSON Web Token, as its header and claims, and as a set of keys: what is read keeps
// the bounds, and no text but one means the same signature.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "auth/base64url.h"
#include "auth/jwt.h"
#include "base/check.h"
#include "base/ids.h"
#include "base/limits.h"

namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string base64url(std::string_view bytes) {
  std::string text;
  uint32_t kept = 0;
  unsigned bits = 0;
  for (char const c : bytes) {
    kept = (kept << 8) | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 6; bits -= 6) text.push_back(alphabet[(kept >> (bits - 6)) & 63]);
  }
  if (bits > 0) text.push_back(alphabet[(kept << (6 - bits)) & 63]);
  return text;
}

void check(std::string_view token) {
  std::optional<huntd::Jwt> const read = huntd::read_jwt(token);
  if (!read) return;
  CHECK(token.size() <= huntd::limits::jwt_bytes_max);
  CHECK(token == std::string(read->signed_text) + "." + base64url(read->signature));
  CHECK(huntd::is_path_id(read->claims.hunter_id) && read->claims.expires_at_s >= 0);
  CHECK(read->claims.hunts.size() <= huntd::limits::jwt_hunts_max);
  CHECK(read->claims.audiences.size() <= huntd::limits::jwt_audiences_max);
  CHECK(read->claims.token_id.size() <= huntd::limits::claim_bytes_max);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view const input(reinterpret_cast<const char*>(data), size);
  check(input);
  size_t const line = std::min(input.find('\n'), input.size());
  check(base64url(input.substr(0, line)) + "." + base64url(input.substr(line)) + ".AAAA");
  std::optional<std::string> const bytes = huntd::read_base64url(input);
  if (bytes) CHECK(base64url(*bytes) == input);
  huntd::Result<std::vector<huntd::JwtKey>> const keys = huntd::read_jwks(input);
  if (keys) {
    CHECK(!keys->empty() && keys->size() <= huntd::limits::secrets_max);
    for (const huntd::JwtKey& key : *keys) huntd::JwtVerifier const usable(key);
  }
  return 0;
}
