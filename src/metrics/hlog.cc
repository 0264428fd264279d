// SPDX-License-Identifier: Apache-2.0
#include "metrics/hlog.h"

#include <fmt/format.h>
#include <zlib.h>

#include <bit>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace huntd {
namespace {

// The low bits of both cookies say "word size 1": counts of any width, as LEB128.
constexpr uint32_t cookie_v2 = 0x1c849303 | 0x10;
constexpr uint32_t cookie_v2_compressed = 0x1c849304 | 0x10;

template <class Number>
void append_big_endian(std::string& into, Number number) {
  for (int shift = (sizeof number - 1) * 8; shift >= 0; shift -= 8)
    into.push_back(static_cast<char>(number >> shift));
}

// ZigZag LEB128: 7 bits per byte, low bits first; a ninth byte has 8 bits. ZigZag makes numbers
// with a small magnitude short, positive or negative.
void append_zigzag(std::string& into, int64_t number) {
  uint64_t rest = (static_cast<uint64_t>(number) << 1) ^ static_cast<uint64_t>(number >> 63);
  for (int byte = 0; byte < 8; ++byte) {
    if (rest < 0x80) {
      into.push_back(static_cast<char>(rest));
      return;
    }
    into.push_back(static_cast<char>(0x80 | (rest & 0x7f)));
    rest >>= 7;
  }
  into.push_back(static_cast<char>(rest));
}

std::string encode_counts(const std::vector<uint64_t>& counts) {
  std::string bytes;
  for (size_t i = 0; i < counts.size();) {
    size_t run_end = i;
    while (run_end < counts.size() && counts[run_end] == 0) ++run_end;
    if (run_end - i > 1) {
      append_zigzag(bytes, -static_cast<int64_t>(run_end - i));
      i = run_end;
    } else {
      append_zigzag(bytes, static_cast<int64_t>(counts[i]));
      ++i;
    }
  }
  return bytes;
}

std::string deflate_bytes(std::string_view bytes) {
  uLongf size = compressBound(bytes.size());
  std::string deflated(size, '\0');
  int const outcome =
      compress2(reinterpret_cast<Bytef*>(deflated.data()), &size,
                reinterpret_cast<const Bytef*>(bytes.data()), bytes.size(), Z_DEFAULT_COMPRESSION);
  CHECK(outcome == Z_OK);  // the buffer is as large as it can get
  deflated.resize(size);
  return deflated;
}

// RFC 4648 section 4.
std::string base64(std::string_view bytes) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    for (size_t j = 0; j < 4; ++j)
      text.push_back(i + j <= bytes.size() ? digits[group >> (18 - 6 * j) & 0x3f] : '=');
  }
  return text;
}

double seconds(int64_t ms) { return static_cast<double>(ms) / 1e3; }

}  // namespace

std::string encode_hdr_v2(const HistogramSnapshot& histogram) {
  std::string const counts = encode_counts(histogram.counts());
  std::string plain;
  append_big_endian(plain, cookie_v2);
  append_big_endian(plain, static_cast<uint32_t>(counts.size()));
  append_big_endian(plain, uint32_t{0});  // normalizing index offset
  append_big_endian(plain, uint32_t{HistogramLayout::significant_digits});
  append_big_endian(plain, HistogramLayout::lowest_ns);
  append_big_endian(plain, HistogramLayout::highest_ns);
  append_big_endian(plain, std::bit_cast<uint64_t>(1.0));  // integer to double value ratio
  plain += counts;

  std::string const deflated = deflate_bytes(plain);
  std::string payload;
  append_big_endian(payload, cookie_v2_compressed);
  append_big_endian(payload, static_cast<uint32_t>(deflated.size()));
  return payload + deflated;
}

std::string write_hlog(std::string_view logger, int64_t from_ms, int64_t to_ms,
                       const std::vector<HlogEntry>& entries) {
  std::string log = fmt::format(
      "#[Logged by {}; values in ns, Interval_Max in ms]\n"
      "#[Histogram log format version 1.3]\n"
      "#[StartTime: {:.3f} (seconds since epoch)]\n"
      "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n",
      logger, seconds(from_ms));
  for (const HlogEntry& entry : entries) {
    if (entry.values.count() == 0) continue;
    fmt::format_to(std::back_inserter(log), "Tag={},{:.3f},{:.3f},{:.3f},{}\n", entry.tag,
                   seconds(from_ms), seconds(to_ms - from_ms),
                   static_cast<double>(entry.values.max_ns()) / 1e6,
                   base64(encode_hdr_v2(entry.values)));
  }
  return log;
}

std::string write_hlog(const MetricsSnapshot& snapshot) {
  std::vector<HlogEntry> entries;
  for (const CoreSnapshot& core : snapshot.cores)
    for (size_t stage = 0; stage < stage_names.size(); ++stage)
      entries.push_back(
          {fmt::format("core{}.{}", core.core, stage_names[stage]), core.stages[stage]});
  return write_hlog("huntd " + snapshot.version, snapshot.started_at_ms, snapshot.taken_at_ms,
                    entries);
}

}  // namespace huntd
