// SPDX-License-Identifier: Apache-2.0
// The checks of a request before it runs, and the responses to requests that fail them.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "auth/authenticator.h"
#include "core/client/router.h"
#include "http/parser.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// The response to a rejected request, in the format of its path: RFC 9457, or if `kafka_rest` that
// of the Kafka REST proxy.
Response rejection(bool kafka_rest, Problem problem, std::string_view detail);

// Checks if the Authorization header allows this route, and counts rejections. Returns nothing if
// it does, or if the route is rejected anyway.
std::optional<Response> check_authorization(Authenticator& authenticator, const Route& route,
                                            std::string_view authorization, int64_t wall_ms,
                                            CoreMetrics& metrics);

// Checks the route and the headers. Returns nothing if the request may run.
std::optional<Response> check_head(const Route& route, const RequestHead& head, bool has_body);

}  // namespace huntd::server
