// SPDX-License-Identifier: Apache-2.0
#include "base/net.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace huntd {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Result<Addresses> look_up(const std::string& host, int flags, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  int const error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return Error{fmt::format("cannot resolve {}: {}", host, gai_strerror(error))};
  return Addresses(found);
}

}  // namespace

Result<std::string> resolve(const std::string& host) {
  Result<Addresses> const found = look_up(host, 0, 0);
  if (!found) return found.error();
  char numeric[NI_MAXHOST];
  const addrinfo& first = **found;
  int const error = getnameinfo(first.ai_addr, first.ai_addrlen, numeric, sizeof numeric, nullptr,
                                0, NI_NUMERICHOST);
  if (error != 0) return Error{fmt::format("cannot resolve {}: {}", host, gai_strerror(error))};
  return std::string(numeric);
}

Result<UniqueFd> listen_tcp(const std::string& host, uint16_t port, int backlog) {
  Result<Addresses> const found = look_up(host, AI_PASSIVE, port);
  if (!found) return found.error();
  const addrinfo& first = **found;
  UniqueFd listener(socket(first.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int const on = 1;
  if (listener.valid() &&
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      setsockopt(listener.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
      bind(listener.get(), first.ai_addr, first.ai_addrlen) == 0 &&
      listen(listener.get(), backlog) == 0)
    return listener;
  int const error = errno;
  bool const v6 = first.ai_family == AF_INET6;
  return Error{fmt::format("cannot listen on {}{}{}:{}: {}{}", v6 ? "[" : "", host, v6 ? "]" : "",
                           port, std::strerror(error),
                           error == EADDRINUSE ? "; stop that process or use another port" : "")};
}

}  // namespace huntd
