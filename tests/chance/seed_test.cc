// SPDX-License-Identifier: Apache-2.0
#include "chance/seed.h"

#include <doctest/doctest.h>

#include <optional>
#include <set>
#include <string>

using namespace huntd;

namespace {

const std::string secret = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

}  // namespace

TEST_CASE("the seed is SipHash-2-4-128 of the request, as another program computes it") {
  // Computed by a second implementation, which gives the vectors of the SipHash authors. The key is
  // the first 16 bytes of SHA-256("huntd seed 1\n" + secret), the text is HUNTER:HUNT:KEY, and both
  // words are little endian. Other numbers here mean that old runs can't be repeated.
  SeedKey const key(secret);
  CHECK(key.seed("ann", "gold", "k") == SeedKey::Seed{0x76b7877d9d604dc1, 0x014c753f0c45888b});
  CHECK(key.seed("mallory", "goblin-hoard", "887") ==
        SeedKey::Seed{0xdebf7c4c672ce4d9, 0x224d216c4f10caab});
  CHECK(key.seed(std::string(64, 'a'), std::string(64, 'b'), std::string(128, 'c')) ==
        SeedKey::Seed{0x8bb6e4d79894dbf1, 0xbb9a383530978f93});
}

TEST_CASE("the same request has the same seed: after other requests, and on another host") {
  SeedKey const one(secret);
  SeedKey const other(secret);
  for (int i = 0; i < 100; ++i) {
    std::string const key = std::to_string(i);
    SeedKey::Seed const first = one.seed("ann", "gold", key);
    CHECK(one.seed("bob", "gold", key) != first);
    CHECK(one.seed("ann", "gold", key) == first);
    CHECK(other.seed("ann", "gold", key) == first);
  }
}

TEST_CASE("hunter, hunt, key and secret each change the seed, and so does where one ends") {
  SeedKey const key(secret);
  std::set<SeedKey::Seed> seeds;
  seeds.insert(key.seed("ann", "gold", "k"));
  seeds.insert(key.seed("bob", "gold", "k"));
  seeds.insert(key.seed("ann", "pair", "k"));
  seeds.insert(key.seed("ann", "gold", "l"));
  seeds.insert(key.seed("ann", "gold", ""));
  seeds.insert(key.seed("ann", "gold", "k:x"));
  seeds.insert(key.seed("ann", "goldk", ""));
  seeds.insert(key.seed("anng", "old", "k"));
  seeds.insert(key.seed("a", "nngold", "k"));
  seeds.insert(key.seed("gold", "ann", "k"));
  seeds.insert(SeedKey("").seed("ann", "gold", "k"));
  seeds.insert(SeedKey(secret + "\n").seed("ann", "gold", "k"));
  CHECK(seeds.size() == 12);
}

TEST_CASE("a new secret replaces the former one in place") {
  std::optional<SeedKey> key;
  key.emplace(secret);
  SeedKey::Seed const before = key->seed("ann", "gold", "k");
  key.emplace("another secret of enough letters");
  CHECK(key->seed("ann", "gold", "k") != before);
  key.emplace(secret);
  CHECK(key->seed("ann", "gold", "k") == before);
}
