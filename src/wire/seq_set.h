// SPDX-License-Identifier: Apache-2.0
// The seqs of one hunter in one hunt and one generation that the table has counted: all up to
// `upto`, and the ranges after the first hole. Like TCP's selective acknowledgement (RFC 2018), it
// knows for every event whether it was counted, in bounded memory (docs/formats/hunt-session.md).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/result.h"

namespace huntd {

// Seqs from `first` to `last`, both included.
struct SeqRange {
  uint64_t first;
  uint64_t last;
  bool operator==(const SeqRange&) const = default;
};

class SeqSet {
 public:
  enum class Insert {
    added,
    duplicate,  // the set already contained it
    no_room,    // the set would need more than `ranges_max` ranges; it is unchanged
  };

  // Creates an empty set that keeps at most `ranges_max` ranges after the first hole.
  explicit SeqSet(size_t ranges_max) : ranges_max_(ranges_max) {}
  SeqSet() : SeqSet(limits::seen_beyond_ranges_max) {}

  // Adds `seq`. There is always room for a seq next to one in the set: it extends a range, or
  // closes a hole. REQUIRES: `seq` is from 1 to limits::seq_max.
  Insert insert(uint64_t seq);
  bool contains(uint64_t seq) const;
  bool full() const { return beyond_.size() >= ranges_max_; }
  bool empty() const { return upto_ == 0 && beyond_.empty(); }
  // The same set, with room for any number of ranges.
  SeqSet unbounded() const;

  // Every seq from 1 to upto() is in the set; upto() + 1 is not.
  uint64_t upto() const { return upto_; }
  // The ranges after the first hole: ascending, with a hole before each.
  const std::vector<SeqRange>& beyond() const { return beyond_; }
  // The greatest seq in the set; 0 if the set is empty.
  uint64_t newest() const { return beyond_.empty() ? upto_ : beyond_.back().last; }
  // The number of seqs in the set.
  uint64_t count() const;
  // The seqs below newest() that are not in the set, ascending.
  std::vector<SeqRange> holes() const;

  // beyond() in PostgreSQL's text form of int8multirange: "{[5,7),[9,10)}" for 5, 6 and 9; "{}" if
  // it is empty.
  std::string beyond_text() const;
  // Reads the set of a row. Returns an error for a text that beyond_text() never writes: not
  // ascending, without a hole between ranges, or not above `upto`. A row with more than
  // `ranges_max` ranges (written with a greater limit) is accepted, and the set is full.
  static Result<SeqSet> read(uint64_t upto, std::string_view beyond_text,
                             size_t ranges_max = limits::seen_beyond_ranges_max);

  // The whole set in that form: "{[1,4),[5,7)}" for 1, 2, 3, 5 and 6.
  std::string text() const;
  // Reads what text() wrote, by the rules of read().
  static Result<SeqSet> read_text(std::string_view text,
                                  size_t ranges_max = limits::seen_beyond_ranges_max);

  bool operator==(const SeqSet& other) const {
    return upto_ == other.upto_ && beyond_ == other.beyond_;
  }

 private:
  uint64_t upto_ = 0;
  std::vector<SeqRange> beyond_;
  size_t ranges_max_;
};

}  // namespace huntd
