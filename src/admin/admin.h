// The admin port: health, metrics, latencies and a page for people, served by a process of its own,
// so that nothing a scraper does can hold up a hunt. The public port has none of these routes.
#pragma once
#include <string>

#include "base/result.h"
#include "stats/shared_region.h"

namespace huntd {

// Opens the listening socket, in the parent and before the admin process is forked, so that
// "address in use" ends the start and a restarted admin process loses nobody. The caller owns the
// descriptor (close-on-exec).
Result<int> open_admin_listener(const std::string& address);

// Serves until the process is ended (SIGTERM, or the parent's death); to be called in the forked
// admin process. Takes over `listener`. Leaves signals at their defaults, but for SIGINT and
// SIGHUP, which are the parent's. The result is an exit code: 1 where the listening socket failed.
int run_admin(const SharedRegion& region, int listener);

}  // namespace huntd
