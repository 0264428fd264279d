// SPDX-License-Identifier: Apache-2.0
#include "core/client/cors.h"

#include "http/characters.h"

namespace huntd::server {
namespace {

// The value of the only header of this name; empty if there is none, or more than one. REQUIRES:
// `name` is in lower case.
std::string_view only_header(const RequestHead& head, std::string_view name) {
  std::string_view value;
  bool found = false;
  for (size_t i = 0; i < head.header_count; ++i) {
    if (!http::same_name(head.headers[i].name, name)) continue;
    if (found) return {};
    found = true;
    value = head.headers[i].value;
  }
  return value;
}

}  // namespace

std::string_view CorsOrigins::origin_of(const RequestHead& head) const {
  if (allowed_ == nullptr || allowed_->empty()) return {};
  std::string_view const origin = only_header(head, "origin");
  if (origin.empty()) return {};
  for (const std::string& each : *allowed_)
    if (each == "*" || each == origin) return each;
  return {};
}

std::optional<Response> preflight(const RequestHead& head, const Route& route) {
  bool const of_path = route.problem == Problem::method_not_allowed && !route.allow.empty();
  if (head.method != Method::options || route.to != Route::To::rejected || !of_path ||
      only_header(head, "access-control-request-method").empty())
    return std::nullopt;
  Response response;
  response.status = 204;
  response.cors_methods = route.allow;
  return response;
}

}  // namespace huntd::server
