// SPDX-License-Identifier: Apache-2.0
// The admin port: health, metrics, latencies and a web page. It has a process of its own, so that a
// slow scrape cannot delay a hunt. The public port has none of these paths.
#pragma once
#include "base/unique_fd.h"
#include "metrics/private.h"
#include "metrics/shared_region.h"

namespace huntd::server {

// Serves on `listener` until SIGTERM or the death of the parent ends the process. Ignores SIGINT,
// SIGHUP, SIGUSR1 and SIGUSR2, which the parent handles. `what` says whether /errors.json and
// /lines.json show what hunters sent, and /loot.json the loot. Returns an exit status if the socket
// failed. REQUIRES: called in the forked admin process.
int run_admin(const SharedRegion& region, UniqueFd listener, Private what);

}  // namespace huntd::server
