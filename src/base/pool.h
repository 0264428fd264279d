// SPDX-License-Identifier: Apache-2.0
// A memory pool for objects that live as long as a request: coroutine frames, strings, vectors and
// queues. Released blocks are kept in free lists by size and reused, so that a steady load does not
// use the heap. Each thread has its own free lists; nothing is locked.
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
// Size classes: four per doubling, 64, 80, 96, 112, 128, 160 ... bytes. size_class_of returns the
// smallest class that holds `size_bytes`.
inline constexpr size_t smallest_bytes = 64;
constexpr size_t size_class_of(size_t size_bytes) {
  if (size_bytes <= smallest_bytes) return 0;
  size_t const last = size_bytes - 1;
  size_t const doubling = static_cast<size_t>(std::bit_width(last)) - 1;  // 6 from 64 on
  return 4 * (doubling - 6) + ((last >> (doubling - 2)) & 3) + 1;
}
constexpr size_t block_bytes(size_t size_class) {
  if (size_class == 0) return smallest_bytes;
  return (4 + (size_class - 1) % 4 + 1) << ((size_class - 1) / 4 + 4);
}
inline constexpr size_t size_classes = size_class_of(limits::pool_block_bytes_max) + 1;
static_assert(block_bytes(size_classes - 1) == limits::pool_block_bytes_max);
}  // namespace pool_detail

class Pool {
 public:
  // Returns memory for `size_bytes`, never null: if there is none, the process ends.
  static void* allocate(size_t size_bytes) {
    if (!pooled || size_bytes > limits::pool_block_bytes_max) return ::operator new(size_bytes);
    size_t const at = pool_detail::size_class_of(size_bytes);
    FreeList& free_list = free_lists()[at];
    if (free_list.top == nullptr) return ::operator new(pool_detail::block_bytes(at));
    Block* taken = free_list.top;
    free_list.top = taken->next;
    free_list.kept_bytes -= pool_detail::block_bytes(at);
    return taken;
  }
  // REQUIRES: `size_bytes` as passed to allocate().
  static void release(void* block, size_t size_bytes) noexcept {
    if (!pooled || size_bytes > limits::pool_block_bytes_max) return ::operator delete(block);
    size_t const at = pool_detail::size_class_of(size_bytes);
    FreeList& free_list = free_lists()[at];
    if (free_list.kept_bytes >= limits::pool_free_list_bytes_max) return ::operator delete(block);
    free_list.top = new (block) Block{free_list.top};
    free_list.kept_bytes += pool_detail::block_bytes(at);
  }

 private:
  struct Block {
    Block* next;
  };
  struct FreeList {
    Block* top = nullptr;
    size_t kept_bytes = 0;
  };
  // AddressSanitizer detects use after release only if memory goes back to the heap.
#ifdef HUNTD_ADDRESS_SANITIZER
  static constexpr bool pooled = false;
#else
  static constexpr bool pooled = true;
#endif
  using FreeLists = std::array<FreeList, pool_detail::size_classes>;
  static FreeLists& free_lists() {
    static constinit thread_local FreeLists all{};
    return all;
  }
};

// The pool as an allocator for standard containers.
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

using PoolString = std::basic_string<char, std::char_traits<char>, PoolAllocator<char>>;
template <class T>
using PoolVector = std::vector<T, PoolAllocator<T>>;
template <class T>
using PoolDeque = std::deque<T, PoolAllocator<T>>;

// Hash for PoolMap and PoolSet; the standard library has none for PoolString.
template <class Key>
struct PoolHash : std::hash<Key> {};
template <>
struct PoolHash<PoolString> : std::hash<std::string_view> {};
template <class Key, class Value>
using PoolMap = std::unordered_map<Key, Value, PoolHash<Key>, std::equal_to<>,
                                   PoolAllocator<std::pair<const Key, Value>>>;
template <class Key>
using PoolSet = std::unordered_set<Key, PoolHash<Key>, std::equal_to<>, PoolAllocator<Key>>;

}  // namespace huntd
