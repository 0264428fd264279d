// SPDX-License-Identifier: Apache-2.0
// What hunters hold of one hunt, what its supplies have given, and the responses to keys, in memory:
// the ledger of one case of a test.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "rehearsal/rehearse.h"
#include "wire/json_value.h"

namespace huntd {

class CaseLedger {
 public:
  using Held = std::map<std::string, uint64_t>;

  // The response to a key.
  struct Stored {
    std::string input;  // of its request
    Rehearsed run;
  };
  // Returns null if there is none. Valid until the next commit().
  const Stored* find(const std::string& hunter_id, const std::string& key) const;

  const Held& held(const std::string& hunter_id) const;
  void set_held(const std::string& hunter_id, Held held) { held_[hunter_id] = std::move(held); }
  // The same, unless something is known of what this hunter holds.
  void set_first_held(const std::string& hunter_id, const Held& held) {
    held_.try_emplace(hunter_id, held);
  }
  // What the script keeps of the hunter, as JSON; empty: nothing, as for a table without a key.
  const std::string& state(const std::string& hunter_id) const;
  void set_state(const std::string& hunter_id, std::string_view json) {
    states_[hunter_id] = stored_state(json);
  }
  // The same, unless something was kept of this hunter before.
  void set_first_state(const std::string& hunter_id, std::string_view json) {
    states_.try_emplace(hunter_id, stored_state(json));
  }
  // From now on this many units are left, with any limit of the script.
  void set_left(const std::string& loot_id, uint64_t units) { left_[loot_id] = units; }

  // Fills in what the run reads of the ledger.
  void prepare(Rehearsal& rehearsal) const;
  // Ends a run: gives what it awards, if it is ok and the bounds of a ledger allow it; otherwise
  // `run` becomes what it is then. Keeps the response if there is a key.
  void commit(const Rehearsal& rehearsal, const std::string& key, Rehearsed& run);

 private:
  bool enlist(const Rehearsed& run);

  std::map<std::string, Held> held_;
  std::map<std::string, std::string> states_;  // by hunter_id
  std::map<std::string, uint64_t> left_;       // of supplies for which the test says it
  std::map<std::string, uint64_t> given_;      // of all supplies, by loot_id
  std::map<std::pair<std::string, std::string>, Stored> stored_;  // by hunter_id and key
};

}  // namespace huntd
