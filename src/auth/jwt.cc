// SPDX-License-Identifier: Apache-2.0
#include "auth/jwt.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#include <algorithm>
#include <array>

#include "auth/base64url.h"
#include "base/check.h"
#include "base/ids.h"
#include "base/limits.h"
#include "wire/body_parser.h"

namespace huntd {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t members_max = 64;  // of the header, and of the claims
constexpr double numeric_date_max = 1e12;
constexpr size_t es256_half_bytes = 32;
constexpr std::string_view hunt_scope = "hunt:";

struct AlgorithmName {
  std::string_view name;
  JwtAlgorithm algorithm;
};
constexpr std::array<AlgorithmName, 3> algorithm_names = {{{"RS256", JwtAlgorithm::rs256},
                                                           {"ES256", JwtAlgorithm::es256},
                                                           {"EdDSA", JwtAlgorithm::eddsa}}};

// Whether an object names each member once. Readers differ in which of two they take.
bool has_unique_names(const object& read) {
  std::vector<std::string_view> names;
  for (auto const member : read) {
    if (names.size() == members_max || std::ranges::find(names, member.key) != names.end())
      return false;
    names.push_back(member.key);
  }
  return true;
}

// The object of one part of a token; nothing if it is none. Valid until the next call: `json` is
// what the parser has copied.
std::optional<object> read_part(std::string_view part) {
  std::optional<std::string> const json = read_base64url(part);
  if (!json) return std::nullopt;
  object read;
  if (parse_body(*json).get(read) != simdjson::SUCCESS || !has_unique_names(read))
    return std::nullopt;
  return read;
}

// Reads a text member. Returns false if it is something else, or too long; if it is absent, `to`
// stays empty.
bool read_text(const object& from, std::string_view name, std::string& to) {
  element value;
  if (from.at_key(name).get(value) != simdjson::SUCCESS) return true;
  std::string_view text;
  if (value.get(text) != simdjson::SUCCESS || text.empty() ||
      text.size() > limits::claim_bytes_max || !is_visible_ascii(text))
    return false;
  to = text;
  return true;
}

// Reads a NumericDate, which may have a fraction (RFC 7519 section 2). Nothing if it is absent.
// Returns false if it is something else.
bool read_date(const object& from, std::string_view name, std::optional<int64_t>& to) {
  element value;
  if (from.at_key(name).get(value) != simdjson::SUCCESS) return true;
  double number = 0;
  if (value.get(number) != simdjson::SUCCESS || !(number >= 0) || number > numeric_date_max)
    return false;
  to = static_cast<int64_t>(number);
  return true;
}

// Reads a text or an array of texts. Returns false if it is something else.
bool read_texts(const element& from, size_t count_max, std::vector<std::string>& to) {
  auto const add = [&](const element& each) {
    std::string_view text;
    if (each.get(text) != simdjson::SUCCESS || text.size() > limits::claim_bytes_max ||
        to.size() == count_max)
      return false;
    to.emplace_back(text);
    return true;
  };
  simdjson::dom::array all;
  if (from.get(all) != simdjson::SUCCESS) return add(from);
  for (element const each : all)
    if (!add(each)) return false;
  return true;
}

// Adds a hunt that the token may play; "*" stands for all of them.
bool add_hunt(std::string_view hunt, JwtClaims& claims) {
  if (hunt == "*") return claims.every_hunt = true;
  if (!is_path_id(hunt) || claims.hunts.size() == limits::jwt_hunts_max) return false;
  claims.hunts.emplace_back(hunt);
  return true;
}

// The hunts of "hunts" (texts) or, if there is none, of the words hunt:ID of "scope" (RFC 8693
// section 4.2). A token with neither may play every hunt.
bool read_hunts(const object& from, JwtClaims& claims) {
  element value;
  std::vector<std::string> texts;
  if (from.at_key("hunts").get(value) == simdjson::SUCCESS) {
    claims.every_hunt = false;
    return read_texts(value, limits::jwt_hunts_max, texts) &&
           std::ranges::all_of(texts, [&](auto& text) { return add_hunt(text, claims); });
  }
  if (from.at_key("scope").get(value) != simdjson::SUCCESS) return true;
  std::string_view scope;
  if (value.get(scope) != simdjson::SUCCESS) return false;
  while (!scope.empty()) {
    size_t const end = std::min(scope.find(' '), scope.size());
    std::string_view const word = scope.substr(0, end);
    scope.remove_prefix(std::min(end + 1, scope.size()));
    if (!word.starts_with(hunt_scope)) continue;
    if (claims.hunts.empty()) claims.every_hunt = false;
    if (!add_hunt(word.substr(hunt_scope.size()), claims)) return false;
    if (claims.every_hunt) return true;
  }
  return true;
}

std::optional<JwtAlgorithm> read_header(std::string_view part, std::string& key_id) {
  std::optional<object> const header = read_part(part);
  std::string name;
  std::string type;
  if (!header || !read_text(*header, "alg", name) || !read_text(*header, "typ", type) ||
      !read_text(*header, "kid", key_id))
    return std::nullopt;
  // What must be understood is not (RFC 7515 section 4.1.11).
  if (header->at_key("crit").error() == simdjson::SUCCESS) return std::nullopt;
  std::ranges::transform(type, type.begin(), [](char c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  });
  if (!type.empty() && type != "jwt" && type != "at+jwt" && type != "application/at+jwt")
    return std::nullopt;
  auto const found = std::ranges::find(algorithm_names, name, &AlgorithmName::name);
  if (found == algorithm_names.end()) return std::nullopt;
  return found->algorithm;
}

std::optional<JwtClaims> read_claims(std::string_view part) {
  std::optional<object> const read = read_part(part);
  JwtClaims claims;
  std::optional<int64_t> expires_at_s;
  std::optional<int64_t> not_before_s;
  if (!read || !read_text(*read, "sub", claims.hunter_id) ||
      !read_text(*read, "jti", claims.token_id) || !read_text(*read, "iss", claims.issuer) ||
      !read_date(*read, "exp", expires_at_s) || !read_date(*read, "nbf", not_before_s) ||
      !read_hunts(*read, claims))
    return std::nullopt;
  if (!is_path_id(claims.hunter_id) || !expires_at_s) return std::nullopt;
  claims.expires_at_s = *expires_at_s;
  claims.not_before_s = not_before_s.value_or(0);
  element audience;
  if (read->at_key("aud").get(audience) == simdjson::SUCCESS &&
      !read_texts(audience, limits::jwt_audiences_max, claims.audiences))
    return std::nullopt;
  return claims;
}

// The signature of ES256 is two numbers of 32 bytes (RFC 7518 section 3.4); OpenSSL takes DER.
std::string es256_as_der(std::string_view signature) {
  if (signature.size() != 2 * es256_half_bytes) return {};
  auto const* const bytes = reinterpret_cast<const unsigned char*>(signature.data());
  BIGNUM* const r = BN_bin2bn(bytes, es256_half_bytes, nullptr);
  BIGNUM* const s = BN_bin2bn(bytes + es256_half_bytes, es256_half_bytes, nullptr);
  ECDSA_SIG* const pair = ECDSA_SIG_new();
  CHECK(r != nullptr && s != nullptr && pair != nullptr && ECDSA_SIG_set0(pair, r, s) == 1);
  unsigned char* written = nullptr;
  int const size = i2d_ECDSA_SIG(pair, &written);
  ECDSA_SIG_free(pair);
  std::string der;
  if (size > 0) der.assign(reinterpret_cast<char*>(written), static_cast<size_t>(size));
  OPENSSL_free(written);
  return der;
}

}  // namespace

std::optional<Jwt> read_jwt(std::string_view token) {
  size_t const first = token.find('.');
  size_t const last = token.rfind('.');
  if (token.size() > limits::jwt_bytes_max || first == last) return std::nullopt;
  Jwt jwt;
  jwt.signed_text = token.substr(0, last);
  std::optional<JwtAlgorithm> const algorithm = read_header(token.substr(0, first), jwt.key_id);
  if (!algorithm) return std::nullopt;
  jwt.algorithm = *algorithm;
  std::optional<JwtClaims> claims = read_claims(token.substr(first + 1, last - first - 1));
  std::optional<std::string> signature = read_base64url(token.substr(last + 1));
  if (!claims || !signature || signature->empty()) return std::nullopt;
  jwt.claims = std::move(*claims);
  jwt.signature = std::move(*signature);
  return jwt;
}

void JwtVerifier::Free::operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }

JwtVerifier::JwtVerifier(const JwtKey& key) : id_(key.id), algorithm_(key.algorithm) {
  auto const* bytes = reinterpret_cast<const unsigned char*>(key.der.data());
  key_.reset(d2i_PUBKEY(nullptr, &bytes, static_cast<long>(key.der.size())));
  CHECK(key_ != nullptr);
}

bool JwtVerifier::verify(const Jwt& token) const {
  if (token.algorithm != algorithm_) return false;
  bool const es256 = algorithm_ == JwtAlgorithm::es256;
  std::string const signature = es256 ? es256_as_der(token.signature) : token.signature;
  EVP_MD_CTX* const context = EVP_MD_CTX_new();
  CHECK(context != nullptr);
  const EVP_MD* const digest = algorithm_ == JwtAlgorithm::eddsa ? nullptr : EVP_sha256();
  bool const good =
      EVP_DigestVerifyInit(context, nullptr, digest, nullptr, key_.get()) == 1 &&
      EVP_DigestVerify(context, reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(),
                       reinterpret_cast<const unsigned char*>(token.signed_text.data()),
                       token.signed_text.size()) == 1;
  EVP_MD_CTX_free(context);
  // What is left in this thread's queue would be taken for an error of TLS.
  ERR_clear_error();
  return good;
}

}  // namespace huntd
