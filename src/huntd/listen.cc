// SPDX-License-Identifier: Apache-2.0
#include "huntd/listen.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "base/net.h"
#include "config/config.h"

namespace huntd::server {

Result<UniqueFd> listen_on(const std::string& text, const char* key, int backlog) {
  Result<Address> const address = parse_address(text);
  if (!address) return Error{fmt::format("{} {}", key, address.error().message)};
  Result<UniqueFd> listener = listen_tcp(address->host, address->port, backlog);
  if (!listener) return Error{fmt::format("{}: {}", key, listener.error().message)};
  return listener;
}

UniqueFd inherited_socket() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atol(pid) != getpid() || std::atoi(count) < 1)
    return UniqueFd();
  constexpr int first = 3;
  fcntl(first, F_SETFD, FD_CLOEXEC);
  int const on = 1;
  setsockopt(first, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return UniqueFd(first);
}

bool is_loopback(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_UNIX) return true;
  if (address.ss_family == AF_INET)
    return (ntohl(reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
  return address.ss_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<sockaddr_in6&>(address).sin6_addr);
}

}  // namespace huntd::server
