// SPDX-License-Identifier: Apache-2.0
#include "huntctl/health_call.h"

#include <fmt/format.h>

#include <string_view>

#include "huntctl/http_call.h"
#include "huntctl/json_response.h"

namespace huntd::huntctl {

Result<std::vector<std::string>> health_reasons(const std::string& address, const char* path,
                                                const char* member) {
  using Reasons = std::vector<std::string>;
  Result<HttpResponse> const response = http_get(address, admin_port, path);
  if (!response) return response.error();
  int const status = response->status;
  bool const well = status == 200;
  if (!well && response->status != 503)
    return Error{fmt::format("{} responds to {} with status {}: is it huntd's admin port?", address,
                             path, response->status)};
  return parse_response(
      response->body, path, [=](simdjson::dom::element document) -> Result<Reasons> {
        Reasons reasons;
        for (simdjson::dom::element const reason : simdjson::dom::array(document["reasons"]))
          reasons.emplace_back(std::string_view(reason["reason"]));
        bool const good = bool(document[member]) && well;
        if (!good && reasons.empty())
          reasons.push_back(
              fmt::format("{} responds with status {} and without a reason", path, status));
        return reasons;
      });
}

}  // namespace huntd::huntctl
