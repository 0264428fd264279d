// SPDX-License-Identifier: Apache-2.0
#include "auth/jwt.h"
#include "auth/authenticator.h"
#include "auth/base64url.h"
#include "auth/token_cache.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <ctime>
#include <functional>

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

using namespace huntd;
using Outcome = Authenticator::Outcome;

namespace {

constexpr int64_t now_ms = 1'800'000'000'000;
constexpr int64_t now_s = now_ms / 1000;
const std::string good_claims = R"({"sub":"eve","exp":1800000060})";

std::string base64url(std::string_view bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  text.resize(static_cast<size_t>(EVP_EncodeBlock(
      reinterpret_cast<unsigned char*>(text.data()),
      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()))));
  while (text.ends_with('=')) text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return text;
}

// A key pair, and what a login service does with it.
struct Signer {
  explicit Signer(JwtAlgorithm algorithm) : of(algorithm) {
    key = of == JwtAlgorithm::rs256   ? EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", size_t{2048})
          : of == JwtAlgorithm::es256 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                      : EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    REQUIRE(key != nullptr);
  }
  ~Signer() { EVP_PKEY_free(key); }

  std::string name() const {
    return of == JwtAlgorithm::rs256 ? "RS256" : of == JwtAlgorithm::es256 ? "ES256" : "EdDSA";
  }

  std::string number(const char* parameter, size_t size) const {
    BIGNUM* value = nullptr;
    REQUIRE(EVP_PKEY_get_bn_param(key, parameter, &value) == 1);
    std::string bytes(size == 0 ? static_cast<size_t>(BN_num_bytes(value)) : size, '\0');
    BN_bn2binpad(value, reinterpret_cast<unsigned char*>(bytes.data()),
                 static_cast<int>(bytes.size()));
    BN_free(value);
    return base64url(bytes);
  }

  std::string jwk(const std::string& id = "k") const {
    std::string const start = fmt::format(R"({{"kid":"{}","use":"sig",)", id);
    if (of == JwtAlgorithm::rs256)
      return start +
             fmt::format(R"("kty":"RSA","n":"{}","e":"{}"}})", number("n", 0), number("e", 0));
    if (of == JwtAlgorithm::es256)
      return start + fmt::format(R"("kty":"EC","crv":"P-256","x":"{}","y":"{}"}})",
                                 number("qx", 32), number("qy", 32));
    std::string bytes(32, '\0');
    size_t size = bytes.size();
    EVP_PKEY_get_raw_public_key(key, reinterpret_cast<unsigned char*>(bytes.data()), &size);
    return start + fmt::format(R"("kty":"OKP","crv":"Ed25519","x":"{}"}})", base64url(bytes));
  }

  std::string sign(const std::string& text) const {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    const EVP_MD* const digest = of == JwtAlgorithm::eddsa ? nullptr : EVP_sha256();
    auto const* const bytes = reinterpret_cast<const unsigned char*>(text.data());
    size_t size = 512;
    std::string signature(size, '\0');
    auto* const to = reinterpret_cast<unsigned char*>(signature.data());
    REQUIRE(EVP_DigestSignInit(context, nullptr, digest, nullptr, key) == 1);
    REQUIRE(EVP_DigestSign(context, to, &size, bytes, text.size()) == 1);
    EVP_MD_CTX_free(context);
    signature.resize(size);
    if (of != JwtAlgorithm::es256) return signature;
    auto const* der = reinterpret_cast<const unsigned char*>(signature.data());
    ECDSA_SIG* const pair = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(size));
    std::string raw(64, '\0');
    auto* const halves = reinterpret_cast<unsigned char*>(raw.data());
    BN_bn2binpad(ECDSA_SIG_get0_r(pair), halves, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(pair), halves + 32, 32);
    ECDSA_SIG_free(pair);
    return raw;
  }

  std::string token(const std::string& claims, std::string header = "") const {
    if (header.empty()) header = fmt::format(R"({{"alg":"{}","kid":"k"}})", name());
    std::string const text = base64url(header) + "." + base64url(claims);
    return text + "." + base64url(sign(text));
  }

  JwtAlgorithm of;
  EVP_PKEY* key = nullptr;
};

const JwtAlgorithm every_algorithm[] = {JwtAlgorithm::rs256, JwtAlgorithm::es256,
                                        JwtAlgorithm::eddsa};

std::vector<JwtKey> keys_of(const std::string& jwks) {
  Result<std::vector<JwtKey>> keys = read_jwks(fmt::format(R"({{"keys":[{}]}})", jwks));
  REQUIRE(keys);
  return *keys;
}

Authenticator authenticator_of(const std::string& jwks, JwtRules rules = {"", "", 30, 8, 60}) {
  return Authenticator({AuthMode::jwt, {}, keys_of(jwks), std::move(rules), {}});
}

std::string jwks_error(const std::string& jwks) {
  Result<std::vector<JwtKey>> const keys = read_jwks(jwks);
  return keys ? "" : keys.error().message;
}

// Tokens whose header or claims are these texts; never signed.
bool reads(const std::string& header, const std::string& claims) {
  return read_jwt(base64url(header) + "." + base64url(claims) + ".AAAA").has_value();
}

}  // namespace

TEST_CASE("base64url has one text for each bytes") {
  for (size_t size = 0; size < 64; ++size) {
    std::string bytes(size, '\xfb');
    CHECK(read_base64url(base64url(bytes)) == bytes);
  }
  for (const char* bad : {"A", "AAAAA", "AB", "AAB", "AA==", "AA+A", "AA/A", "AA A", "AA\nA", "é"})
    CHECK_FALSE(read_base64url(bad));
}

TEST_CASE("a token of each algorithm acts as its hunter while it is valid") {
  for (JwtAlgorithm const algorithm : every_algorithm) {
    Signer const signer(algorithm);
    Authenticator authenticator = authenticator_of(signer.jwk());
    std::string const good = "Bearer " + signer.token(good_claims);
    CHECK(authenticator.check(good, "eve", now_ms, "gold") == Outcome::allowed);
    CHECK(authenticator.check(good, "", now_ms) == Outcome::allowed);
    CHECK(authenticator.check(good, "ada", now_ms) == Outcome::forbidden);
    CHECK(authenticator.check_for_all(good, now_ms) == Outcome::forbidden);
    // 60 s and the leeway of 30 s after now; a token that is remembered too.
    CHECK(authenticator.check(good, "eve", now_ms + 89'000) == Outcome::allowed);
    CHECK(authenticator.check(good, "eve", now_ms + 90'000) == Outcome::expired);
    CHECK(authenticator.check("", "eve", now_ms) == Outcome::no_token);
    // Signed well by a key that is not in the set.
    Signer const other(algorithm);
    CHECK(authenticator.check("Bearer " + other.token(good_claims), "eve", now_ms) ==
          Outcome::bad_token);
  }
}

TEST_CASE("a token with one changed character, or truncated, is rejected") {
  for (JwtAlgorithm const algorithm : every_algorithm) {
    Signer const signer(algorithm);
    Authenticator authenticator = authenticator_of(signer.jwk(), {"", "", 30, 0, 60});
    std::string const good = signer.token(good_claims);
    for (size_t at = 0; at < good.size(); ++at) {
      std::string changed = good;
      changed[at] = changed[at] == 'A' ? 'B' : 'A';
      if (authenticator.check("Bearer " + changed, "eve", now_ms) != Outcome::bad_token)
        FAIL_CHECK("at ", at, ": ", changed);
      if (authenticator.check("Bearer " + good.substr(0, at), "eve", now_ms) == Outcome::allowed)
        FAIL_CHECK("truncated at ", at);
    }
  }
}

TEST_CASE("the key's algorithm counts, and not what the token says") {
  Signer const rsa(JwtAlgorithm::rs256);
  Signer const ec(JwtAlgorithm::es256);
  Signer const ed(JwtAlgorithm::eddsa);
  Authenticator authenticator =
      authenticator_of(rsa.jwk("r") + "," + ec.jwk("e") + "," + ed.jwk("d"));
  auto const outcome = [&](const Signer& by, const std::string& header) {
    return authenticator.check("Bearer " + by.token(good_claims, header), "eve", now_ms);
  };
  CHECK(outcome(rsa, R"({"alg":"RS256","kid":"r"})") == Outcome::allowed);
  CHECK(outcome(ec, R"({"alg":"ES256","kid":"e","typ":"at+JWT"})") == Outcome::allowed);
  CHECK(outcome(ed, R"({"alg":"EdDSA","kid":"d","typ":"JWT"})") == Outcome::allowed);
  for (const char* header :
       {R"({"alg":"ES256","kid":"r"})", R"({"alg":"RS256","kid":"e"})", R"({"alg":"none"})",
        R"({"alg":"HS256","kid":"r"})", R"({"alg":"RS256"})", R"({"alg":"rs256","kid":"r"})",
        R"({"kid":"r"})", R"({"alg":"RS256","kid":"../../dev/null"})",
        R"({"alg":"RS256","kid":"x","kid":"r"})", R"({"alg":"RS256","kid":"r","crit":["exp"]})",
        R"({"alg":"RS256","kid":7})", R"({"alg":["RS256"],"kid":"r"})",
        R"({"alg":"RS256","kid":"r","typ":"secevent+jwt"})", R"(["RS256"])", "", "null"}) {
    CAPTURE(header);
    CHECK(outcome(rsa, header) == Outcome::bad_token);
  }
}

TEST_CASE("claims that are missing, of another type or there twice make no token") {
  std::string const header = R"({"alg":"ES256","kid":"k"})";
  CHECK(reads(header, good_claims));
  CHECK(reads(header, R"({"sub":"eve","exp":1800000060.5,"nbf":0,"aud":[],"jti":"7","x":{}})"));
  for (const char* bad : {R"({"exp":1800000060})",
                          R"({"sub":"eve"})",
                          R"({"sub":"","exp":1})",
                          R"({"sub":"e/e","exp":1})",
                          R"({"sub":"..","exp":1})",
                          R"({"sub":7,"exp":1})",
                          R"({"sub":"eve","exp":"1800000060"})",
                          R"({"sub":"eve","exp":-1})",
                          R"({"sub":"eve","exp":1e300})",
                          R"({"sub":"eve","exp":null})",
                          R"({"sub":"ada","exp":1,"sub":"eve"})",
                          R"({"sub":"eve","exp":1,"exp":9e9})",
                          R"({"sub":"eve","exp":1,"\u0073ub":"ada"})",
                          R"({"sub":"eve","exp":1,"nbf":"0"})",
                          R"({"sub":"eve","exp":1,"hunts":{}})",
                          R"({"sub":"eve","exp":1,"hunts":[7]})",
                          R"({"sub":"eve","exp":1,"hunts":["a/b"]})",
                          R"({"sub":"eve","exp":1,"scope":["hunt:a"]})",
                          R"({"sub":"eve","exp":1,"aud":{}})",
                          R"({"sub":"eve","exp":1,"jti":""})",
                          R"({"sub":"eve","exp":1} )"
                          "x",
                          "[]",
                          ""}) {
    CAPTURE(bad);
    CHECK_FALSE(reads(header, bad));
  }
  std::string many = R"({"sub":"eve","exp":1)";
  for (int i = 0; i < 63; ++i) many += fmt::format(R"(,"c{}":0)", i);
  CHECK_FALSE(reads(header, many + "}"));
  CHECK_FALSE(read_jwt(std::string(5000, 'A') + ".AAAA.AAAA"));
  for (const char* text : {"", ".", "..", "a.b", "....", "AA.AA.AA.AA"})
    CHECK_FALSE(read_jwt(text));
}

TEST_CASE("issuer, audience, nbf and hunts are those of the config and of the request") {
  Signer const signer(JwtAlgorithm::eddsa);
  Authenticator authenticator =
      authenticator_of(signer.jwk(), {"https://login.example", "huntd", 30, 8, 60});
  auto const outcome = [&](const std::string& more, const char* hunt = "gold") {
    std::string const claims = R"({"sub":"eve","exp":1800000060,)" + more + "}";
    return authenticator.check("Bearer " + signer.token(claims), "eve", now_ms, hunt);
  };
  std::string const ours = R"("iss":"https://login.example","aud":["other","huntd"])";
  CHECK(outcome(ours) == Outcome::allowed);
  CHECK(outcome(R"("iss":"https://login.example","aud":"huntd")") == Outcome::allowed);
  CHECK(outcome(R"("iss":"https://login.example","aud":"huntdx")") == Outcome::bad_token);
  CHECK(outcome(R"("iss":"https://login.example")") == Outcome::bad_token);
  CHECK(outcome(R"("iss":"https://evil.example","aud":"huntd")") == Outcome::bad_token);
  CHECK(outcome(R"("aud":"huntd")") == Outcome::bad_token);
  CHECK(outcome(ours + fmt::format(R"(,"nbf":{})", now_s + 30)) == Outcome::allowed);
  CHECK(outcome(ours + fmt::format(R"(,"nbf":{})", now_s + 31)) == Outcome::too_early);
  CHECK(outcome(ours + R"(,"hunts":["iron","gold"])") == Outcome::allowed);
  CHECK(outcome(ours + R"(,"hunts":["*"])") == Outcome::allowed);
  CHECK(outcome(ours + R"(,"hunts":["iron"])") == Outcome::scope);
  CHECK(outcome(ours + R"(,"hunts":[])") == Outcome::scope);
  CHECK(outcome(ours + R"(,"hunts":[],"scope":"hunt:gold")") == Outcome::scope);
  CHECK(outcome(ours + R"(,"hunts":["iron"])", "") == Outcome::allowed);
  CHECK(outcome(ours + R"(,"scope":"openid hunt:gold")") == Outcome::allowed);
  CHECK(outcome(ours + R"(,"scope":"openid hunt:iron hunt:tin")") == Outcome::scope);
  CHECK(outcome(ours + R"(,"scope":"hunt:*")") == Outcome::allowed);
  CHECK(outcome(ours + R"(,"scope":"openid profile")") == Outcome::allowed);
}

TEST_CASE("a set of keys is rejected with the key and the reason") {
  Signer const rsa(JwtAlgorithm::rs256);
  Signer const ec(JwtAlgorithm::es256);
  auto const set = [](const std::string& keys) { return R"({"keys":[)" + keys + "]}"; };
  CHECK(jwks_error(set(rsa.jwk())).empty());
  // What is for something else is left out.
  CHECK(keys_of(R"({"kty":"RSA","use":"enc","kid":"e","n":"AQAB","e":"AQAB"},)"
                R"({"kty":"EC","crv":"P-384","kid":"p"},{"kty":"RSA","alg":"PS256"},)" +
                ec.jwk())
            .size() == 1);
  for (const auto& [text, words] : std::initializer_list<std::pair<std::string, const char*>>{
           {"", "it is not a JWK set"},
           {"{}", "it is not a JWK set"},
           {"[]", "it is not a JWK set"},
           {set(""), "no key is for RS256"},
           {set(R"({"kty":"EC","crv":"P-521","kid":"a"})"), "no key is for RS256"},
           {set("7"), "key 1: it is not an object"},
           {set(rsa.jwk() + R"(,{"kty":"oct","k":"c2VjcmV0"})"), "key 2: it is a secret key"},
           {set(R"({"kty":"OKP","crv":"Ed25519","x":"AA","d":"AA"})"), "key 1: it is a secret key"},
           {set(rsa.jwk("a") + "," + ec.jwk("a")), "key 2: another key has the \"kid\" \"a\""},
           {set(R"({"kty":"RSA","n":"AQAB","e":"AQAB"})"), "key 1: a key for RS256 needs n"},
           {set(R"({"kty":"EC","crv":"P-256","x":")" + std::string(43, 'A') + R"(","y":")" +
                std::string(43, 'A') + R"("})"),
            "key 1: a key for ES256 needs x and y of a point on P-256"},
           {set(R"({"kty":"OKP","crv":"Ed25519","x":"AAAA"})"),
            "key 1: a key for EdDSA needs x"}}) {
    const std::string& file = text;  // clang 14 captures no structured binding
    CAPTURE(file);
    CHECK(jwks_error(file).starts_with(words));
  }
}

TEST_CASE("a core remembers no more tokens than it may, and none for too long") {
  TokenCache cache(3, 1000);
  for (int i = 0; i < 100; ++i) {
    JwtClaims claims;
    claims.hunter_id = "h" + std::to_string(i);
    cache.add(std::to_string(i), claims, now_ms);
    CHECK(cache.size() <= 3);
  }
  CHECK(cache.find("96", now_ms) == nullptr);
  REQUIRE(cache.find("99", now_ms + 999) != nullptr);
  CHECK(cache.find("99", now_ms + 999)->hunter_id == "h99");
  CHECK(cache.find("99", now_ms + 1000) == nullptr);
  CHECK(cache.find("99", now_ms - 1) == nullptr);
}

TEST_CASE("what is remembered is not verified again, and a tick verifies a few only") {
  Signer const signer(JwtAlgorithm::es256);
  Authenticator authenticator = authenticator_of(signer.jwk(), {"", "", 30, 100, 60});
  std::vector<std::string> tokens;
  for (int i = 0; i < 9; ++i)
    tokens.push_back("Bearer " +
                     signer.token(fmt::format(R"({{"sub":"eve","exp":{}}})", now_s + 60 + i)));
  for (int i = 0; i < 8; ++i) {
    CHECK_FALSE(authenticator.must_wait(tokens[i], now_ms, 1));
    CHECK(authenticator.check(tokens[i], "eve", now_ms) == Outcome::allowed);
  }
  CHECK(authenticator.must_wait(tokens[8], now_ms, 1));
  CHECK_FALSE(authenticator.must_wait(tokens[7], now_ms, 1));
  CHECK(authenticator.check(tokens[7], "eve", now_ms) == Outcome::allowed);
  CHECK_FALSE(authenticator.must_wait(tokens[8], now_ms, 2));
  Authenticator::Counts const counts = authenticator.take_counts();
  CHECK(counts.verified == 8);
  CHECK(counts.remembered == 1);
}

// Of CPU, so that what else runs on the machine counts little.
TEST_CASE("the time of a check, printed") {
  constexpr int rounds = 500;
  for (JwtAlgorithm const algorithm : every_algorithm) {
    Signer const signer(algorithm);
    std::string const text = "Bearer " + signer.token(good_claims);
    auto const us_each = [&](Authenticator authenticator) {
      authenticator.check(text, "eve", now_ms);
      std::clock_t const start = std::clock();
      for (int i = 0; i < rounds; ++i)
        REQUIRE(authenticator.check(text, "eve", now_ms) == Outcome::allowed);
      return 1e6 * static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC / rounds;
    };
    fmt::print("{}: {:.1f} us to verify, {:.1f} us if it is remembered\n", signer.name(),
               us_each(authenticator_of(signer.jwk(), {"", "", 30, 0, 60})),
               us_each(authenticator_of(signer.jwk())));
  }
}
