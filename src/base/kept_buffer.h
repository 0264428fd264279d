// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstddef>
#include <string>

namespace huntd {

// What an idle connection keeps of each of its buffers: usual requests and responses fit, and cost no
// allocation.
inline constexpr size_t kept_buffer_bytes_max = 4096;

// Frees the memory of an empty buffer that has more than kept_buffer_bytes_max. Does nothing if it
// is not empty.
inline void give_back(std::string& buffer) {
  if (buffer.empty() && buffer.capacity() > kept_buffer_bytes_max) std::string().swap(buffer);
}

}  // namespace huntd
