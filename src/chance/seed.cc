// SPDX-License-Identifier: Apache-2.0
#include "chance/seed.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <string>

#include "base/check.h"

namespace huntd {
namespace {

// The first bytes of what is hashed: a key for another purpose would have others.
constexpr std::string_view purpose = "huntd seed 1\n";

constexpr size_t digest_bytes = 32;

}  // namespace

void SeedKey::Free::operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }

SeedKey::SeedKey(std::string_view secret) {
  std::string const text = std::string(purpose).append(secret);
  unsigned char digest[digest_bytes];
  CHECK(EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr) == 1);
  std::copy_n(digest, key_.size(), key_.begin());

  EVP_MAC* const siphash = EVP_MAC_fetch(nullptr, "SIPHASH", nullptr);
  CHECK(siphash != nullptr);
  context_.reset(EVP_MAC_CTX_new(siphash));
  EVP_MAC_free(siphash);
  size_t size = sizeof(Seed);
  OSSL_PARAM const parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                   OSSL_PARAM_construct_end()};
  CHECK(context_ != nullptr &&
        EVP_MAC_init(context_.get(), key_.data(), key_.size(), parameters) == 1);
}

SeedKey::Seed SeedKey::seed(std::string_view hunter_id, std::string_view hunt_id,
                            std::string_view key) const {
  EVP_MAC_CTX* const context = context_.get();
  auto const add = [context](std::string_view text) {
    return EVP_MAC_update(context, reinterpret_cast<const unsigned char*>(text.data()),
                          text.size()) == 1;
  };
  Seed seed{};
  size_t size = 0;
  // With the key each time: without one, OpenSSL 3.0 does not start again. Ids contain no colon, so
  // two requests never have the same text.
  bool const hashed = EVP_MAC_init(context, key_.data(), key_.size(), nullptr) == 1 &&
                      add(hunter_id) && add(":") && add(hunt_id) && add(":") && add(key) &&
                      EVP_MAC_final(context, reinterpret_cast<unsigned char*>(seed.data()), &size,
                                    sizeof seed) == 1;
  CHECK(hashed && size == sizeof seed);
  return seed;
}

}  // namespace huntd
