// SPDX-License-Identifier: Apache-2.0
// Resolver by getaddrinfo(3) on a thread that exists during a look-up only and reports its end to
// the ring by an eventfd. A numeric address needs none of this. The core's process ends by
// _exit(2), which does not wait for the thread.
#pragma once
#include <string>
#include <vector>

#include "environment/resolver.h"
#include "linux/ring_call.h"

namespace huntd::server {

class UringResolver final : public Resolver {
 public:
  // `ring` outlives it, and it outlives the look-ups that it has started.
  explicit UringResolver(Ring& ring) : calls_(ring, "huntd-resolver") {}

  void resolve(const Address& name, ResolveUser& user) override;
  void give_up() override;

 private:
  using Hosts = std::vector<std::string>;
  RingCalls<Hosts> calls_;
  RingCall<Hosts>* waited_for_ = nullptr;  // by the user
};

}  // namespace huntd::server
