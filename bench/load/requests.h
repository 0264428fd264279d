// SPDX-License-Identifier: Apache-2.0
// All requests as bytes, built before the load starts: a send copies nothing, and formats only the
// digits of its idempotency key.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "options.h"

namespace huntd::load {

class Requests {
 public:
  explicit Requests(const Options& options);

  // The bytes of the `nth` request of a connection. Valid until the next call for the same
  // connection.
  std::string_view next(uint32_t connection, uint64_t nth);
  // The same bytes once more, with the same key. REQUIRES: next() with these was the last call for
  // this connection.
  std::string_view again(uint32_t connection, uint64_t nth) const;

 private:
  size_t shapes_;  // different requests per connection, which alternate
  bool keys_;
  uint64_t keys_used_ = 0;
  std::vector<std::string> texts_;   // shapes_ for each connection
  std::vector<size_t> key_offsets_;  // of the key's digits, by index in texts_
};

}  // namespace huntd::load
