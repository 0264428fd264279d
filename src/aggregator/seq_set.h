// Which seqs of one hunter in one hunt are in the table: everything up to `upto`, and the ranges
// past the first hole. As TCP's selective acknowledgement (RFC 2018) does, it tells for ever
// whether an event was seen, at a bounded size (docs/formats/hunt-session.md).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/aggregator_limits.h"
#include "base/result.h"

namespace huntd {

// Seqs from `first` to `last`, both seen.
struct SeqRange {
  uint64_t first;
  uint64_t last;
  bool operator==(const SeqRange&) const = default;
};

class SeqSet {
 public:
  enum class Insert {
    fresh,      // it was not in the set, now it is
    duplicate,  // it is in the set already
    no_room,    // it would open one range more than `ranges_max`: the set is as it was
  };

  // An empty set that keeps at most `ranges_max` ranges past the first hole.
  explicit SeqSet(size_t ranges_max) : ranges_max_(ranges_max) {}
  SeqSet() : SeqSet(limits::seen_beyond_ranges_max) {}

  // Puts in `seq` (from 1 to limits::seq_max). A seq that touches what is seen always has room: it
  // makes a range longer, or closes a hole.
  Insert insert(uint64_t seq);
  bool contains(uint64_t seq) const;
  bool full() const { return beyond_.size() >= ranges_max_; }

  // Every seq from 1 to upto() is in the set; upto() + 1 is not.
  uint64_t upto() const { return upto_; }
  // The ranges past the first hole: ascending, apart from each other and from upto() by one seq at
  // least.
  const std::vector<SeqRange>& beyond() const { return beyond_; }
  // The greatest seq in the set, 0 where it is empty.
  uint64_t newest() const { return beyond_.empty() ? upto_ : beyond_.back().last; }
  // How many seqs are in the set.
  uint64_t count() const;
  // What is missing below newest(), ascending.
  std::vector<SeqRange> holes() const;

  // beyond() as PostgreSQL writes an int8multirange: "{[5,7),[9,10)}" for 5, 6 and 9; "{}" for
  // none.
  std::string beyond_text() const;
  // The set of a row. Refuses text that no SeqSet writes: unordered, touching, or not past `upto`.
  // A row with more ranges than `ranges_max` (written under a greater limit) is taken as it is, and
  // is full.
  static Result<SeqSet> read(uint64_t upto, std::string_view beyond_text,
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
