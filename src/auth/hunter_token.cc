// SPDX-License-Identifier: Apache-2.0
#include "auth/hunter_token.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <charconv>

#include "base/check.h"
#include "base/ids.h"

namespace huntd {
namespace {

constexpr std::string_view version = "hunter1.";
constexpr std::string_view version_with_key = "hunter2.";
constexpr size_t mac_bytes = 32;
constexpr size_t expiry_digits_max = 12;

// Length of base64 of 32 bytes, with padding and a NUL.
constexpr size_t base64_bytes = 45;

}  // namespace

bool is_key_id(std::string_view text) {
  return is_id(text) && text.find('.') == std::string_view::npos;
}

std::optional<HunterToken> read_hunter_token(std::string_view text) {
  static_assert(version.size() == version_with_key.size());
  bool const names_key = text.starts_with(version_with_key);
  if (!names_key && !text.starts_with(version)) return std::nullopt;
  size_t const last = text.rfind('.');
  HunterToken token;
  token.signed_text = text.substr(0, last);
  token.signature = text.substr(last + 1);
  if (token.signature.size() != SigningKey::signature_bytes || last < version.size())
    return std::nullopt;
  std::string_view rest = token.signed_text.substr(version.size());
  if (names_key) {
    token.key_id = rest.substr(0, rest.find('.'));
    if (!is_key_id(token.key_id) || token.key_id.size() == rest.size()) return std::nullopt;
    rest.remove_prefix(token.key_id.size() + 1);
  }
  // A hunter_id may contain dots, so split at the last dot.
  size_t const dot = rest.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  token.hunter_id = rest.substr(0, dot);
  std::string_view const digits = rest.substr(dot + 1);
  const char* const end = digits.data() + digits.size();
  // Reject other spellings of the same number.
  bool const leading_zero = digits.size() > 1 && digits.front() == '0';
  if (digits.empty() || digits.size() > expiry_digits_max || digits.front() == '-' ||
      leading_zero || !is_id(token.hunter_id))
    return std::nullopt;
  auto const [stopped, error] = std::from_chars(digits.data(), end, token.expires_at_s);
  if (error != std::errc() || stopped != end) return std::nullopt;
  return token;
}

void SigningKey::Free::operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }

SigningKey::SigningKey(std::string_view line) {
  size_t const space = line.find(' ');
  if (space != std::string_view::npos) id_ = line.substr(0, space);
  std::string_view const key = line.substr(space == std::string_view::npos ? 0 : space + 1);
  EVP_MAC* const hmac = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  CHECK(hmac != nullptr);
  context_.reset(EVP_MAC_CTX_new(hmac));
  EVP_MAC_free(hmac);
  char digest[] = "SHA256";
  OSSL_PARAM const parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  CHECK(context_ != nullptr &&
        EVP_MAC_init(context_.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size(),
                     parameters) == 1);
}

SigningKey::Signature SigningKey::sign(std::string_view text) const {
  unsigned char mac[mac_bytes];
  size_t size = 0;
  // A null key means: the key that the context already has.
  bool const signed_all =
      EVP_MAC_init(context_.get(), nullptr, 0, nullptr) == 1 &&
      EVP_MAC_update(context_.get(), reinterpret_cast<const unsigned char*>(text.data()),
                     text.size()) == 1 &&
      EVP_MAC_final(context_.get(), mac, &size, sizeof mac) == 1;
  CHECK(signed_all && size == mac_bytes);
  unsigned char base64[base64_bytes];
  CHECK(EVP_EncodeBlock(base64, mac, mac_bytes) == base64_bytes - 1);
  Signature signature;
  for (size_t i = 0; i < signature.size(); ++i)
    signature[i] = base64[i] == '+' ? '-' : base64[i] == '/' ? '_' : static_cast<char>(base64[i]);
  return signature;
}

std::string make_hunter_token(const SigningKey& key, std::string_view hunter_id,
                              int64_t expires_at_s) {
  std::string token = key.id().empty() ? fmt::format("{}{}.{}", version, hunter_id, expires_at_s)
                                       : fmt::format("{}{}.{}.{}", version_with_key, key.id(),
                                                     hunter_id, expires_at_s);
  SigningKey::Signature const signature = key.sign(token);
  token.push_back('.');
  token.append(signature.data(), signature.size());
  return token;
}

}  // namespace huntd
