// Memory for what lives as long as a request: coroutine frames, and its texts, lists and queues.
// What is given back is kept by size and given out again, so that a steady load asks the heap for
// nothing. Each thread has shelves of its own, so nothing is locked.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace huntd {

namespace pool_detail {
// Pieces come in four sizes for each doubling: 64, 80, 96, 112, 128, 160 ... bytes. shelf_of is the
// shelf of the smallest that holds so many.
inline constexpr size_t smallest_bytes = 64;
constexpr size_t shelf_of(size_t size_bytes) {
  if (size_bytes <= smallest_bytes) return 0;
  size_t const last = size_bytes - 1;
  size_t const doubling = static_cast<size_t>(std::bit_width(last)) - 1;  // 6 from 64 on
  return 4 * (doubling - 6) + ((last >> (doubling - 2)) & 3) + 1;
}
constexpr size_t piece_bytes(size_t shelf) {
  if (shelf == 0) return smallest_bytes;
  return (4 + (shelf - 1) % 4 + 1) << ((shelf - 1) / 4 + 4);
}
inline constexpr size_t shelves = shelf_of(limits::pool_piece_bytes_max) + 1;
static_assert(piece_bytes(shelves - 1) == limits::pool_piece_bytes_max);
}  // namespace pool_detail

class Pool {
 public:
  // Memory for `size_bytes`; never null (out of memory ends the process).
  static void* allocate(size_t size_bytes) {
    if (!pooled || size_bytes > limits::pool_piece_bytes_max) return ::operator new(size_bytes);
    size_t const at = pool_detail::shelf_of(size_bytes);
    Shelf& shelf = shelves()[at];
    if (shelf.top == nullptr) return ::operator new(pool_detail::piece_bytes(at));
    Piece* taken = shelf.top;
    shelf.top = taken->next;
    shelf.kept_bytes -= pool_detail::piece_bytes(at);
    return taken;
  }
  // `size_bytes` as it was asked for.
  static void release(void* piece, size_t size_bytes) noexcept {
    if (!pooled || size_bytes > limits::pool_piece_bytes_max) return ::operator delete(piece);
    size_t const at = pool_detail::shelf_of(size_bytes);
    Shelf& shelf = shelves()[at];
    if (shelf.kept_bytes >= limits::pool_shelf_bytes_max) return ::operator delete(piece);
    shelf.top = new (piece) Piece{shelf.top};
    shelf.kept_bytes += pool_detail::piece_bytes(at);
  }

 private:
  struct Piece {
    Piece* next;
  };
  struct Shelf {
    Piece* top = nullptr;
    size_t kept_bytes = 0;
  };
  // AddressSanitizer sees what is used after its end only where it is given back to the heap.
#ifdef HUNTD_ADDRESS_SANITIZER
  static constexpr bool pooled = false;
#else
  static constexpr bool pooled = true;
#endif
  using Shelves = std::array<Shelf, pool_detail::shelves>;
  static Shelves& shelves() {
    static constinit thread_local Shelves all{};
    return all;
  }
};

// Lets the standard containers take their memory from the pool.
template <class T>
struct PoolAllocator {
  using value_type = T;
  PoolAllocator() = default;
  template <class U>
  PoolAllocator(const PoolAllocator<U>&) {}
  // A T that is a pointer is meant. NOLINTBEGIN(bugprone-sizeof-expression)
  T* allocate(size_t count) { return static_cast<T*>(Pool::allocate(count * sizeof(T))); }
  void deallocate(T* memory, size_t count) noexcept { Pool::release(memory, count * sizeof(T)); }
  // NOLINTEND(bugprone-sizeof-expression)
  friend bool operator==(const PoolAllocator&, const PoolAllocator&) { return true; }
};

using Text = std::basic_string<char, std::char_traits<char>, PoolAllocator<char>>;
template <class T>
using List = std::vector<T, PoolAllocator<T>>;
template <class T>
using Queue = std::deque<T, PoolAllocator<T>>;

// Hashes for the tables below: the standard library has none for a Text.
template <class Key>
struct TableHash : std::hash<Key> {};
template <>
struct TableHash<Text> : std::hash<std::string_view> {};
template <class Key, class Value>
using Table = std::unordered_map<Key, Value, TableHash<Key>, std::equal_to<>,
                                 PoolAllocator<std::pair<const Key, Value>>>;
template <class Key>
using Set = std::unordered_set<Key, TableHash<Key>, std::equal_to<>, PoolAllocator<Key>>;

}  // namespace huntd
