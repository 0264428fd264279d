// SPDX-License-Identifier: Apache-2.0
#include "base/unix_listener.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace huntd {
namespace {

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

SocketFile::SocketFile(std::string path) {
  struct stat file {};
  if (stat(path.c_str(), &file) != 0) return;
  path_ = std::move(path);
  device_ = file.st_dev;
  number_ = file.st_ino;
}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
  if (this == &other) return *this;
  remove();
  path_ = std::exchange(other.path_, {});
  device_ = other.device_;
  number_ = other.number_;
  return *this;
}

void SocketFile::remove() {
  struct stat now {};
  if (path_.empty()) return;
  if (lstat(path_.c_str(), &now) == 0 && now.st_dev == device_ && now.st_ino == number_)
    unlink(path_.c_str());
  path_.clear();
}

Result<ListeningSocket> listen_unix(const std::string& path, mode_t mode, int backlog) {
  auto const failed = [&](const std::string& why) {
    return Error{fmt::format("cannot listen on unix:{}: {}", path, why)};
  };
  sockaddr_un address{};
  if (path.size() >= sizeof address.sun_path) return failed("the path is too long");
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ListeningSocket made{UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  if (!made.socket.valid()) return failed(std::strerror(errno));
  if (Result<void> bound = bind_to(made.socket.get(), address, mode); !bound)
    return failed(bound.error().message);
  made.file = SocketFile(path);
  if (listen(made.socket.get(), backlog) != 0) return failed(std::strerror(errno));
  return made;
}

}  // namespace huntd
