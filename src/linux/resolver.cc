// SPDX-License-Identifier: Apache-2.0
#include "linux/resolver.h"

#include <poll.h>

#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace huntd::server {

void UringResolver::resolve(const Address& name, ResolveUser& user) {
  CHECK(user_ == nullptr && (!lookup_ || name.host == name_.host));
  if (!lookup_) lookup_.emplace(name.host);
  name_ = name;
  if (Result<void> started = lookup_->start(); !started) return user.on_resolved(started.error());
  user_ = &user;
  if (polling_) return;
  // One that ended after its user had given up.
  deliver();
  if (user_ != nullptr) poll();
}

void UringResolver::poll() {
  io_uring_prep_poll_add(ring_.prepare(*this), lookup_->descriptor(), POLLIN);
  polling_ = true;
}

void UringResolver::complete(int32_t result, uint32_t flags) {
  polling_ = false;
  deliver();
  if (user_ != nullptr) poll();
}

// Passes the result on, if there is one and a user waits for it.
void UringResolver::deliver() {
  if (user_ == nullptr) return;
  std::optional<Result<std::vector<std::string>>> found = lookup_->take();
  if (!found) return;
  ResolveUser& user = *std::exchange(user_, nullptr);
  if (!*found) return user.on_resolved(found->error());
  std::vector<Address> addresses;
  for (std::string& host : **found) addresses.push_back({false, std::move(host), name_.port});
  user.on_resolved(std::move(addresses));
}

}  // namespace huntd::server
