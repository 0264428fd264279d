// SPDX-License-Identifier: Apache-2.0
// Serves the admin port for the sample region on a free loopback port and prints the port; ends
// with SIGTERM. For tests of clients of the admin port.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstdio>
#include <utility>

#include "admin_http/admin_http_limits.h"
#include "base/net.h"
#include "huntd/admin/admin.h"
#include "metrics/sample_metrics.h"

int main() {
  using namespace huntd;
  using namespace huntd::server;
  SharedRegion region = testing::sample_region(2, 20'000);
  // The heartbeats stay current for the whole test.
  for (uint32_t core = 0; core < region.cores(); ++core)
    region.core(core).heartbeat_ns.store(UINT64_MAX / 2);
  Result<UniqueFd> listener = listen_tcp("127.0.0.1", 0, limits::admin_backlog);
  if (!listener) return 1;
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  if (getsockname(listener->get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return 1;
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return run_admin(region, std::move(*listener), Private::shown);
}
