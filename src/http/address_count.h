// How many connections each client address has open on this core, and whether it may have one more.
#pragma once
#include "base/check.h"
#include "base/hash.h"
#include "base/pool.h"
#include "io/outside.h"

namespace huntd {

template <>
struct TableHash<ClientAddress> {
  size_t operator()(const ClientAddress& address) const {
    return hash64({reinterpret_cast<const char*>(&address.bits), sizeof address.bits});
  }
};

class AddressCount {
 public:
  // `max` connections an address; 0: as many as it likes, and nothing is counted.
  explicit AddressCount(uint32_t max) : max_(max) {}

  bool bounded() const { return max_ > 0; }

  // One more connection of `address`; false where it has `max` already. Each true wants one
  // leave().
  bool enter(const ClientAddress& address) {
    if (!bounded()) return true;
    uint32_t& open = open_.try_emplace(address).first->second;
    if (open >= max_) return false;
    ++open;
    return true;
  }

  void leave(const ClientAddress& address) {
    if (!bounded()) return;
    auto const place = open_.find(address);
    CHECK(place != open_.end());
    if (--place->second == 0) open_.erase(place);
  }

  // Those that have a connection; never more than there are connections.
  size_t addresses() const { return open_.size(); }

 private:
  uint32_t max_;
  Table<ClientAddress, uint32_t> open_;
};

}  // namespace huntd
