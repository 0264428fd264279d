// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/request.h"

#include <algorithm>

#include "base/format_text.h"
#include "core/ledger/ledger.h"
#include "http/problem.h"

namespace huntd::server {
namespace {

// The commit may be as old as the request: http.request_deadline_ms is at most 60 s.
constexpr uint64_t repeat_within_s = 60;
static_assert((repeat_within_s + 60) * 1000 <= Ledger::unkeyed_ttl_ms);

}  // namespace

Response outcome_unknown(bool keyed, std::string_view request_id) {
  if (keyed)
    return problem_response(Problem::outcome_unknown, "try again with the same Idempotency-Key");
  PoolString const detail =
      format_text("to find out, repeat the request within {} s with Idempotency-Key: {}",
                  repeat_within_s, request_id);
  return problem_response(Problem::outcome_unknown_unkeyed, detail, request_id);
}

PoolString detail_of_attempt(std::string_view detail) {
  constexpr std::string_view nothing = "nothing was awarded";
  if (detail.starts_with(nothing)) detail.remove_prefix(nothing.size());
  detail.remove_prefix(std::min(detail.find_first_not_of(":; "), detail.size()));
  return format_text(
      "this attempt awarded nothing, an earlier one may have: repeat with the same "
      "Idempotency-Key{}{}",
      detail.empty() ? "" : "; ", detail);
}

}  // namespace huntd::server
