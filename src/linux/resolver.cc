// SPDX-License-Identifier: Apache-2.0
#include "linux/resolver.h"

#include <utility>

#include "base/check.h"
#include "base/net.h"

namespace huntd::server {

void UringResolver::resolve(const Address& name, ResolveUser& user) {
  CHECK(waited_for_ == nullptr);
  auto const fail = [&](const std::string& why) {
    user.on_resolved(Error{"cannot resolve " + name.host + ": " + why});
  };
  RingCall<Hosts>* const call = calls_.of(name.host);
  if (call == nullptr) return fail("the look-ups of too many other names hang");
  waited_for_ = call;
  Result<void> const started = call->start([host = name.host] { return huntd::resolve(host); },
                                           [this, &user, port = name.port](Result<Hosts> found) {
                                             waited_for_ = nullptr;
                                             if (!found) return user.on_resolved(found.error());
                                             std::vector<Address> addresses;
                                             for (std::string& host : *found)
                                               addresses.push_back({false, std::move(host), port});
                                             user.on_resolved(std::move(addresses));
                                           });
  if (started) return;
  waited_for_ = nullptr;
  fail(started.error().message);
}

void UringResolver::give_up() {
  if (waited_for_ != nullptr) std::exchange(waited_for_, nullptr)->give_up();
}

}  // namespace huntd::server
