// SPDX-License-Identifier: Apache-2.0
#include "http/problem.h"

#include "base/check.h"
#include "base/format_text.h"
#include "base/json_text.h"

namespace huntd {
namespace {

constexpr uint32_t retry_after_s = 1;

// One problem per row: type, status, title; when it is sent; what the client should do.
// clang-format off
constexpr ProblemKind kinds[] = {
    {Problem::malformed_request, "malformed-request", 400,
     "The request is malformed",
     "The request violates HTTP, or an id or a key is malformed.",
     "fix the client"},
    {Problem::invalid_json, "invalid-json", 400,
     "The body is not valid JSON",
     "The body is not JSON, not UTF-8, or deeper than 32 levels.",
     "fix the client"},
    {Problem::unauthorized, "unauthorized", 401,
     "Authentication required",
     "The token is missing, invalid or expired; `WWW-Authenticate` says which.",
     "send a valid token"},
    {Problem::forbidden, "forbidden", 403,
     "The token does not belong to this hunter",
     "The token is valid for another hunter.",
     "send the hunter's token"},
    {Problem::hunt_not_in_token, "hunt-not-in-token", 403,
     "The token does not permit this hunt",
     "The token (a JWT) names the hunts that it is for, and this one is not among them.",
     "get a token for the hunt"},
    {Problem::not_selected, "not-selected", 403,
     "The hunt is not open to this hunter",
     "The hunt is open to a part of the hunters (`testers` and `percent` of its `NAME.toml`), and this "
     "one is not among them. Nothing was awarded.",
     "do not offer the hunt to this hunter"},
    {Problem::no_such_route, "no-such-route", 404,
     "No such path",
     "The path does not exist.",
     "fix the client"},
    {Problem::no_such_hunt, "no-such-hunt", 404,
     "No such hunt",
     "The bundle has no such script.",
     "check the hunt_id"},
    {Problem::method_not_allowed, "method-not-allowed", 405,
     "Method not allowed on this path",
     "The path does not have this method; `Allow` lists the methods that it has.",
     "fix the client"},
    {Problem::request_timeout, "request-timeout", 408,
     "The request did not arrive in time",
     "The request was not complete within `http.read_deadline_ms`.",
     "try again"},
    {Problem::key_reused, "key-reused", 409,
     "The Idempotency-Key was used with another body",
     "The Idempotency-Key was used before with other JSON.",
     "use a new key, for a new request only"},
    {Problem::hunt_closed, "hunt-closed", 409,
     "The hunt is closed",
     "The operator has closed the hunt. A request with the key of an earlier one still gets the "
     "stored response, and what hunters hold can be read.",
     "inform the player"},
    {Problem::hunt_disabled, "hunt-disabled", 409,
     "The hunt is disabled",
     "`enabled = false` in the `NAME.toml` of the hunt. Nothing was awarded by this attempt; a stored "
     "response is still returned.",
     "inform the player"},
    {Problem::hunt_not_started, "hunt-not-started", 409,
     "The hunt has not started",
     "The time `starts` in the `NAME.toml` of the hunt is still to come. Nothing was awarded.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::hunt_ended, "hunt-ended", 409,
     "The hunt has ended",
     "The time `ends` in the `NAME.toml` of the hunt is over. Nothing was awarded by this attempt; a "
     "stored response is still returned.",
     "inform the player"},
    {Problem::held_full, "held-full", 409,
     "The hunter holds too many different loot_ids",
     "The hunter would hold more than 1024 different loot_ids in the hunt, or holds more already: "
     "they can't be read.",
     "inform the script's author"},
    {Problem::supplies_full, "supplies-full", 409,
     "The hunt has too many supplies",
     "The script has drawn on a supply with a new loot_id, and the hunt has drawn on 1000 others.",
     "inform the script's author"},
    {Problem::body_too_large, "body-too-large", 413,
     "The body is too large",
     "The body has more than 16384 bytes.",
     "fix the client"},
    {Problem::unsupported_media_type, "unsupported-media-type", 415,
     "The body's media type is not supported",
     "The body is not `application/json`.",
     "fix the client"},
    {Problem::expectation_failed, "expectation-failed", 417,
     "The expectation is not supported",
     "`Expect` is not `100-continue`.",
     "fix the client"},
    {Problem::rejected, "rejected", 422,
     "Rejected by the hunt's script",
     "The script called `hunt.reject`; `detail` is its reason.",
     "inform the player"},
    {Problem::outcome_unknown_unkeyed, "outcome-unknown", 424,
     "It is unknown whether the loot was awarded",
     "As with 503, for a request without an Idempotency-Key. Tools do not repeat a request because "
     "of this status.",
     "to find out, repeat within 60 s with the member `request_id` as the Idempotency-Key"},
    {Problem::rate_limited, "rate-limited", 429,
     "Too many requests",
     "The hunter, the token or the hunt has used up its requests (`[rate]`); `detail` says which. "
     "Nothing was awarded by this attempt.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::hunter_limit, "hunter-limit", 429,
     "The hunter has used up the runs of this hunt",
     "The hunter has used up `per_hour` or `per_day` of the hunt's `NAME.toml`; `detail` says which. "
     "Nothing was awarded by this attempt.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::head_too_large, "head-too-large", 431,
     "The request line or the headers are too large",
     "The request line has more than 4096 bytes, the head more than 8192 bytes or 64 headers, or "
     "the trailers more than 8192 bytes.",
     "fix the client"},
    {Problem::script_failed, "script-failed", 500,
     "The hunt's script failed",
     "The script raised an error; `detail` has file and line.",
     "inform the script's author"},
    {Problem::script_out_of_memory, "script-out-of-memory", 500,
     "The hunt's script used too much memory",
     "The script used more than `worker.memory_bytes`.",
     "inform the script's author"},
    {Problem::worker_died, "worker-died", 500,
     "The hunt's worker exited without an outcome",
     "The worker crashed or was killed.",
     "try again"},
    {Problem::internal, "internal", 500,
     "Internal error",
     "huntd has a bug.",
     "report it"},
    {Problem::method_unknown, "method-unknown", 501,
     "Unknown method",
     "The method is not a method of HTTP, or it is CONNECT.",
     "fix the client"},
    {Problem::coding_unknown, "coding-unknown", 501,
     "Unknown transfer coding",
     "`Transfer-Encoding` is not exactly `chunked`.",
     "fix the client"},
    {Problem::overloaded, "overloaded", 503,
     "Too many hunts are waiting",
     "Too many requests wait for a worker, for the hunter or for the hunter's core, this one "
     "waited too long, or no worker could be started.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::hunt_busy, "hunt-busy", 503,
     "Too many runs of this hunt at the same time",
     "As many requests of the hunt as `in_flight_max` in its `NAME.toml` permits wait, run or commit "
     "on the core. Other hunts run. Nothing was awarded.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::too_many_connections, "too-many-connections", 503,
     "Too many connections",
     "The client's address has `http.connections_per_address_max` connections on the core, or "
     "the core that serves the hunter has `http.connections_max`. No request was read from the "
     "connection; it is closed. Or the client sends through a trusted proxy and that many of its "
     "requests run on the core: only this request is rejected, and nothing was awarded.",
     "close some connections, or send more requests over each"},
    {Problem::redis_unavailable, "redis-unavailable", 503,
     "Redis is unavailable",
     "Redis cannot be reached or used; nothing was awarded.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::outcome_unknown, "outcome-unknown", 503,
     "It is unknown whether the loot was awarded",
     "Redis did not reply to the commit in time, or the hunter's core did not respond: the loot "
     "may have been awarded. The request had an Idempotency-Key.",
     "retry with the same Idempotency-Key"},
    {Problem::conflict, "conflict", 503,
     "The hunter's loot changed concurrently",
     "The hunter's loot changed during the run, twice; nothing was awarded.",
     "try again"},
    {Problem::core_down, "core-down", 503,
     "The core that serves this hunter is unavailable",
     "The hunter's core is restarting.",
     "wait `Retry-After` seconds, then try again"},
    {Problem::deadline_passed, "deadline-passed", 504,
     "The hunt's script exceeded its deadline",
     "The script ran longer than `worker.deadline_ms`; nothing was awarded.",
     "inform the script's author"},
    {Problem::version_not_supported, "version-not-supported", 505,
     "The HTTP version is not supported",
     "The version is neither HTTP/1.1 nor HTTP/1.0.",
     "fix the client"},
};
// clang-format on

// kind_of() finds a row by its position.
constexpr bool rows_match_enum() {
  for (size_t i = 0; i < std::size(kinds); ++i)
    if (kinds[i].problem != static_cast<Problem>(i)) return false;
  return std::size(kinds) == static_cast<size_t>(Problem::version_not_supported) + 1;
}
static_assert(rows_match_enum(), "one row per Problem, in the order of the enum");

}  // namespace

const ProblemKind& kind_of(Problem problem) {
  const ProblemKind& kind = kinds[static_cast<size_t>(problem)];
  CHECK(kind.problem == problem);
  return kind;
}

std::span<const ProblemKind> problem_kinds() { return kinds; }

Response problem_response(Problem problem, std::string_view detail, std::string_view request_id) {
  const ProblemKind& kind = kind_of(problem);
  Response response;
  response.status = kind.status;
  response.content_type = problem_type;
  if (kind.status == 503) response.retry_after_s = retry_after_s;
  response.body = R"({"type":"urn:huntd:problem:)";
  response.body.append(kind.slug)
      .append(R"(","title":")")
      .append(kind.title)
      .append(R"(","status":)");
  append_format(response.body, "{}", kind.status);
  if (!detail.empty()) {
    response.body.append(R"(,"detail":)");
    append_json_string(response.body, detail);
  }
  if (!request_id.empty())
    response.body.append(R"(,"request_id":")").append(request_id).append("\"");
  response.body.push_back('}');
  return response;
}

}  // namespace huntd
