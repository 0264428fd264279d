// Errors as clients see them: application/problem+json (RFC 9457) with a type that never changes.
#pragma once
#include <string_view>

#include "http/response.h"

namespace huntd {

enum class Problem {
  malformed_request,
  invalid_json,
  unauthorized,
  forbidden,
  no_such_route,
  no_such_hunt,
  method_not_allowed,
  request_timeout,
  key_reused,
  body_too_large,
  unsupported_media_type,
  expectation_failed,
  rejected,
  head_too_large,
  script_failed,
  script_out_of_memory,
  worker_died,
  internal,
  method_unknown,
  coding_unknown,
  overloaded,
  too_many_connections,
  draining,
  redis_unavailable,
  outcome_unknown,
  conflict,
  core_down,
  deadline_passed,
  version_not_supported,
};

// The type's last word, its status and its title.
struct ProblemKind {
  Problem problem;
  std::string_view slug;  // the type is "urn:huntd:problem:" and this
  int status;
  std::string_view title;
};
const ProblemKind& kind_of(Problem problem);

// The answer for a problem; `detail` says what happened this time and may be any text. Statuses 503
// carry Retry-After.
Response problem_response(Problem problem, std::string_view detail);

}  // namespace huntd
