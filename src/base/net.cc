// SPDX-License-Identifier: Apache-2.0
#include "base/net.h"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

#include "base/limits.h"

namespace huntd {
namespace {

// How long bind_in_time() waits, and how often it looks.
constexpr int64_t bind_wait_ms = 1000;
constexpr int64_t bind_poll_ms = 20;

struct FreeAddresses {
  void operator()(addrinfo* addresses) const { freeaddrinfo(addresses); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

// An error of getaddrinfo() in words; `error_number` is errno after the call.
std::string words_of(int error, int error_number) {
  switch (error) {
    case EAI_NONAME:
      return "there is no such name";
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return "the name has no address";
    case EAI_AGAIN:
      return "no name server answered";
    case EAI_FAIL:
      return "the name server failed";
    case EAI_SYSTEM:
      return std::strerror(error_number);
    default:
      return gai_strerror(error);
  }
}

Result<Addresses> look_up(const std::string& host, int flags, uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  errno = 0;
  int const error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (error != 0) return Error{fmt::format("cannot resolve {}: {}", host, words_of(error, errno))};
  return Addresses(found);
}

std::string text_of(const std::string& host, uint16_t port) {
  bool const v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

// As bind(2), but waits for an address that another process is about to give back: the kernel closes
// the sockets of a killed process that had an io_uring a moment after its end.
bool bind_in_time(int socket, const sockaddr* address, socklen_t size) {
  timespec const pause{.tv_sec = 0, .tv_nsec = bind_poll_ms * 1'000'000};
  for (int64_t waited_ms = 0;; waited_ms += bind_poll_ms) {
    if (bind(socket, address, size) == 0) return true;
    if (errno != EADDRINUSE || waited_ms >= bind_wait_ms) return false;
    nanosleep(&pause, nullptr);
    errno = EADDRINUSE;
  }
}

// `host` is numeric. Invalid, with errno set, if it cannot listen.
UniqueFd listen_at(const std::string& host, uint16_t port, int backlog, bool v6_only) {
  sockaddr_storage address{};
  socklen_t const size = numeric_address(host, port, address);
  UniqueFd listener(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int const on = 1;
  bool const only = v6_only && address.ss_family == AF_INET6;
  if (listener.valid() &&
      setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
      setsockopt(listener.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
      (!only || setsockopt(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
      bind_in_time(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) &&
      listen(listener.get(), backlog) == 0)
    return listener;
  int const error = errno;
  listener.reset();
  errno = error;
  return listener;
}

Error cannot_listen(const std::string& where, int error) {
  return {fmt::format("cannot listen on {}: {}{}", where, std::strerror(error),
                      error == EADDRINUSE ? "; stop that process or use another port" : "")};
}

// Not an address of this host, or of a family that it does not have.
bool is_elsewhere(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

}  // namespace

Result<std::vector<std::string>> resolve(const std::string& host) {
  if (is_numeric(host)) return std::vector<std::string>{host};
  Result<Addresses> const found = look_up(host, AI_ADDRCONFIG, 0);
  if (!found) return found.error();
  std::vector<std::string> addresses;
  for (const addrinfo* each = found->get(); each != nullptr; each = each->ai_next) {
    char numeric[NI_MAXHOST];
    if (addresses.size() == limits::addresses_max ||
        getnameinfo(each->ai_addr, each->ai_addrlen, numeric, sizeof numeric, nullptr, 0,
                    NI_NUMERICHOST) != 0)
      continue;
    if (std::find(addresses.begin(), addresses.end(), numeric) == addresses.end())
      addresses.emplace_back(numeric);
  }
  if (addresses.empty()) return Error{fmt::format("cannot resolve {}: no address", host)};
  return addresses;
}

socklen_t numeric_address(const std::string& host, uint16_t port, sockaddr_storage& into) {
  Result<Addresses> const found = look_up(host, AI_NUMERICHOST, port);
  if (!found || (*found)->ai_addrlen > sizeof into) return 0;
  std::memcpy(&into, (*found)->ai_addr, (*found)->ai_addrlen);
  return (*found)->ai_addrlen;
}

bool is_numeric(const std::string& host) {
  sockaddr_storage address{};
  return numeric_address(host, 0, address) != 0;
}

Result<UniqueFd> listen_tcp(const std::string& host, uint16_t port, int backlog) {
  Result<std::vector<std::string>> const found = resolve(host);
  if (!found) return found.error();
  int error = 0;
  for (const std::string& each : *found) {
    UniqueFd listener = listen_at(each, port, backlog, false);
    if (listener.valid()) return listener;
    error = errno;
    if (!is_elsewhere(error)) return cannot_listen(text_of(each, port), error);
  }
  return cannot_listen(text_of(host, port), error);
}

Result<ListenEach> listen_tcp_each(const std::string& host, uint16_t port, int backlog,
                                   bool v6_only) {
  Result<std::vector<std::string>> const found = resolve(host);
  if (!found) return found.error();
  ListenEach listening;
  int error = 0;
  for (const std::string& each : *found) {
    UniqueFd listener = listen_at(each, port, backlog, v6_only);
    if (listener.valid()) {
      listening.sockets.push_back(std::move(listener));
      continue;
    }
    error = errno;
    if (!is_elsewhere(error)) return cannot_listen(text_of(each, port), error);
    listening.absent.push_back(text_of(each, port));
  }
  if (listening.sockets.empty()) return cannot_listen(text_of(host, port), error);
  return listening;
}

std::string bound_address(int socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return std::strerror(errno);
  if (address.ss_family == AF_UNIX) {
    const auto& local = reinterpret_cast<const sockaddr_un&>(address);
    return fmt::format("unix:{}", std::string_view(local.sun_path,
                                                   strnlen(local.sun_path, sizeof local.sun_path)));
  }
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  int const error = getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host,
                                port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return gai_strerror(error);
  bool const v6 = address.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host, v6 ? "]" : "", port);
}

}  // namespace huntd
