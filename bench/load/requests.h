// Every request as bytes, built before the load begins: a send copies nothing and formats nothing
// but the digits of its key.
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

  // The bytes of connection `connection`'s `nth` request. They stay until its next call, which must
  // not come before they are sent.
  std::string_view next(uint32_t connection, uint64_t nth);

 private:
  size_t shapes_;  // requests of a connection, used in turns
  bool keys_;
  uint64_t keys_given_ = 0;
  std::vector<std::string> texts_;  // shapes_ for each connection
  std::vector<size_t> key_places_;  // where the key's digits are, beside texts_
};

}  // namespace huntd::load
