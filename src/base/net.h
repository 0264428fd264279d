// SPDX-License-Identifier: Apache-2.0
// Names, addresses and listening sockets. What takes a name blocks on a resolver: it is for the
// start of a program, or for a thread of its own (base/name_lookup.h).
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

// Returns the numeric addresses of a host name in the order in which they are to be tried (RFC
// 6724), each once: 1 to limits::addresses_max. A family of which this host has no address is left
// out (AI_ADDRCONFIG). A numeric address is returned unchanged. The error names the host and says
// in words why it has none.
Result<std::vector<std::string>> resolve(const std::string& host);

// Fills in the socket address of a numeric host (IPv6 without brackets, with %SCOPE if it has one)
// and returns its size in bytes; 0 if `host` is a name. Asks no resolver.
socklen_t numeric_address(const std::string& host, uint16_t port, sockaddr_storage& into);
bool is_numeric(const std::string& host);

// Opens a TCP socket that listens on `host` (a name or an address; IPv6 without brackets) with
// SO_REUSEADDR; accepted sockets inherit its TCP_NODELAY. Of a name, on its first address that this
// host has. `port` 0: a free one. Waits up to a second for an address that is in use.
Result<UniqueFd> listen_tcp(const std::string& host, uint16_t port, int backlog);

struct ListenEach {
  std::vector<UniqueFd> sockets;  // one per address, in the resolver's order
  std::vector<std::string>
      absent;  // addresses of the name that this host does not have, with the port
};
// The same on every address of the name that this host has; at least one. `v6_only`: an IPv6 socket
// does not accept IPv4 connections.
Result<ListenEach> listen_tcp_each(const std::string& host, uint16_t port, int backlog,
                                   bool v6_only);

// Where a listening socket is bound, as a config file has it: "127.0.0.1:8080", "[::1]:80",
// "unix:/path".
std::string bound_address(int socket);

}  // namespace huntd
