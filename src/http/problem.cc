#include "http/problem.h"

#include "base/check.h"
#include "base/format_text.h"
#include "base/json_text.h"

namespace huntd {
namespace {

constexpr uint32_t retry_after_s = 1;

constexpr ProblemKind kinds[] = {
    {Problem::malformed_request, "malformed-request", 400, "The request is malformed"},
    {Problem::invalid_json, "invalid-json", 400, "The body is not valid JSON"},
    {Problem::unauthorized, "unauthorized", 401, "Who calls is not known"},
    {Problem::forbidden, "forbidden", 403, "This caller may not act for this hunter"},
    {Problem::no_such_route, "no-such-route", 404, "There is nothing at this path"},
    {Problem::no_such_hunt, "no-such-hunt", 404, "There is no such hunt"},
    {Problem::method_not_allowed, "method-not-allowed", 405, "This path has no such method"},
    {Problem::request_timeout, "request-timeout", 408, "The request did not arrive in time"},
    {Problem::key_reused, "key-reused", 409, "The Idempotency-Key was used with another body"},
    {Problem::body_too_large, "body-too-large", 413, "The body is too large"},
    {Problem::unsupported_media_type, "unsupported-media-type", 415,
     "The body's media type is not supported"},
    {Problem::expectation_failed, "expectation-failed", 417, "The expectation is not supported"},
    {Problem::rejected, "rejected", 422, "The hunt said no"},
    {Problem::head_too_large, "head-too-large", 431,
     "The request line or the headers are too large"},
    {Problem::script_failed, "script-failed", 500, "The hunt's script failed"},
    {Problem::script_out_of_memory, "script-out-of-memory", 500,
     "The hunt's script used too much memory"},
    {Problem::worker_died, "worker-died", 500, "The hunt's worker ended without an outcome"},
    {Problem::internal, "internal", 500, "huntd could not do this"},
    {Problem::method_unknown, "method-unknown", 501, "The method is not known"},
    {Problem::coding_unknown, "coding-unknown", 501, "The transfer coding is not known"},
    {Problem::overloaded, "overloaded", 503, "Too many hunts are waiting"},
    {Problem::too_many_connections, "too-many-connections", 503, "Too many connections"},
    {Problem::draining, "draining", 503, "The server is going away"},
    {Problem::redis_unavailable, "redis-unavailable", 503, "The ledger is not reachable"},
    {Problem::outcome_unknown, "outcome-unknown", 503, "Whether the loot was given is not known"},
    {Problem::conflict, "conflict", 503, "The hunter's loot changed at the same time"},
    {Problem::core_down, "core-down", 503, "The core that serves this hunter is not reachable"},
    {Problem::deadline_passed, "deadline-passed", 504, "The hunt's script passed its deadline"},
    {Problem::version_not_supported, "version-not-supported", 505,
     "The HTTP version is not supported"},
};

}  // namespace

const ProblemKind& kind_of(Problem problem) {
  const ProblemKind& kind = kinds[static_cast<size_t>(problem)];
  CHECK(kind.problem == problem);
  return kind;
}

Response problem_response(Problem problem, std::string_view detail) {
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
  response.body.push_back('}');
  return response;
}

}  // namespace huntd
