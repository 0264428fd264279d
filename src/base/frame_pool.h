// Coroutine frames come from here: freed frames are kept by size and given out again, so that a
// steady load touches the heap only while it grows. One thread per process runs coroutines, so
// nothing is locked.
#pragma once
#include <array>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace huntd {

class FramePool {
 public:
  // Memory for a frame of `size_bytes`; never null (out of memory ends the process).
  static void* allocate(size_t size_bytes) {
    if (!pooled) return ::operator new(size_bytes);
    size_t const shelf = shelf_of(size_bytes);
    if (shelf >= shelves_max) return ::operator new(size_bytes);
    Free*& top = shelves()[shelf];
    if (top == nullptr) return ::operator new((shelf + 1) * shelf_step_bytes);
    Free* taken = top;
    top = taken->next;
    return taken;
  }
  static void release(void* frame, size_t size_bytes) noexcept {
    if (!pooled) return ::operator delete(frame);
    size_t const shelf = shelf_of(size_bytes);
    if (shelf >= shelves_max) {
      ::operator delete(frame);
      return;
    }
    Free*& top = shelves()[shelf];
    top = new (frame) Free{top};
  }

 private:
  struct Free {
    Free* next;
  };
  // AddressSanitizer sees a frame that is used after its end only where it is given back to the
  // heap.
#ifdef __SANITIZE_ADDRESS__
  static constexpr bool pooled = false;
#else
  static constexpr bool pooled = true;
#endif
  static constexpr size_t shelf_step_bytes = 256;
  static constexpr size_t shelves_max = 32;  // frames up to 8 KiB
  static size_t shelf_of(size_t size_bytes) { return (size_bytes - 1) / shelf_step_bytes; }
  static std::array<Free*, shelves_max>& shelves() {
    static std::array<Free*, shelves_max> all{};
    return all;
  }
};

}  // namespace huntd
