// SPDX-License-Identifier: Apache-2.0
// Any counts as a histogram: the encoded histogram decodes to the same counts by the rules of the
// format (docs/formats/hlog.md).
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/check.h"
#include "metrics/hlog.h"

namespace {

constexpr size_t outer_header_bytes = 8;
constexpr size_t inner_header_bytes = 40;

uint64_t big_endian(std::string_view bytes, size_t at, size_t size) {
  uint64_t number = 0;
  for (size_t i = 0; i < size; ++i) number = number << 8 | static_cast<uint8_t>(bytes[at + i]);
  return number;
}

std::string inflated(std::string_view deflated) {
  std::string bytes(inner_header_bytes + huntd::HistogramLayout::cells * 9, '\0');
  uLongf size = bytes.size();
  CHECK(uncompress(reinterpret_cast<Bytef*>(bytes.data()), &size,
                   reinterpret_cast<const Bytef*>(deflated.data()), deflated.size()) == Z_OK);
  bytes.resize(size);
  return bytes;
}

int64_t take_zigzag(std::string_view& bytes) {
  uint64_t number = 0;
  for (int byte = 0;; ++byte) {
    CHECK(!bytes.empty());
    uint64_t const bits = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    if (byte == 8) {
      number |= bits << 56;
      break;
    }
    number |= (bits & 0x7f) << (7 * byte);
    if ((bits & 0x80) == 0) break;
  }
  return static_cast<int64_t>(number >> 1) ^ -static_cast<int64_t>(number & 1);
}

std::vector<uint64_t> decoded(std::string_view counts) {
  std::vector<uint64_t> read;
  while (!counts.empty()) {
    int64_t const number = take_zigzag(counts);
    if (number < 0)
      read.resize(read.size() + static_cast<size_t>(-number));
    else
      read.push_back(static_cast<uint64_t>(number));
    CHECK(read.size() <= huntd::HistogramLayout::cells);
  }
  return read;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A step of two bytes to the next cell, and its count: one byte, whose low bits say how far it is
  // shifted.
  std::vector<uint64_t> counts;
  for (size_t at = 0; at + 3 <= size; at += 3) {
    size_t const cell = counts.size() + (data[at] | (data[at + 1] & 0x0f) << 8);
    if (cell >= huntd::HistogramLayout::cells) break;
    counts.resize(cell + 1);
    counts[cell] = static_cast<uint64_t>(data[at + 2] | 1) << (data[at + 1] >> 4) * 3;
  }
  huntd::HistogramSnapshot const histogram(counts, size);
  std::string const written = huntd::encode_hdr_v2(histogram);
  CHECK(written.size() > outer_header_bytes);
  CHECK(big_endian(written, 0, 4) == 0x1c849314);
  CHECK(big_endian(written, 4, 4) == written.size() - outer_header_bytes);
  std::string const inner = inflated(std::string_view(written).substr(outer_header_bytes));
  CHECK(big_endian(inner, 0, 4) == 0x1c849313);
  CHECK(big_endian(inner, 4, 4) == inner.size() - inner_header_bytes);
  CHECK(decoded(std::string_view(inner).substr(inner_header_bytes)) == histogram.counts());
  return 0;
}
