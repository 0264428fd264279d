// The socket where clients come in: our own, or the one that systemd holds for us.
#pragma once
#include <string>

#include "base/result.h"

namespace huntd {

// Binds and listens on `text` (host:port), the value of the config's `key`. The descriptor is the
// caller's; the error says which key to change.
Result<int> listen_on(const std::string& text, const char* key);
// The socket that systemd passes (sd_listen_fds(3)), from now on the caller's; -1 for none.
int inherited_socket();
// Whether only this machine can reach a listening socket.
bool is_loopback(int descriptor);

}  // namespace huntd
