// SPDX-License-Identifier: Apache-2.0
// The allocator alone: random operations against a model, and its images.
#include <doctest/doctest.h>

#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

extern "C" {
#include "worker/arena.h"
}

namespace {

constexpr size_t range_bytes = 8 * 1024 * 1024;

struct Block {
  char* at;
  size_t bytes;
  char fill;
};

void check_fill(const Block& block) {
  for (size_t i = 0; i < block.bytes; i += block.bytes / 7 + 1) REQUIRE(block.at[i] == block.fill);
  REQUIRE(block.at[block.bytes - 1] == block.fill);
}

// One random operation. Blocks are filled, so that an overlap is noticed.
void work(std::mt19937& random, std::vector<Block>& blocks, size_t& failed) {
  auto const size = [&]() -> size_t {
    switch (random() % 4) {
      case 0:
        return 1 + random() % 64;
      case 1:
        return 1 + random() % 600;
      case 2:
        return 1 + random() % 10'000;
      default:
        return random() % 50 == 0 ? 1 + random() % 900'000 : 1 + random() % 2000;
    }
  };
  char const fill = static_cast<char>(random());
  if (blocks.empty() || random() % 5 < 2) {
    size_t const bytes = size();
    auto* at = static_cast<char*>(arena_alloc(nullptr, nullptr, 0, bytes));
    if (at == nullptr) {
      ++failed;
      return;
    }
    REQUIRE(reinterpret_cast<uintptr_t>(at) % 16 == 0);
    std::memset(at, fill, bytes);
    blocks.push_back({at, bytes, fill});
    return;
  }
  size_t const which = random() % blocks.size();
  Block& block = blocks[which];
  check_fill(block);
  if (random() % 3 != 0) {
    arena_alloc(nullptr, block.at, block.bytes, 0);
    block = blocks.back();
    blocks.pop_back();
    return;
  }
  size_t const bytes = size();
  auto* at = static_cast<char*>(arena_alloc(nullptr, block.at, block.bytes, bytes));
  if (at == nullptr) {
    REQUIRE(bytes > block.bytes);  // shrinking never fails
    ++failed;
    return;
  }
  for (size_t i = 0; i < std::min(bytes, block.bytes); ++i) REQUIRE(at[i] == block.fill);
  std::memset(at, fill, bytes);
  block = {at, bytes, fill};
}

}  // namespace

TEST_CASE("100,000 random allocations, resizes and frees do not overlap") {
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    std::mt19937 random(seed);
    REQUIRE(arena_open(range_bytes) == 1);
    std::vector<Block> blocks;
    size_t failed = 0;
    for (int step = 0; step < 100'000; ++step) work(random, blocks, failed);
    for (const Block& block : blocks) check_fill(block);
    while (!blocks.empty()) {
      arena_alloc(nullptr, blocks.back().at, blocks.back().bytes, 0);
      blocks.pop_back();
    }
    // All free memory is merged again, except the regions of small blocks.
    void* const half = arena_alloc(nullptr, nullptr, 0, range_bytes / 2);
    CHECK(half != nullptr);
  }
}

TEST_CASE("an allocation larger than the range fails and loses no memory") {
  REQUIRE(arena_open(range_bytes) == 1);
  CHECK(arena_alloc(nullptr, nullptr, 0, range_bytes) == nullptr);
  CHECK(arena_alloc(nullptr, nullptr, 0, SIZE_MAX - 8) == nullptr);
  void* const block = arena_alloc(nullptr, nullptr, 0, range_bytes / 2);
  REQUIRE(block != nullptr);
  CHECK(arena_alloc(nullptr, block, range_bytes / 2, range_bytes * 2) == nullptr);
  CHECK(arena_alloc(nullptr, block, range_bytes / 2, range_bytes / 4 * 3) == block);
}

TEST_CASE("an image restores every byte, with the allocator's own state") {
  std::mt19937 random(7);
  REQUIRE(arena_open(range_bytes) == 1);
  std::vector<Block> blocks;
  size_t failed = 0;
  for (int step = 0; step < 2000; ++step) work(random, blocks, failed);
  arena_begin()->root = blocks.front().at;
  std::string const image(ARENA_BASE, arena_image_bytes());
  std::vector<Block> const before = blocks;
  for (int round = 0; round < 3; ++round) {
    std::mt19937 same(9);
    for (int step = 0; step < 5000; ++step) work(same, blocks, failed);
    arena_trim(image.size());
    REQUIRE(arena_restore(image.data(), image.size()) == 1);
    CHECK(std::memcmp(ARENA_BASE, image.data(), image.size()) == 0);
    CHECK(arena_begin()->root == before.front().at);
    blocks = before;
    for (const Block& block : blocks) check_fill(block);
  }
}

TEST_CASE("an image that is not of this program is rejected and changes nothing") {
  REQUIRE(arena_open(range_bytes) == 1);
  void* const block = arena_alloc(nullptr, nullptr, 0, 1000);
  REQUIRE(block != nullptr);
  std::string image(ARENA_BASE, arena_image_bytes());
  CHECK(arena_restore(image.data(), 16) == 0);
  CHECK(arena_restore(image.data(), image.size() - 16) == 0);
  image[offsetof(arena_head, build)] ^= 1;
  CHECK(arena_restore(image.data(), image.size()) == 0);
  image[offsetof(arena_head, build)] ^= 1;
  CHECK(arena_restore(image.data(), image.size()) == 1);
}
