// Serves the admin port for the sample region on a free loopback port, prints the port, and ends
// with SIGTERM: for tests of what talks to it.
#include <arpa/inet.h>
#include <sys/socket.h>

#include <cstdio>

#include "../stats/sample_stats.h"
#include "admin/admin.h"

int main() {
  using namespace huntd;
  SharedRegion region = testing::sample_region(2, 20'000);
  // Beats for as long as the test lives.
  for (uint32_t core = 0; core < region.cores(); ++core)
    region.core(core).heartbeat_ns.store(UINT64_MAX / 2);
  Result<int> const listener = open_admin_listener("127.0.0.1:0");
  if (!listener) return 1;
  sockaddr_in address = {};
  socklen_t size = sizeof address;
  if (getsockname(*listener, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 1;
  std::printf("%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  return run_admin(region, *listener);
}
