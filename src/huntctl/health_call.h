// SPDX-License-Identifier: Apache-2.0
// What huntd says of its own health, on the admin port.
#pragma once
#include <string>
#include <vector>

#include "base/result.h"

namespace huntd::huntctl {

// GET of /healthz or /readyz of the admin port at `address` (host:port or unix:/path). Returns the
// reasons of a 503, at least one; none if it responds with 200 and `member` (healthy, ready) is true.
// Another response is an error.
Result<std::vector<std::string>> health_reasons(const std::string& address, const char* path,
                                                const char* member);

struct Health {
  std::vector<std::string> unhealthy;  // why; empty if huntd is healthy
  std::vector<std::string> not_ready;

  bool well() const { return unhealthy.empty() && not_ready.empty(); }
  // Each reason once.
  std::vector<std::string> reasons() const;
};

// Both of them.
Result<Health> read_health(const std::string& address);

}  // namespace huntd::huntctl
