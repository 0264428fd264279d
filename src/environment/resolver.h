// SPDX-License-Identifier: Apache-2.0
// The addresses of a host name. A name server may take as long as it likes, and a core must not
// wait for it.
#pragma once
#include <vector>

#include "base/result.h"
#include "config/config.h"

namespace huntd::server {

// Callback of Resolver::resolve(); called at most once per call.
class ResolveUser {
 public:
  // Numeric addresses with the name's port, in the order in which they are to be tried: 1 to
  // limits::addresses_max. The error names the host and says in words why it has none.
  virtual void on_resolved(Result<std::vector<Address>> found) = 0;

 protected:
  ~ResolveUser() = default;
};

// One name at a time.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // Looks the name up. May call back before it returns. If the user has given up on a look-up
  // of this name that still runs, or that has ended since, gives the result of that one. REQUIRES:
  // `name` is not a unix socket; no user waits.
  virtual void resolve(const Address& name, ResolveUser& user) = 0;
  // The user waits no longer: no callback follows.
  virtual void give_up() = 0;
};

}  // namespace huntd::server
