// SPDX-License-Identifier: Apache-2.0
// Limits how many connections each client address may have on this core.
#pragma once
#include "base/check.h"
#include "base/hash.h"
#include "base/pool.h"
#include "environment/network.h"

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
  // `max` connections per address; 0: no limit, and nothing is counted.
  explicit AddressLimit(uint32_t max) : max_(max) {}

  bool bounded() const { return max_ > 0; }

  // Counts a new connection of `address`. Returns false, and counts nothing, if the address already
  // has `max`. Each true needs one leave().
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

  // The number of addresses that have a connection.
  size_t addresses() const { return open_.size(); }

 private:
  uint32_t max_;
  PoolMap<ClientAddress, uint32_t> open_;
};

}  // namespace huntd::server
