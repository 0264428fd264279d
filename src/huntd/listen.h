// SPDX-License-Identifier: Apache-2.0
// The listening sockets: our own, or those that systemd passed.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "base/unix_listener.h"
#include "config/config.h"

namespace huntd::server {

// What systemd passed (LISTEN_FDS, sd_listen_fds(3)). Each is a stream socket, of IPv4, IPv6 or a
// path, that listens.
struct InheritedSockets {
  std::vector<UniqueFd> http;  // at most limits::listeners_max
  UniqueFd admin;              // the one that is named "admin" (FileDescriptorName=)
};
// Takes them from the environment, so that no process started later takes them. The error says
// which socket can't be used and why. REQUIRES: called once, before anything else uses descriptors.
Result<InheritedSockets> take_inherited_sockets();

// Listens on admin.listen. The error names the key.
Result<ListeningSocket> listen_for_admin(const Config& config);

// Whether only this host can connect to the socket: it is bound to a loopback address or a path.
bool is_loopback(int socket);

// The sockets of the public port.
class Listeners {
 public:
  Listeners() = default;
  ~Listeners() { close(); }
  Listeners(const Listeners&) = delete;
  Listeners& operator=(const Listeners&) = delete;

  // Listens on the sockets that systemd passed, or, if there is none, on all of http.listen, at
  // most limits::listeners_max sockets. Logs each address. The file of a unix socket gets
  // http.unix_mode; a file of a process that has ended is replaced. After an error some may be
  // open.
  Result<void> open(std::vector<UniqueFd> inherited, const Config& config);
  // They stay this object's.
  std::vector<int> descriptors() const;
  // Whether they are systemd's.
  bool passed() const { return passed_; }
  // Whether only this host can connect.
  bool only_this_host() const;
  // Closes the sockets, and removes the files that open() has made.
  void close();

 private:
  Result<void> open_tcp(const Address& address, bool v6_only);
  Result<void> open_unix(const std::string& path, mode_t mode);

  bool passed_ = false;
  std::vector<UniqueFd> sockets_;
  std::vector<SocketFile> files_;
};

}  // namespace huntd::server
