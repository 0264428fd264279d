// SPDX-License-Identifier: Apache-2.0
// Which bundles were live, the newest deploy first, and which one is (decision 64). The parent keeps
// it; its text form is the file `history` beside the kept bundles, and its JSON is /bundles.json.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

inline constexpr size_t kept_bundles_max = 20;
inline constexpr size_t deploy_by_bytes_max = 64;     // of an operator's name; longer ones are cut
inline constexpr size_t deploy_from_bytes_max = 256;  // of a folder's path; longer ones are cut

struct BundleRecord {
  std::string name;     // 32 hex digits
  int64_t at_ms = 0;    // when it went live first, or was deployed again; since 1970
  std::string by;       // who, as huntctl says; "start" or "reload"
  std::string from;     // the folder that it was read from
  uint64_t hunts = 0;   // scripts in it
  uint64_t served = 0;  // hunts that ended with 200 while it was live
};

struct BundleHistory {
  // The newest first; at most kept_bundles_max.
  std::vector<BundleRecord> records;
  std::string live;  // a name; empty: none
  // Whether `live` was deployed or rolled back to: then a start and a reload serve it, and do not
  // read hunts.dir.
  bool deployed = false;
  // The file has another history, which cannot be read: save_history() must not replace it until an
  // operator says what is to be live. Not a part of the text.
  bool unreadable = false;

  // Returns null if there is none.
  BundleRecord* find(std::string_view name);
  const BundleRecord* find(std::string_view name) const;
  // The live bundle becomes that of `record`, which becomes the newest one; the one that was live
  // is the next. The live one that is read from hunts.dir again stays in its place.
  void put_live(BundleRecord record, bool is_deployed);
  // The live bundle becomes this one, which keeps its place. REQUIRES: find(name).
  void go_back(std::string_view name);
  // The record below that of the live bundle; null if there is none. So one rollback after the other
  // goes further back.
  const BundleRecord* before_live() const;
};

// One line per record; control characters of names become "?".
std::string history_text(const BundleHistory& history);
// The error says which line is wrong.
Result<BundleHistory> history_of(std::string_view text);
// The object of /bundles.json (docs/formats/admin-json.md).
std::string history_json(const BundleHistory& history);

// Without control characters, and at most `bytes_max`.
std::string printable_name(std::string_view text, size_t bytes_max);

}  // namespace huntd
