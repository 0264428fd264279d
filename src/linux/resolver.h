// SPDX-License-Identifier: Apache-2.0
// Resolver by getaddrinfo(3) on a thread that exists during a look-up only and reports its end to
// the ring by an eventfd. A numeric address needs none of this. The core's process ends by
// _exit(2), which does not wait for the thread.
#pragma once
#include <optional>

#include "base/name_lookup.h"
#include "environment/resolver.h"
#include "linux/ring.h"

namespace huntd::server {

class UringResolver final : public Resolver, private Op {
 public:
  // `ring` outlives it, and it outlives the look-up that it has started.
  explicit UringResolver(Ring& ring) : ring_(ring) {}

  void resolve(const Address& name, ResolveUser& user) override;
  void give_up() override { user_ = nullptr; }

 private:
  void complete(int32_t result, uint32_t flags) override;
  void deliver();
  void poll();

  Ring& ring_;
  std::optional<NameLookup> lookup_;  // from the first resolve() on
  Address name_;
  ResolveUser* user_ = nullptr;
  bool polling_ = false;  // the kernel watches the look-up's descriptor
};

}  // namespace huntd::server
