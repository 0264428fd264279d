// SPDX-License-Identifier: Apache-2.0
// Memory that ends at an unmapped page: reading one byte past the end crashes.
#pragma once
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string_view>

namespace huntd::tests {

class GuardedBytes {
 public:
  // Room for `size_max` bytes.
  explicit GuardedBytes(size_t size_max) {
    size_t const page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    room_ = (size_max + page - 1) / page * page;
    mapped_ = room_ + page;
    void* const base =
        mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) std::abort();
    base_ = static_cast<char*>(base);
    if (mprotect(base_ + room_, page, PROT_NONE) != 0) std::abort();
  }
  ~GuardedBytes() { munmap(base_, mapped_); }
  GuardedBytes(const GuardedBytes&) = delete;
  GuardedBytes& operator=(const GuardedBytes&) = delete;

  // Copies `bytes` to the end of the memory; the view is valid until the next call. Earlier content
  // is overwritten, so that views of an earlier receive buffer are detected too.
  std::string_view place(std::string_view bytes) {
    if (bytes.size() > room_) std::abort();
    char* const at = base_ + room_ - bytes.size();
    std::memset(base_, '\xee', room_ - bytes.size());
    if (!bytes.empty()) std::memcpy(at, bytes.data(), bytes.size());
    return {at, bytes.size()};
  }

 private:
  char* base_ = nullptr;
  size_t room_ = 0;
  size_t mapped_ = 0;
};

}  // namespace huntd::tests
