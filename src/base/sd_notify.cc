// SPDX-License-Identifier: Apache-2.0
#include "base/sd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace huntd::systemd {

bool notify(std::string_view state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return false;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  size_t const length = std::strlen(path);
  if (length >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace (unix(7))
  int const socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return false;
  auto const address_bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  ssize_t const sent = sendto(socket_fd, state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), address_bytes);
  close(socket_fd);
  return sent == static_cast<ssize_t>(state.size());
}

uint64_t watchdog_interval_us() {
  const char* interval = std::getenv("WATCHDOG_USEC");
  if (interval == nullptr) return 0;
  const char* watched = std::getenv("WATCHDOG_PID");
  if (watched != nullptr && std::strtol(watched, nullptr, 10) != getpid()) return 0;
  return std::strtoull(interval, nullptr, 10) / 2;
}

}  // namespace huntd::systemd
