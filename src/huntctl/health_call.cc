// SPDX-License-Identifier: Apache-2.0
#include "huntctl/health_call.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

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

namespace {

// The pages are read one after the other, so the age of a core's last tick differs between them.
bool same_reason(const std::string& one, const std::string& other) {
  constexpr std::string_view age = " completed its last tick ";
  size_t const begin = one.find(age);
  if (begin == std::string::npos) return one == other;
  return one.compare(0, begin + age.size(), other, 0, begin + age.size()) == 0;
}

}  // namespace

std::vector<std::string> Health::reasons() const {
  std::vector<std::string> all = unhealthy;
  for (const std::string& reason : not_ready)
    if (std::none_of(all.begin(), all.end(),
                     [&](const std::string& known) { return same_reason(known, reason); }))
      all.push_back(reason);
  return all;
}

Result<Health> read_health(const std::string& address) {
  Result<std::vector<std::string>> unhealthy = health_reasons(address, "/healthz", "healthy");
  if (!unhealthy) return unhealthy.error();
  Result<std::vector<std::string>> not_ready = health_reasons(address, "/readyz", "ready");
  if (!not_ready) return not_ready.error();
  return Health{std::move(*unhealthy), std::move(*not_ready)};
}

}  // namespace huntd::huntctl
