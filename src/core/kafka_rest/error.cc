// SPDX-License-Identifier: Apache-2.0
#include "core/kafka_rest/error.h"

#include "base/format_text.h"
#include "base/json_text.h"

namespace huntd::server {
namespace {

constexpr int statuses_end = 1000;  // larger codes have two digits after the status

int code_of(Problem problem) {
  if (problem == Problem::unauthorized) return rest_code::unauthorized;
  if (problem == Problem::forbidden) return rest_code::forbidden;
  return kind_of(problem).status;
}

}  // namespace

Response rest_error(int code, std::string_view message) {
  Response response;
  response.status = code < statuses_end ? code : code / 100;
  response.content_type = rest_type;
  response.body = format_text(R"({{"error_code":{},"message":)", code);
  append_json_string(response.body, message);
  response.body.push_back('}');
  return response;
}

Response rest_error(Problem problem, std::string_view detail) {
  std::string_view const title = kind_of(problem).title;
  PoolString const message =
      detail.empty() ? PoolString(title) : format_text("{}: {}", title, detail);
  return rest_error(code_of(problem), message);
}

}  // namespace huntd::server
