// The parent: it holds the listening socket and the shared memory, keeps its children running, acts
// on signals, and tells the cores what is new. One thread, nothing of a client's ever in it.
#pragma once
#include <string>

#include "huntd/prepare.h"

namespace huntd {

inline constexpr int exit_config = 78;  // EX_CONFIG, sysexits.h

// Runs the service until it is told to stop; returns the exit status.
int run_parent(Prepared prepared, const std::string& config_path);

}  // namespace huntd
