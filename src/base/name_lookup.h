// SPDX-License-Identifier: Apache-2.0
// Looks up the addresses of a name on a thread of its own, because a resolver may take as long as
// it likes.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/side_call.h"

namespace huntd {

// One host name, and at most one look-up of it at a time.
class NameLookup {
 public:
  explicit NameLookup(std::string host) : host_(std::move(host)) {}

  // Starts a look-up, unless one runs or has a result that has not been taken: then take() gives
  // the result of that one. Fails if the kernel gives no thread or descriptor.
  Result<void> start();
  // As of SideThread.
  int descriptor() const { return call_.descriptor(); }
  // Takes the result, as of resolve() in base/net.h; nothing while there is none.
  std::optional<Result<std::vector<std::string>>> take() { return call_.take(); }

 private:
  std::string const host_;
  SideCall<std::vector<std::string>> call_{"huntd-resolver"};
};

}  // namespace huntd
