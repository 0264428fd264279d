// SPDX-License-Identifier: Apache-2.0
// The parent: it owns the listening sockets and the shared memory, keeps its children running, acts
// on signals, and sends changes to the cores. One thread, which never handles data of a client.
#pragma once
#include <string>

#include "huntd/listen.h"
#include "huntd/prepare.h"

namespace huntd::server {

inline constexpr int exit_config = 78;  // EX_CONFIG of sysexits.h

// Runs the service until a signal ends it. Returns the exit status.
int run_parent(Prepared prepared, const std::string& config_path, InheritedSockets inherited);

}  // namespace huntd::server
