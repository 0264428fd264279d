// SPDX-License-Identifier: Apache-2.0
// Names and listening sockets. These calls block on a resolver: for the start of a program.
#pragma once
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

// Returns the first numeric address of a host name; a numeric address unchanged.
Result<std::string> resolve(const std::string& host);

// Opens a TCP socket that listens on `host` (a name or an address; IPv6 without brackets) with
// SO_REUSEADDR; accepted sockets inherit its TCP_NODELAY. `port` 0: a free one.
Result<UniqueFd> listen_tcp(const std::string& host, uint16_t port, int backlog);

}  // namespace huntd
