// SPDX-License-Identifier: Apache-2.0
// A JWK set as keys of OpenSSL (RFC 7517; RFC 7518 section 6; RFC 8037 section 2).
#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <simdjson.h>

#include <algorithm>
#include <memory>

#include "auth/base64url.h"
#include "auth/jwt.h"
#include "base/check.h"
#include "base/ids.h"
#include "base/limits.h"

namespace huntd {
namespace {

using simdjson::dom::element;
using simdjson::dom::object;

constexpr size_t p256_coordinate_bytes = 32;
constexpr size_t ed25519_bytes = 32;
constexpr char uncompressed_point = 4;  // SEC 1, section 2.3.3

struct FreeOpenSsl {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
  void operator()(OSSL_PARAM_BLD* builder) const { OSSL_PARAM_BLD_free(builder); }
  void operator()(OSSL_PARAM* parameters) const { OSSL_PARAM_free(parameters); }
  void operator()(BIGNUM* number) const { BN_free(number); }
};
template <class T>
using Owned = std::unique_ptr<T, FreeOpenSsl>;

std::string_view text_of(const object& from, std::string_view name) {
  std::string_view text;
  return from.at_key(name).get(text) == simdjson::SUCCESS ? text : std::string_view();
}

std::string bytes_of(const object& from, std::string_view name) {
  return read_base64url(text_of(from, name)).value_or("");
}

const unsigned char* unsigned_of(const std::string& bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// A public key of parameters; null if they are not those of one.
Owned<EVP_PKEY> key_of(const char* type, OSSL_PARAM_BLD& builder) {
  Owned<OSSL_PARAM> const parameters(OSSL_PARAM_BLD_to_param(&builder));
  Owned<EVP_PKEY_CTX> const context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  CHECK(parameters != nullptr && context != nullptr);
  EVP_PKEY* key = nullptr;
  if (EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters.get()) != 1)
    return nullptr;
  return Owned<EVP_PKEY>(key);
}

Owned<EVP_PKEY> rsa_key(const object& jwk) {
  std::string const modulus = bytes_of(jwk, "n");
  std::string const exponent = bytes_of(jwk, "e");
  if (modulus.empty() || exponent.empty() || modulus.size() > limits::rsa_bits_max / 8)
    return nullptr;
  Owned<OSSL_PARAM_BLD> const builder(OSSL_PARAM_BLD_new());
  Owned<BIGNUM> const n(BN_bin2bn(unsigned_of(modulus), static_cast<int>(modulus.size()), nullptr));
  Owned<BIGNUM> const e(
      BN_bin2bn(unsigned_of(exponent), static_cast<int>(exponent.size()), nullptr));
  CHECK(builder != nullptr && n != nullptr && e != nullptr);
  if (static_cast<size_t>(BN_num_bits(n.get())) < limits::rsa_bits_min || BN_is_odd(e.get()) == 0 ||
      BN_is_one(e.get()) == 1)
    return nullptr;
  CHECK(OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) == 1);
  return key_of("RSA", *builder);
}

// Null for a point that is not on the curve.
Owned<EVP_PKEY> p256_key(const object& jwk) {
  std::string const x = bytes_of(jwk, "x");
  std::string const y = bytes_of(jwk, "y");
  if (x.size() != p256_coordinate_bytes || y.size() != p256_coordinate_bytes) return nullptr;
  std::string const point = std::string(1, uncompressed_point) + x + y;
  Owned<OSSL_PARAM_BLD> const builder(OSSL_PARAM_BLD_new());
  CHECK(builder != nullptr &&
        OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1",
                                        0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(),
                                         point.size()) == 1);
  Owned<EVP_PKEY> key = key_of("EC", *builder);
  if (key == nullptr) return nullptr;
  Owned<EVP_PKEY_CTX> const check(EVP_PKEY_CTX_new_from_pkey(nullptr, key.get(), nullptr));
  return check != nullptr && EVP_PKEY_public_check(check.get()) == 1 ? std::move(key) : nullptr;
}

Owned<EVP_PKEY> ed25519_key(const object& jwk) {
  std::string const x = bytes_of(jwk, "x");
  if (x.size() != ed25519_bytes) return nullptr;
  return Owned<EVP_PKEY>(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, unsigned_of(x), x.size()));
}

// One kind of key that huntd can use: the members that name it, and how it is read.
struct Kind {
  std::string_view type;
  std::string_view curve;  // empty: the type has none
  std::string_view algorithm_name;
  JwtAlgorithm algorithm;
  Owned<EVP_PKEY> (*read)(const object&);
  std::string_view members;  // for errors
};
constexpr Kind kinds[] = {
    {"RSA", "", "RS256", JwtAlgorithm::rs256, rsa_key, "n (2048 to 4096 bits) and e"},
    {"EC", "P-256", "ES256", JwtAlgorithm::es256, p256_key, "x and y of a point on P-256"},
    {"OKP", "Ed25519", "EdDSA", JwtAlgorithm::eddsa, ed25519_key, "x of 32 bytes"}};

// The kind of a key that is for signatures huntd can verify; null if it is for something else.
const Kind* kind_of(const object& jwk) {
  std::string_view const use = text_of(jwk, "use");
  std::string_view const algorithm = text_of(jwk, "alg");
  if (!use.empty() && use != "sig") return nullptr;
  auto const found = std::ranges::find_if(kinds, [&](const Kind& kind) {
    return text_of(jwk, "kty") == kind.type &&
           (kind.curve.empty() || text_of(jwk, "crv") == kind.curve) &&
           (algorithm.empty() || algorithm == kind.algorithm_name);
  });
  return found == std::end(kinds) ? nullptr : &*found;
}

// Adds one key, unless it is for something else.
Result<void> add_key(const object& jwk, size_t number, std::vector<JwtKey>& keys) {
  auto const fault = [number](std::string_view what) {
    return Error{fmt::format("key {}: {}", number, what)};
  };
  bool const symmetric = text_of(jwk, "kty") == "oct";
  if (symmetric || jwk.at_key("d").error() == simdjson::SUCCESS)
    return fault("it is a secret key: the file must have public keys only");
  const Kind* const kind = kind_of(jwk);
  if (kind == nullptr) return {};
  std::string_view const id = text_of(jwk, "kid");
  if (jwk.at_key("kid").error() == simdjson::SUCCESS &&
      (id.empty() || id.size() > limits::claim_bytes_max || !is_visible_ascii(id)))
    return fault(
        fmt::format("\"kid\" must be 1 to {} visible ASCII characters", limits::claim_bytes_max));
  if (std::ranges::find(keys, id, &JwtKey::id) != keys.end())
    return fault(fmt::format("another key has the \"kid\" \"{}\" too", id));
  if (keys.size() == limits::secrets_max)
    return fault(fmt::format("there are more than {} keys", limits::secrets_max));
  Owned<EVP_PKEY> const key = kind->read(jwk);
  unsigned char* written = nullptr;
  int const size = key == nullptr ? 0 : i2d_PUBKEY(key.get(), &written);
  ERR_clear_error();
  if (size <= 0)
    return fault(fmt::format("a key for {} needs {}", kind->algorithm_name, kind->members));
  keys.push_back({std::string(id), kind->algorithm,
                  std::string(reinterpret_cast<char*>(written), static_cast<size_t>(size))});
  OPENSSL_free(written);
  return {};
}

}  // namespace

Result<std::vector<JwtKey>> read_jwks(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::array all;
  // The parser would call memcpy() with the null pointer of an empty view.
  if (json.empty() || parser.parse(json.data(), json.size())["keys"].get(all) != simdjson::SUCCESS)
    return Error{"it is not a JWK set: a JSON object with an array \"keys\""};
  std::vector<JwtKey> keys;
  size_t number = 0;
  for (element const each : all) {
    object jwk;
    ++number;
    if (each.get(jwk) != simdjson::SUCCESS)
      return Error{fmt::format("key {}: it is not an object", number)};
    if (Result<void> const added = add_key(jwk, number, keys); !added) return added.error();
  }
  if (keys.empty())
    return Error{"no key is for RS256 (RSA), ES256 (EC, P-256) or EdDSA (OKP, Ed25519)"};
  if (keys.size() > 1 && std::ranges::find(keys, "", &JwtKey::id) != keys.end())
    return Error{"of several keys, each needs a \"kid\""};
  return keys;
}

}  // namespace huntd
