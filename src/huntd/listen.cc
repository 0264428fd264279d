// SPDX-License-Identifier: Apache-2.0
#include "huntd/listen.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <utility>

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

// Removes the file of a socket on which no process listens.
Result<void> remove_stale(const sockaddr_un& address) {
  const char* const path = address.sun_path;
  struct stat file {};
  if (lstat(path, &file) != 0 || !S_ISSOCK(file.st_mode))
    return Error{fmt::format("{} is not a socket: remove it, or use another path", path)};
  UniqueFd const probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  bool const stale =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno == ECONNREFUSED;
  if (!stale) return Error{"another process listens there; stop that process or use another path"};
  if (unlink(path) != 0) return Error{fmt::format("unlink: {}", std::strerror(errno))};
  return {};
}

// Binds `socket` to a path. The file never permits more than `mode`.
Result<void> bind_to(int socket, const sockaddr_un& address, mode_t mode) {
  auto const bound = [&] {
    return bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  };
  if (fchmod(socket, mode) != 0) return Error{fmt::format("fchmod: {}", std::strerror(errno))};
  if (!bound()) {
    if (errno != EADDRINUSE) return Error{std::strerror(errno)};
    if (Result<void> removed = remove_stale(address); !removed) return removed;
    if (!bound()) return Error{std::strerror(errno)};
  }
  // The umask has taken bits away.
  if (chmod(address.sun_path, mode) == 0) return {};
  Error const error{fmt::format("chmod: {}", std::strerror(errno))};
  unlink(address.sun_path);
  return error;
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
    if (socket_option(descriptor, SO_DOMAIN) == AF_UNIX)
      return Error{fmt::format("{} can't be used: the admin port is TCP only", which)};
    sockets.admin = std::move(socket);
  }
  return sockets;
}

Result<UniqueFd> listen_on(const std::string& text, const char* key, int backlog) {
  Result<Address> const address = parse_address(text);
  if (!address) return Error{fmt::format("{} {}", key, address.error().message)};
  Result<UniqueFd> listener = listen_tcp(address->host, address->port, backlog);
  if (!listener) return Error{fmt::format("{}: {}", key, listener.error().message)};
  return listener;
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
  bool const passed = !sockets_.empty();
  std::vector<Address> addresses;
  for (const std::string& text : config.http.listen) {
    Result<Address> address = parse_address(text);
    if (!address) return Error{"http.listen " + address.error().message};
    addresses.push_back(std::move(*address));
  }
  auto const mode = static_cast<mode_t>(std::stoul(config.http.unix_mode, nullptr, 8));
  for (const Address& address : passed ? std::vector<Address>() : addresses) {
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
                            {"by", passed ? "systemd" : "http.listen"}});
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
  auto const failed = [&](const std::string& why) {
    return Error{fmt::format("cannot listen on unix:{}: {}", path, why)};
  };
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return failed("the path is too long");
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return failed(std::strerror(errno));
  if (Result<void> bound = bind_to(socket.get(), address, mode); !bound)
    return failed(bound.error().message);
  struct stat file {};
  if (stat(path.c_str(), &file) == 0) files_.push_back({path, file.st_dev, file.st_ino});
  if (listen(socket.get(), limits::listen_backlog) != 0) return failed(std::strerror(errno));
  sockets_.push_back(std::move(socket));
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
  // Another process may have replaced the file.
  for (const File& file : std::exchange(files_, {})) {
    struct stat now {};
    if (lstat(file.path.c_str(), &now) == 0 && now.st_dev == file.device &&
        now.st_ino == file.number)
      unlink(file.path.c_str());
  }
}

}  // namespace huntd::server
