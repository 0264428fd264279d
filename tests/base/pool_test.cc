#include "base/pool.h"

#include <doctest/doctest.h>

#include <cstring>

#include "base/format_text.h"

using namespace huntd;
using namespace huntd::pool_detail;

TEST_CASE("a piece is as large as was asked for, and no more than a quarter larger") {
  for (size_t size = 1; size <= limits::pool_piece_bytes_max; ++size) {
    size_t const shelf = shelf_of(size);
    REQUIRE(shelf < shelves);
    REQUIRE(piece_bytes(shelf) >= size);
    if (size > smallest_bytes) REQUIRE(4 * piece_bytes(shelf) <= 5 * size + 4);
    // The smallest that holds it.
    if (shelf > 0) REQUIRE(piece_bytes(shelf - 1) < size);
  }
}

#ifndef HUNTD_ADDRESS_SANITIZER  // there the heap gets every piece back
TEST_CASE("what is given back is given out again, to whoever asks for about as much") {
  void* const first = Pool::allocate(1000);
  Pool::release(first, 1000);
  void* const second = Pool::allocate(900);
  CHECK(second == first);
  Pool::release(second, 900);
}
#endif

TEST_CASE("pieces given out at the same time do not overlap, whatever their sizes") {
  struct Given {
    char* memory;
    size_t size;
    char mark;
  };
  std::vector<Given> given;
  char mark = 0;
  for (int round = 0; round < 3; ++round) {
    for (size_t size : {1, 64, 65, 80, 200, 1000, 5000, 65'536, 65'537, 1'000'000}) {
      given.push_back({static_cast<char*>(Pool::allocate(size)), size, ++mark});
      std::memset(given.back().memory, mark, size);
    }
    for (const Given& each : given) {
      CHECK(each.memory[0] == each.mark);
      CHECK(each.memory[each.size - 1] == each.mark);
      Pool::release(each.memory, each.size);
    }
    given.clear();
  }
}

TEST_CASE("a Text is made by format, found by a view, and compared as any string") {
  Text const text = format_text("{}:{}", std::string_view("hunter"), 7);
  CHECK(text == "hunter:7");
  CHECK(TableHash<Text>()(text) == TableHash<Text>()("hunter:7"));
  CHECK(format_text("<{}>", text) == "<hunter:7>");
}
