// SPDX-License-Identifier: Apache-2.0
// Calls the parent of the huntd on this host to change its scripts (decision 64).
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bundle/bundle.h"
#include "bundle/deploy_message.h"

namespace huntd::huntctl {

class DeployCall {
 public:
  // Finds the parent by the admin port, and connects to it. The error says that it does not run
  // here, or is too old.
  static Result<DeployCall> open(const std::string& admin_address);
  // The bundle that is live.
  Result<Bundle> look();
  // Sends the request, with `descriptor` if it is not -1, and waits for the result, showing what
  // huntd does. The reply is not `progress`.
  Result<DeployReply> order(const DeployRequest& request, int descriptor);

 private:
  explicit DeployCall(UniqueFd socket) : socket_(std::move(socket)) {}
  Result<DeployReply> receive(UniqueFd& descriptor);
  Result<void> send(const DeployRequest& request, int descriptor);

  UniqueFd socket_;
};

// Who runs the command: "alice", or "alice (sudo)".
std::string operator_name();

// What another bundle changes; hunts by name, sorted.
struct BundleChanges {
  std::vector<std::string> added;
  std::vector<std::string> changed;
  std::vector<std::string> removed;
  size_t same = 0;
  std::vector<std::string> modules;  // that differ, or that only one of the two has

  bool none() const {
    return added.empty() && changed.empty() && removed.empty() && modules.empty();
  }
};
// The error says that one of them cannot be read.
Result<BundleChanges> changes_between(const Bundle& before, const Bundle& after);
// A line per hunt, such as "added    gold", and per module.
std::string changes_text(const BundleChanges& changes);
// "added":[…],"changed":[…],"removed":[…],"same":N,"modules":[…]
std::string changes_json(const BundleChanges& changes);

}  // namespace huntd::huntctl
