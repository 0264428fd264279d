// SPDX-License-Identifier: Apache-2.0
// Seeds of hunt.random(): a keyed hash of the request, so that who does not have the key can't
// compute what a request draws (decision 28).
#pragma once
#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

namespace huntd {

class SeedKey {
 public:
  using Seed = std::array<uint64_t, 2>;

  // `secret` may have any length and any bytes.
  explicit SeedKey(std::string_view secret);
  // The seed of a run: the same for the same request on every host. `key` is the request's
  // Idempotency-Key or its request_id. Takes no memory from the heap.
  Seed seed(std::string_view hunter_id, std::string_view hunt_id, std::string_view key) const;

 private:
  struct Free {
    void operator()(EVP_MAC_CTX* context) const;
  };
  std::array<unsigned char, 16> key_{};
  std::unique_ptr<EVP_MAC_CTX, Free> context_;
};

}  // namespace huntd
