// SPDX-License-Identifier: Apache-2.0
#include "huntd/listen.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

#include "admin_http/admin_http_limits.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/net.h"

namespace huntd::server {
namespace {

constexpr int first_inherited = 3;  // SD_LISTEN_FDS_START
constexpr std::string_view admin_name = "admin";

int socket_option(int socket, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

// Why a passed descriptor can't be used; empty if it can.
std::string fault_of(int descriptor) {
  int const type = socket_option(descriptor, SO_TYPE);
  if (type < 0) return std::strerror(errno);
  if (type != SOCK_STREAM) return "it is not a stream socket (ListenStream=)";
  int const family = socket_option(descriptor, SO_DOMAIN);
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
    return "it is not a socket of IPv4, IPv6 or a path";
  if (socket_option(descriptor, SO_ACCEPTCONN) != 1)
    return "it does not listen (Accept=yes can't be used)";
  return "";
}

}  // namespace

Result<InheritedSockets> take_inherited_sockets() {
  const char* const pid = std::getenv("LISTEN_PID");
  const char* const count_text = std::getenv("LISTEN_FDS");
  const char* const names_text = std::getenv("LISTEN_FDNAMES");
  bool const ours = pid != nullptr && count_text != nullptr && std::atol(pid) == getpid();
  int const count = ours ? std::atoi(count_text) : 0;
  std::string names = names_text == nullptr ? "" : names_text;
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) unsetenv(name);
  InheritedSockets sockets;
  for (int descriptor = first_inherited; descriptor < first_inherited + count; ++descriptor) {
    std::string const name = names.substr(0, names.find(':'));
    names.erase(0, std::min(names.size(), name.size() + 1));
    std::string const which =
        fmt::format("the socket {} that systemd passed (descriptor {})", name, descriptor);
    if (sockets.http.size() == limits::listeners_max)
      return Error{
          fmt::format("{} is one too many: at most {} can be used", which, limits::listeners_max)};
    if (fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0)
      return Error{fmt::format("{} can't be used: {}", which, std::strerror(errno))};
    UniqueFd socket(descriptor);
    if (std::string const fault = fault_of(descriptor); !fault.empty())
      return Error{fmt::format("{} can't be used: {}", which, fault)};
    int const on = 1;
    if (socket_option(descriptor, SO_DOMAIN) != AF_UNIX)
      setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (name != admin_name) {
      sockets.http.push_back(std::move(socket));
      continue;
    }
    if (sockets.admin.valid()) return Error{fmt::format("{}: another one has the name", which)};
    sockets.admin = std::move(socket);
  }
  return sockets;
}

Result<ListeningSocket> listen_for_admin(const Config& config) {
  Result<Address> const address = parse_address(config.admin.listen);
  if (!address) return Error{"admin.listen " + address.error().message};
  auto const listened = [&]() -> Result<ListeningSocket> {
    if (address->unix_socket)
      return listen_unix(address->host, file_mode_of(config.admin.unix_mode),
                         limits::admin_backlog);
    Result<UniqueFd> socket = listen_tcp(address->host, address->port, limits::admin_backlog);
    if (!socket) return socket.error();
    return ListeningSocket{std::move(*socket)};
  };
  Result<ListeningSocket> opened = listened();
  if (!opened) return Error{"admin.listen: " + opened.error().message};
  return opened;
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

Result<void> Listeners::open(std::vector<UniqueFd> inherited, const Config& config) {
  sockets_ = std::move(inherited);
  passed_ = !sockets_.empty();
  std::vector<Address> addresses;
  for (const std::string& text : config.http.listen) {
    Result<Address> address = parse_address(text);
    if (!address) return Error{"http.listen " + address.error().message};
    addresses.push_back(std::move(*address));
  }
  mode_t const mode = file_mode_of(config.http.unix_mode);
  for (const Address& address : passed_ ? std::vector<Address>() : addresses) {
    // [::] would take the IPv4 connections of the port, too, which another entry names.
    bool const shared = std::ranges::count_if(addresses, [&](const Address& other) {
                          return !other.unix_socket && other.port == address.port;
                        }) > 1;
    Result<void> const opened =
        address.unix_socket ? open_unix(address.host, mode) : open_tcp(address, shared);
    if (!opened) return Error{"http.listen: " + opened.error().message};
  }
  if (sockets_.size() > limits::listeners_max)
    return Error{fmt::format("http.listen: these are {} sockets, more than {}", sockets_.size(),
                             limits::listeners_max)};
  for (const UniqueFd& socket : sockets_)
    log::info("listening", {{"address", bound_address(socket.get())},
                            {"by", passed_ ? "systemd" : "http.listen"}});
  return {};
}

Result<void> Listeners::open_tcp(const Address& address, bool v6_only) {
  Result<ListenEach> opened =
      listen_tcp_each(address.host, address.port, limits::listen_backlog, v6_only);
  if (!opened) return opened.error();
  for (const std::string& absent : opened->absent)
    log::warning(
        "an address of http.listen is left out",
        {{"address", absent}, {"name", address.host}, {"reason", "this host does not have it"}});
  for (UniqueFd& socket : opened->sockets) sockets_.push_back(std::move(socket));
  return {};
}

Result<void> Listeners::open_unix(const std::string& path, mode_t mode) {
  Result<ListeningSocket> opened = listen_unix(path, mode, limits::listen_backlog);
  if (!opened) return opened.error();
  sockets_.push_back(std::move(opened->socket));
  files_.push_back(std::move(opened->file));
  return {};
}

std::vector<int> Listeners::descriptors() const {
  std::vector<int> all;
  for (const UniqueFd& socket : sockets_) all.push_back(socket.get());
  return all;
}

bool Listeners::only_this_host() const {
  return std::ranges::all_of(sockets_,
                             [](const UniqueFd& socket) { return is_loopback(socket.get()); });
}

void Listeners::close() {
  sockets_.clear();
  files_.clear();
}

}  // namespace huntd::server
