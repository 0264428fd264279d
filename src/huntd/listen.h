// SPDX-License-Identifier: Apache-2.0
// The listening sockets: our own, or one that systemd passed.
#pragma once
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd::server {

// Listens on `text` (host:port), the value of the config key `key`, which the error names.
Result<UniqueFd> listen_on(const std::string& text, const char* key, int backlog);

// The socket that systemd passed (LISTEN_FDS, sd_listen_fds(3)); invalid if there is none.
UniqueFd inherited_socket();

// Whether only this host can connect to the socket: it is bound to a loopback address or a path.
bool is_loopback(int socket);

}  // namespace huntd::server
