// SPDX-License-Identifier: Apache-2.0
#include "wire/seq_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "base/check.h"
#include "base/utf8.h"

namespace huntd {

SeqSet::Insert SeqSet::insert(uint64_t seq) {
  CHECK(seq >= 1 && seq <= limits::seq_max);
  if (seq <= upto_) return Insert::duplicate;
  // The first range that ends at seq - 1 or later: the only range that can contain or follow `seq`.
  auto at = std::lower_bound(beyond_.begin(), beyond_.end(), seq,
                             [](const SeqRange& range, uint64_t s) { return range.last + 1 < s; });
  if (at != beyond_.end() && at->first <= seq && seq <= at->last) return Insert::duplicate;
  if (seq == upto_ + 1) {
    upto_ = seq;
    if (at != beyond_.end() && at->first == seq + 1) {
      upto_ = at->last;
      beyond_.erase(at);
    }
    return Insert::added;
  }
  if (at != beyond_.end() && at->last + 1 == seq) {
    at->last = seq;
    auto next = at + 1;
    if (next != beyond_.end() && next->first == seq + 1) {
      at->last = next->last;
      beyond_.erase(next);
    }
    return Insert::added;
  }
  if (at != beyond_.end() && at->first == seq + 1) {
    at->first = seq;
    return Insert::added;
  }
  if (full()) return Insert::no_room;
  beyond_.insert(at, SeqRange{seq, seq});
  return Insert::added;
}

bool SeqSet::contains(uint64_t seq) const {
  if (seq <= upto_) return seq != 0;
  auto at = std::lower_bound(beyond_.begin(), beyond_.end(), seq,
                             [](const SeqRange& range, uint64_t s) { return range.last < s; });
  return at != beyond_.end() && at->first <= seq;
}

uint64_t SeqSet::count() const {
  uint64_t total = upto_;
  for (const SeqRange& range : beyond_) total += range.last - range.first + 1;
  return total;
}

std::vector<SeqRange> SeqSet::holes() const {
  std::vector<SeqRange> found;
  uint64_t before = upto_;
  for (const SeqRange& range : beyond_) {
    found.push_back({before + 1, range.first - 1});
    before = range.last;
  }
  return found;
}

SeqSet SeqSet::unbounded() const {
  SeqSet copy = *this;
  copy.ranges_max_ = SIZE_MAX;
  return copy;
}

namespace {

void append_range(std::string& text, uint64_t first, uint64_t last) {
  if (text.size() > 1) text.push_back(',');
  fmt::format_to(std::back_inserter(text), "[{},{})", first, last + 1);
}

// Removes `expected` from the front of `text`; returns false if `text` does not start with it.
bool take(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// The same for a number in decimal.
bool take(std::string_view& text, uint64_t& number) {
  auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc()) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

// Reads ranges in the text form of int8multirange: ascending, from `first_min` on, with a hole
// between two. Nothing if `text` is not that.
std::optional<std::vector<SeqRange>> read_ranges(std::string_view text, uint64_t first_min) {
  std::vector<SeqRange> ranges;
  if (!take(text, '{')) return std::nullopt;
  while (!text.empty() && text.front() != '}') {
    if (!ranges.empty() && !take(text, ',')) return std::nullopt;
    uint64_t first = 0;
    uint64_t end = 0;
    if (!take(text, '[') || !take(text, first) || !take(text, ',') || !take(text, end) ||
        !take(text, ')'))
      return std::nullopt;
    if (first < first_min || end <= first || end - 1 > limits::seq_max) return std::nullopt;
    ranges.push_back({first, end - 1});
    first_min = end + 1;
  }
  if (!take(text, '}') || !text.empty()) return std::nullopt;
  return ranges;
}

}  // namespace

std::string SeqSet::beyond_text() const {
  std::string text = "{";
  for (const SeqRange& range : beyond_) append_range(text, range.first, range.last);
  text.push_back('}');
  return text;
}

std::string SeqSet::text() const {
  std::string text = "{";
  if (upto_ > 0) append_range(text, 1, upto_);
  for (const SeqRange& range : beyond_) append_range(text, range.first, range.last);
  text.push_back('}');
  return text;
}

Result<SeqSet> SeqSet::read(uint64_t upto, std::string_view beyond_text, size_t ranges_max) {
  std::optional<std::vector<SeqRange>> ranges;
  if (upto <= limits::seq_max) ranges = read_ranges(beyond_text, upto + 2);
  if (!ranges)
    return Error{fmt::format("seen_upto {} with seen_beyond {} is not a set of seqs", upto,
                             cut_utf8(beyond_text, 200))};
  SeqSet set(ranges_max);
  set.upto_ = upto;
  set.beyond_ = std::move(*ranges);
  return set;
}

Result<SeqSet> SeqSet::read_text(std::string_view text, size_t ranges_max) {
  std::optional<std::vector<SeqRange>> ranges = read_ranges(text, 1);
  if (!ranges) return Error{fmt::format("{} is not a set of seqs", cut_utf8(text, 200))};
  SeqSet set(ranges_max);
  if (!ranges->empty() && ranges->front().first == 1) {
    set.upto_ = ranges->front().last;
    ranges->erase(ranges->begin());
  }
  set.beyond_ = std::move(*ranges);
  return set;
}

}  // namespace huntd
