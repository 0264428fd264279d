// SPDX-License-Identifier: Apache-2.0
// Writes and reads the compact binary records that reconcile keeps on disk while it runs. No other
// program reads them, so numbers are in the byte order of the machine.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "base/check.h"

namespace huntd::reconcile {

// Appends `number` in base 128, the least significant 7 bits first; one byte if it is below 128.
inline void append_varint(std::string& into, uint64_t number) {
  for (; number >= 0x80; number >>= 7) into.push_back(static_cast<char>(number | 0x80));
  into.push_back(static_cast<char>(number));
}

class RecordWriter {
 public:
  RecordWriter& byte(uint8_t value) {
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  RecordWriter& fixed(uint64_t value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  RecordWriter& number(uint64_t value) {
    append_varint(bytes_, value);
    return *this;
  }
  RecordWriter& text(std::string_view value) {
    append_varint(bytes_, value.size());
    bytes_.append(value);
    return *this;
  }
  std::string_view bytes() const { return bytes_; }
  void clear() { bytes_.clear(); }

 private:
  std::string bytes_;
};

// Reads in the order in which the record was written. CHECKs that the record is long enough: only
// RecordWriter writes it.
class RecordReader {
 public:
  explicit RecordReader(std::string_view bytes) : bytes_(bytes) {}

  uint8_t byte() { return static_cast<uint8_t>(take(1)[0]); }
  uint64_t fixed() {
    uint64_t value = 0;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  uint64_t number() {
    uint64_t value = 0;
    for (uint32_t shift = 0;; shift += 7) {
      uint8_t const next = byte();
      value |= static_cast<uint64_t>(next & 0x7f) << shift;
      if (next < 0x80) return value;
      CHECK(shift < 63);
    }
  }
  // The view is of the record.
  std::string_view text() { return take(number()); }

 private:
  std::string_view take(uint64_t size) {
    CHECK(size <= bytes_.size());
    std::string_view const taken = bytes_.substr(0, size);
    bytes_.remove_prefix(size);
    return taken;
  }

  std::string_view bytes_;
};

}  // namespace huntd::reconcile
