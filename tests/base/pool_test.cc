// SPDX-License-Identifier: Apache-2.0
#include "base/pool.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/format_text.h"

using namespace huntd;
using namespace huntd::pool_detail;

TEST_CASE("a block is at least as large as requested and at most a quarter larger") {
  for (size_t size = 1; size <= limits::pool_block_bytes_max; ++size) {
    size_t const size_class = size_class_of(size);
    REQUIRE(size_class < size_classes);
    REQUIRE(block_bytes(size_class) >= size);
    if (size > smallest_bytes) REQUIRE(4 * block_bytes(size_class) <= 5 * size + 4);
    // It is the smallest class that fits.
    if (size_class > 0) REQUIRE(block_bytes(size_class - 1) < size);
  }
}

#ifndef HUNTD_ADDRESS_SANITIZER  // with it, every block goes back to the heap
TEST_CASE("a released block is reused for a request of a similar size") {
  void* const first = Pool::allocate(1000);
  Pool::release(first, 1000);
  void* const second = Pool::allocate(900);
  CHECK(second == first);
  Pool::release(second, 900);
}
#endif

TEST_CASE("blocks in use do not overlap") {
  struct Block {
    char* memory;
    size_t size;
    char fill;
  };
  std::vector<Block> blocks;
  char fill = 0;
  for (int round = 0; round < 3; ++round) {
    for (size_t size : {1, 64, 65, 80, 200, 1000, 5000, 65'536, 65'537, 1'000'000}) {
      blocks.push_back({static_cast<char*>(Pool::allocate(size)), size, ++fill});
      std::memset(blocks.back().memory, fill, size);
    }
    for (const Block& each : blocks) {
      CHECK(each.memory[0] == each.fill);
      CHECK(each.memory[each.size - 1] == each.fill);
      Pool::release(each.memory, each.size);
    }
    blocks.clear();
  }
}

TEST_CASE("a PoolString can be formatted, hashed by a view and compared") {
  PoolString const text = format_text("{}:{}", std::string_view("hunter"), 7);
  CHECK(text == "hunter:7");
  CHECK(PoolHash<PoolString>()(text) == PoolHash<PoolString>()("hunter:7"));
  CHECK(format_text("<{}>", text) == "<hunter:7>");
}
