// SPDX-License-Identifier: Apache-2.0
// Looks up the addresses of a name on a thread of its own, because a resolver may take as long as
// it likes.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace huntd {

// One host name, and at most one look-up of it at a time. The thread exists only during a look-up.
// It shares nothing with this object but the memory of the result, which the last of the two frees:
// both the object and the process may end while a resolver hangs.
class NameLookup {
 public:
  explicit NameLookup(std::string host);
  ~NameLookup();
  NameLookup(const NameLookup&) = delete;
  NameLookup& operator=(const NameLookup&) = delete;

  // Starts a look-up, unless one runs or has a result that has not been taken: then take() gives
  // the result of that one. Fails if the kernel gives no thread or descriptor.
  Result<void> start();
  // An eventfd that poll(2) reports as readable when the look-up has ended. It stays this object's
  // and is the same for all look-ups. REQUIRES: start() succeeded once.
  int descriptor() const;
  // Takes the result, as of resolve() in base/net.h; nothing while there is none.
  std::optional<Result<std::vector<std::string>>> take();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  bool started_ = false;  // and its result is not taken
};

}  // namespace huntd
