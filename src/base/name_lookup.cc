// SPDX-License-Identifier: Apache-2.0
#include "base/name_lookup.h"

#include <fmt/format.h>

#include "base/net.h"

namespace huntd {

Result<void> NameLookup::start() {
  Result<void> const started = call_.start([host = host_] { return resolve(host); });
  if (!started) return Error{fmt::format("cannot resolve {}: {}", host_, started.error().message)};
  return {};
}

}  // namespace huntd
