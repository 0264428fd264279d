// SPDX-License-Identifier: Apache-2.0
// The errors of scripts by kind in shared memory, each with an example that can be repeated
// (decision 65): one core adds, any number of processes read. Bounded: error_kinds_max kinds, of
// which error_messages_max are of one line of a script. A kind that finds no room takes the place
// of the one that was seen last the longest time ago.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/script_failures.h"
#include "metrics/shared_text.h"
#include "metrics/shared_word.h"

namespace huntd {

inline constexpr size_t error_kinds_max = 48;    // per core
inline constexpr size_t error_messages_max = 4;  // kinds of one line of a script
inline constexpr size_t error_message_bytes_max = 512;
inline constexpr size_t error_sample_bytes_max = 12 * 1024;  // the JSON of one example
// A kind gets a newer example at most this often, so that errors at a high rate cost no more. A
// kind that takes the place of another one of its line has that one's example until its own is due.
inline constexpr int64_t error_sample_every_ms = 1000;

// Two errors are of one kind if they differ in digits of the message only.
struct ScriptErrorKind {
  std::string hunt_id;
  FailureReason reason = FailureReason::script_error;
  uint32_t line = 0;    // 0: unknown
  std::string message;  // of the first one, cut at error_message_bytes_max
};

struct ErrorRow {
  ScriptErrorKind kind;
  uint64_t hash = 0;  // of the kind: the same on every core
  uint64_t count = 0;
  int64_t first_ms = 0;  // since 1970
  int64_t last_ms = 0;
  int64_t sample_ms = 0;
  std::string sample;  // a JSON object; empty: none
};

// Zeroed memory is an empty table.
class ErrorTable {
 public:
  // Counts an error at `now_ms` (since 1970). Returns the slot whose example is due; nothing: the
  // one that it has is new enough.
  std::optional<size_t> add(const ScriptErrorKind& kind, int64_t now_ms);
  // Sets the example of the slot that add() returned. `json` is an object; one of more than
  // error_sample_bytes_max is not kept.
  void set_sample(size_t slot, std::string_view json, int64_t now_ms);

  // A copy, in no order. Any process.
  std::vector<ErrorRow> rows() const;
  // Errors of kinds that lost their place.
  uint64_t no_room() const { return no_room_.load(); }

 private:
  struct Row {
    SharedWord hash;   // of the kind; 0: free
    SharedWord place;  // of hunt, reason and line
    SharedWord count;
    SharedWord first_ms;
    SharedWord last_ms;
    SharedWord sample_ms;
    SharedText<768> kind;  // "REASON LINE HUNT MESSAGE"; empty while the row changes its kind
    SharedText<error_sample_bytes_max> sample;
  };
  size_t slot_for(uint64_t place) const;
  bool copy_row(const Row& row, ErrorRow& copy) const;

  SharedWord no_room_;
  std::array<Row, error_kinds_max> rows_;
};

}  // namespace huntd
