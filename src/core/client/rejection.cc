// SPDX-License-Identifier: Apache-2.0
#include "core/client/rejection.h"

#include "base/ids.h"
#include "core/kafka_rest/error.h"
#include "core/kafka_rest/request.h"
#include "http/problem.h"

namespace huntd::server {
namespace {

using Outcome = Authenticator::Outcome;

// Whether a Content-Type is `wanted`, with or without parameters. REQUIRES: `wanted` is in lower
// case.
bool is_type(std::string_view type, std::string_view wanted) {
  if (type.size() < wanted.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i)
    if ((type[i] | 0x20) != wanted[i] && type[i] != wanted[i]) return false;
  return type.size() == wanted.size() || type[wanted.size()] == ';' || type[wanted.size()] == ' ';
}

Response unauthorized(const Route& route, std::string_view detail, std::string_view challenge) {
  Response response = rejection(route.kafka_rest, Problem::unauthorized, detail);
  response.authenticate = challenge;
  return response;
}

Response forbidden(const Route& route, Problem problem, std::string_view detail) {
  Response response = rejection(route.kafka_rest, problem, detail);
  response.authenticate = R"(Bearer realm="huntd", error="insufficient_scope")";
  return response;
}

}  // namespace

Response rejection(bool kafka_rest, Problem problem, std::string_view detail) {
  return kafka_rest ? rest_error(problem, detail) : problem_response(problem, detail);
}

std::optional<Response> check_authorization(Authenticator& authenticator, const Route& route,
                                            std::string_view authorization, int64_t wall_ms,
                                            CoreMetrics& metrics) {
  constexpr std::string_view no_token = R"(Bearer realm="huntd")";
  constexpr std::string_view invalid_token = R"(Bearer realm="huntd", error="invalid_token")";
  if (route.to == Route::To::rejected) return std::nullopt;
  Outcome const outcome =
      route.to == Route::To::produce
          ? authenticator.check_for_all(authorization, wall_ms)
          : authenticator.check(authorization, route.hunter_id, wall_ms, route.hunt_id);
  Authenticator::Counts const counts = authenticator.take_counts();
  metrics.add(Counter::jwt_verified, counts.verified);
  metrics.add(Counter::jwt_remembered, counts.remembered);
  switch (outcome) {
    case Outcome::allowed:
      break;
    case Outcome::no_token:
      metrics.add(Counter::auth_no_token);
      return unauthorized(route, "send Authorization: Bearer TOKEN", no_token);
    case Outcome::bad_token:
      metrics.add(Counter::auth_bad_token);
      return unauthorized(route, "the token is not valid", invalid_token);
    case Outcome::expired:
      metrics.add(Counter::auth_expired);
      return unauthorized(route, "the token has expired", invalid_token);
    case Outcome::too_early:
      metrics.add(Counter::auth_bad_token);
      return unauthorized(route, "the token is not valid yet", invalid_token);
    case Outcome::revoked:
      metrics.add(Counter::auth_revoked);
      return unauthorized(route, "the token was revoked", invalid_token);
    case Outcome::forbidden:
      metrics.add(Counter::auth_forbidden);
      return forbidden(route, Problem::forbidden,
                       route.kafka_rest ? "a hunter's token cannot produce events"
                                        : "the token belongs to another hunter");
    case Outcome::scope:
      metrics.add(Counter::auth_scope);
      return forbidden(route, Problem::hunt_not_in_token, route.hunt_id);
  }
  return std::nullopt;
}

std::optional<Response> check_head(const Route& route, const RequestHead& head, bool has_body) {
  if (route.to == Route::To::rejected) {
    Response response = rejection(route.kafka_rest, route.problem, route.detail);
    response.allow = route.allow;
    return response;
  }
  if (!route.kafka_rest && head.has_idempotency_key && !is_idempotency_key(head.idempotency_key))
    return problem_response(Problem::malformed_request,
                            "an Idempotency-Key must be 1 to 128 visible ASCII characters");
  if (route.to == Route::To::run_hunt && has_body && !head.content_type.empty() &&
      !is_type(head.content_type, "application/json"))
    return problem_response(Problem::unsupported_media_type,
                            "send the input with Content-Type: application/json");
  if (route.to == Route::To::produce && !is_type(head.content_type, rest_records_type))
    return rest_error(Problem::unsupported_media_type,
                      "send the records with Content-Type: application/vnd.kafka.json.v2+json");
  return std::nullopt;
}

}  // namespace huntd::server
