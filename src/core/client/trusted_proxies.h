// SPDX-License-Identifier: Apache-2.0
// Which proxies may say whom a connection or a request comes from (http.trusted_proxies).
#pragma once
#include <string>
#include <vector>

#include "base/ip_address.h"
#include "environment/network.h"
#include "http/parser.h"

namespace huntd::server {

class TrustedProxies {
 public:
  TrustedProxies() = default;
  // REQUIRES: `entries` is a value of http.trusted_proxies.
  explicit TrustedProxies(const std::vector<std::string>& entries);

  bool any() const { return unix_socket_ || !networks_.empty(); }
  bool trusts(const Peer& peer) const;
  // Who sent a request that came from `peer`, which is trusted: the last address of X-Forwarded-For
  // that is not a trusted proxy's. If all are, the first one; without the header `peer`. An element
  // that is not an address ends the list: what is left of it cannot be trusted.
  Peer client_of(const RequestHead& head, const Peer& peer) const;

 private:
  std::vector<Cidr> networks_;
  bool unix_socket_ = false;
};

}  // namespace huntd::server
