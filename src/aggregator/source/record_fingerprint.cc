// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/record_fingerprint.h"

#include <fmt/format.h>

#include <charconv>

#include "base/hash.h"

namespace huntd::aggregator {
namespace {

constexpr std::string_view version = "huntd1 ";
constexpr size_t hash_digits = 16;

// Removes a number that ends with a space from the front of `text`.
bool take_number(std::string_view& text, int64_t& number) {
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end == text.data() + text.size() || *end != ' ') return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()) + 1);
  return true;
}

}  // namespace

RecordFingerprint fingerprint_of(int64_t offset, int64_t timestamp_ms, std::string_view key,
                                 std::string_view payload) {
  // Two hashes, so that no byte can move between key and payload unnoticed.
  return {offset, timestamp_ms, hash64(payload) ^ (hash64(key) * 31)};
}

std::string fingerprint_text(const RecordFingerprint& fingerprint) {
  return fmt::format("{}{} {} {:016x}", version, fingerprint.offset, fingerprint.timestamp_ms,
                     fingerprint.hash);
}

std::optional<RecordFingerprint> parse_fingerprint(std::string_view text) {
  if (!text.starts_with(version)) return std::nullopt;
  text.remove_prefix(version.size());
  RecordFingerprint found;
  if (!take_number(text, found.offset) || !take_number(text, found.timestamp_ms))
    return std::nullopt;
  if (found.offset < 0 || text.size() != hash_digits) return std::nullopt;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), found.hash, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return found;
}

}  // namespace huntd::aggregator
