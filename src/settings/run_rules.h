// SPDX-License-Identifier: Apache-2.0
// When a hunt runs, for whom, how often and with how much: what NAME.toml says of it beside
// [config] (decision 63).
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace huntd {

struct RunRules {
  bool enabled = true;
  // By the host's clock, in milliseconds since 1970: from `starts_ms` to before `ends_ms`.
  int64_t starts_ms = std::numeric_limits<int64_t>::min();
  int64_t ends_ms = std::numeric_limits<int64_t>::max();
  std::vector<std::string>
      testers;              // sorted: they may run it before it starts, and always belong to it
  uint32_t share = 10'000;  // of 10,000 hunters, how many
  uint32_t per_hour = 0;    // runs of one hunter; 0: no limit
  uint32_t per_day = 0;
  uint32_t deadline_ms = 0;    // of a run; 0: that of the host
  uint64_t memory_bytes = 0;   // the same
  uint32_t in_flight_max = 0;  // runs at the same time, per core; 0: no limit

  bool is_tester(std::string_view hunter_id) const;
  bool operator==(const RunRules&) const = default;

  // The bounds of a run on a host that has these: the smaller one counts.
  uint32_t deadline_on(uint32_t host_ms) const {
    return deadline_ms == 0 || deadline_ms > host_ms ? host_ms : deadline_ms;
  }
  uint64_t memory_on(uint64_t host_bytes) const {
    return memory_bytes == 0 || memory_bytes > host_bytes ? host_bytes : memory_bytes;
  }
};

// The rules as bytes, and back. Rules that rule nothing are an empty text. REQUIRES: `bytes` is what
// encode_rules() returned.
std::string encode_rules(const RunRules& rules);
RunRules decode_rules(std::string_view bytes);

// Whether the hunt has started and has not ended, and is for this hunter.
enum class Opening { open, disabled, not_started, ended, not_selected };
Opening opening_of(const RunRules& rules, std::string_view hunt_id, std::string_view hunter_id,
                   int64_t now_ms);

// The type of the problem of a request at another time, such as "hunt-ended"; "open" if it is open.
std::string_view opening_text(Opening opening);

// Of a hunter in a hunt, 0 to 9,999: below `share` the hunter belongs to it. It is the same on every
// host and after every change of the share, and another one in another hunt.
uint32_t share_bucket(std::string_view hunt_id, std::string_view hunter_id);

}  // namespace huntd
