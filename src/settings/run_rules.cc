// SPDX-License-Identifier: Apache-2.0
#include "settings/run_rules.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "wire/message_codec.h"

namespace huntd {

bool RunRules::is_tester(std::string_view hunter_id) const {
  return std::ranges::binary_search(testers, hunter_id);
}

std::string encode_rules(const RunRules& rules) {
  if (rules == RunRules{}) return {};
  std::string bytes;
  WireWriter out(bytes);
  out.number(static_cast<uint8_t>(rules.enabled ? 1 : 0));
  out.number(rules.starts_ms);
  out.number(rules.ends_ms);
  out.number(rules.share);
  out.number(rules.per_hour);
  out.number(rules.per_day);
  out.number(rules.deadline_ms);
  out.number(rules.memory_bytes);
  out.number(rules.in_flight_max);
  out.number(static_cast<uint32_t>(rules.testers.size()));
  for (const std::string& tester : rules.testers) out.text(tester);
  return bytes;
}

RunRules decode_rules(std::string_view bytes) {
  RunRules rules;
  if (bytes.empty()) return rules;
  WireReader in(bytes);
  rules.enabled = in.number<uint8_t>() != 0;
  rules.starts_ms = in.number<int64_t>();
  rules.ends_ms = in.number<int64_t>();
  rules.share = in.number<uint32_t>();
  rules.per_hour = in.number<uint32_t>();
  rules.per_day = in.number<uint32_t>();
  rules.deadline_ms = in.number<uint32_t>();
  rules.memory_bytes = in.number<uint64_t>();
  rules.in_flight_max = in.number<uint32_t>();
  rules.testers.resize(in.number<uint32_t>());
  for (std::string& tester : rules.testers) tester = in.text();
  return rules;
}

std::string_view opening_text(Opening opening) {
  switch (opening) {
    case Opening::open:
      return "open";
    case Opening::disabled:
      return "hunt-disabled";
    case Opening::not_started:
      return "hunt-not-started";
    case Opening::ended:
      return "hunt-ended";
    case Opening::not_selected:
      break;
  }
  return "not-selected";
}

uint32_t share_bucket(std::string_view hunt_id, std::string_view hunter_id) {
  return static_cast<uint32_t>(hash64(fmt::format("{}/{}", hunt_id, hunter_id)) % 10'000);
}

Opening opening_of(const RunRules& rules, std::string_view hunt_id, std::string_view hunter_id,
                   int64_t now_ms) {
  if (!rules.enabled) return Opening::disabled;
  if (now_ms >= rules.ends_ms) return Opening::ended;
  if (rules.is_tester(hunter_id)) return Opening::open;
  if (now_ms < rules.starts_ms) return Opening::not_started;
  bool const selected = rules.share >= 10'000 || share_bucket(hunt_id, hunter_id) < rules.share;
  return selected ? Opening::open : Opening::not_selected;
}

}  // namespace huntd
