#include "huntd/listen.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/config.h"
#include "base/limits.h"

namespace huntd {
namespace {}  // namespace

Result<int> listen_on(const std::string& text, const char* key) {
  Result<Address> address = parse_address(text);
  if (!address) return address.error();
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* found = nullptr;
  int const error =
      getaddrinfo(address->host.c_str(), std::to_string(address->port).c_str(), &hints, &found);
  if (error != 0) return Error{fmt::format("{}: {}: {}", key, text, gai_strerror(error))};
  int const descriptor = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int const on = 1;
  bool fine = descriptor >= 0;
  if (fine) {
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on,
               sizeof on);  // accepted sockets inherit it
    fine = bind(descriptor, found->ai_addr, found->ai_addrlen) == 0 &&
           listen(descriptor, limits::listen_backlog) == 0;
  }
  std::string const why = std::strerror(errno);
  freeaddrinfo(found);
  if (fine) return descriptor;
  if (descriptor >= 0) close(descriptor);
  return Error{fmt::format("{}: can't listen on {}: {}", key, text, why)};
}

int inherited_socket() {
  const char* pid = std::getenv("LISTEN_PID");
  const char* count = std::getenv("LISTEN_FDS");
  if (pid == nullptr || count == nullptr || std::atol(pid) != getpid() || std::atoi(count) < 1)
    return -1;
  constexpr int first = 3;
  fcntl(first, F_SETFD, FD_CLOEXEC);
  int const on = 1;
  setsockopt(first, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return first;
}

bool is_loopback(int descriptor) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) != 0) return false;
  if (address.ss_family == AF_UNIX) return true;
  if (address.ss_family == AF_INET)
    return (ntohl(reinterpret_cast<sockaddr_in&>(address).sin_addr.s_addr) >> 24) == IN_LOOPBACKNET;
  return address.ss_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<sockaddr_in6&>(address).sin6_addr);
}

}  // namespace huntd
