// SPDX-License-Identifier: Apache-2.0
// The encoding of messages between the processes of one huntd: native numbers, and texts preceded
// by their length. Sender and receiver are the same binary on the same host.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"

namespace huntd {

template <class String>
class WireWriter {
 public:
  explicit WireWriter(String& into) : into_(into) {}
  template <class T>
  void number(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    into_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(static_cast<uint32_t>(value.size()));
    into_.append(value);
  }

 private:
  String& into_;
};

// Reads what a WireWriter wrote. Malformed input is a violated invariant: it fails a CHECK.
class WireReader {
 public:
  explicit WireReader(std::string_view from) : from_(from) {}
  template <class T>
  T number() {
    T value;
    CHECK(from_.size() >= sizeof value);
    std::memcpy(&value, from_.data(), sizeof value);
    from_.remove_prefix(sizeof value);
    return value;
  }
  std::string_view text() {
    uint32_t const length = number<uint32_t>();
    CHECK(from_.size() >= length);
    std::string_view const value = from_.substr(0, length);
    from_.remove_prefix(length);
    return value;
  }

 private:
  std::string_view from_;
};

}  // namespace huntd
