// SPDX-License-Identifier: Apache-2.0
// Errors in the form that clients get: application/problem+json (RFC 9457). Types never change.
#pragma once
#include <span>
#include <string_view>

#include "http/response.h"

namespace huntd {

enum class Problem {
  malformed_request,
  invalid_json,
  unauthorized,
  forbidden,
  hunt_not_in_token,
  not_selected,
  no_such_route,
  no_such_hunt,
  method_not_allowed,
  request_timeout,
  key_reused,
  hunt_closed,
  hunt_disabled,
  hunt_not_started,
  hunt_ended,
  held_full,
  supplies_full,
  body_too_large,
  unsupported_media_type,
  expectation_failed,
  rejected,
  outcome_unknown_unkeyed,
  rate_limited,
  hunter_limit,
  head_too_large,
  script_failed,
  script_out_of_memory,
  worker_died,
  internal,
  method_unknown,
  coding_unknown,
  overloaded,
  hunt_busy,
  too_many_connections,
  redis_unavailable,
  outcome_unknown,
  conflict,
  core_down,
  deadline_passed,
  version_not_supported,  // the last: problem.cc counts to it
};

// What clients see of one problem, and what docs/http-api.md says about it.
struct ProblemKind {
  Problem problem;
  std::string_view slug;  // the type is "urn:huntd:problem:" + slug; one type has two rows
  int status;
  std::string_view title;
  std::string_view when;  // when it is sent, for references; `code` in backticks
  std::string_view then;  // what the client should do, for references
};
const ProblemKind& kind_of(Problem problem);
// Every problem, in the order of the enum.
std::span<const ProblemKind> problem_kinds();

// The response for a problem. `detail` describes this occurrence and may be any text; an empty one
// is omitted, as is an empty `request_id`, which must be hex digits. Responses with status 503 have
// Retry-After.
Response problem_response(Problem problem, std::string_view detail,
                          std::string_view request_id = {});

}  // namespace huntd
