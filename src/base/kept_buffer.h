// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <string>

#include "base/limits.h"

namespace huntd {

// Frees what an empty buffer of an idle connection has beyond limits::connection_kept_bytes_max. Does
// nothing if it is not empty.
inline void give_back(std::string& buffer) {
  if (buffer.empty() && buffer.capacity() > limits::connection_kept_bytes_max)
    std::string().swap(buffer);
}

}  // namespace huntd
