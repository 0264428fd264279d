// SPDX-License-Identifier: Apache-2.0
// A text in shared memory that one process writes and others read.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>
#include <string_view>

namespace huntd {

// A seqlock (Boehm, MSPC 2012): the version is odd while the text changes, and readers retry.
// Zeroed memory is the empty text. A text has no zero bytes.
template <size_t bytes_max>
class SharedText {
 public:
  // Longer text is cut.
  void set(std::string_view text);
  std::string get() const;

 private:
  static_assert(bytes_max % sizeof(uint64_t) == 0);

  uint64_t version_;
  uint64_t words_[bytes_max / sizeof(uint64_t)];  // zero bytes after the text
};
using SharedName = SharedText<32>;

template <size_t bytes_max>
void SharedText<bytes_max>::set(std::string_view text) {
  uint64_t words[sizeof words_ / sizeof words_[0]] = {};
  std::memcpy(words, text.data(), std::min(text.size(), bytes_max));
  uint64_t const version = __atomic_load_n(&version_, __ATOMIC_RELAXED);
  __atomic_store_n(&version_, version | 1, __ATOMIC_RELAXED);
  __atomic_thread_fence(__ATOMIC_RELEASE);
  for (size_t i = 0; i < std::size(words); ++i)
    __atomic_store_n(&words_[i], words[i], __ATOMIC_RELAXED);
  __atomic_store_n(&version_, (version | 1) + 1, __ATOMIC_RELEASE);
}

template <size_t bytes_max>
std::string SharedText<bytes_max>::get() const {
  // A writer that died in set() leaves an odd version until the next set(): stop after some tries.
  constexpr int tries_max = 1000;
  uint64_t words[sizeof words_ / sizeof words_[0]];
  for (int tries = 0; tries < tries_max; ++tries) {
    uint64_t const before = __atomic_load_n(&version_, __ATOMIC_ACQUIRE);
    for (size_t i = 0; i < std::size(words); ++i)
      words[i] = __atomic_load_n(&words_[i], __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (before % 2 == 0 && __atomic_load_n(&version_, __ATOMIC_RELAXED) == before) {
      const char* const text = reinterpret_cast<const char*>(words);
      return std::string(text, strnlen(text, bytes_max));
    }
  }
  return "";
}

}  // namespace huntd
