// SPDX-License-Identifier: Apache-2.0
// Limits how many connections each client address may have on this core; of clients behind a proxy
// that says who they are, how many requests may run (decision 52).
#pragma once
#include <cstdint>

#include "base/check.h"
#include "base/hash.h"
#include "base/ip_address.h"
#include "base/pool.h"

namespace huntd::server {

// A client's address, at the granularity of a per-client limit: an IPv4 address, or the first 64
// bits of an IPv6 address, which is the smallest network that a customer is given (RFC 6177, RFC
// 4291).
struct ClientAddress {
  bool v6 = false;
  uint64_t bits = 0;
  bool operator==(const ClientAddress&) const = default;
};

inline ClientAddress client_address(const IpAddress& of) {
  ClientAddress found;
  found.v6 = !of.is_v4();
  for (size_t i = found.v6 ? 0 : 12; i < (found.v6 ? 8 : 16); ++i)
    found.bits = found.bits << 8 | of.bytes[i];
  return found;
}

}  // namespace huntd::server

namespace huntd {

template <>
struct PoolHash<server::ClientAddress> {
  size_t operator()(const server::ClientAddress& address) const {
    return hash64({reinterpret_cast<const char*>(&address.bits), sizeof address.bits});
  }
};

}  // namespace huntd

namespace huntd::server {

class AddressLimit {
 public:
  // `max` connections or requests per address; 0: no limit, and nothing is counted.
  explicit AddressLimit(uint32_t max) : max_(max) {}

  bool bounded() const { return max_ > 0; }

  // Counts a new connection or request of `address`. Returns false, and counts nothing, if the
  // address already has `max`. Each true needs one leave().
  bool enter(const ClientAddress& address) {
    if (!bounded()) return true;
    uint32_t& open = open_.try_emplace(address).first->second;
    if (open >= max_) return false;
    ++open;
    return true;
  }

  void leave(const ClientAddress& address) {
    if (!bounded()) return;
    auto const found = open_.find(address);
    CHECK(found != open_.end());
    if (--found->second == 0) open_.erase(found);
  }

  // The number of addresses that have a connection or a request.
  size_t addresses() const { return open_.size(); }

 private:
  uint32_t max_;
  PoolMap<ClientAddress, uint32_t> open_;
};

// One connection or request that was counted, until it is destroyed.
class AddressPlace {
 public:
  // REQUIRES: limit.enter(address) returned true, and no leave() follows it.
  AddressPlace(AddressLimit& limit, const ClientAddress& address)
      : limit_(limit), address_(address) {}
  AddressPlace(const AddressPlace&) = delete;
  AddressPlace& operator=(const AddressPlace&) = delete;
  ~AddressPlace() { limit_.leave(address_); }

 private:
  AddressLimit& limit_;
  ClientAddress address_;
};

}  // namespace huntd::server
