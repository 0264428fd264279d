// SPDX-License-Identifier: Apache-2.0
// Cross-origin requests of browsers (http.cors_origins): which origins may read responses, and the
// response to a preflight (Fetch Standard, section 3.2).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/client/router.h"
#include "http/parser.h"
#include "http/response.h"

namespace huntd::server {

class CorsOrigins {
 public:
  CorsOrigins() = default;
  // `allowed` outlives this object.
  explicit CorsOrigins(const std::vector<std::string>& allowed) : allowed_(&allowed) {}

  // The value of Access-Control-Allow-Origin for the request: "*" or its Origin, as a view of
  // `allowed`. Empty if it has no Origin, or one that is not allowed.
  std::string_view origin_of(const RequestHead& head) const;

 private:
  const std::vector<std::string>* allowed_ = nullptr;
};

// The response to a preflight of an allowed origin, for a path that exists. Nothing if the request
// is none. It needs no token: browsers send none with it.
std::optional<Response> preflight(const RequestHead& head, const Route& route);

}  // namespace huntd::server
