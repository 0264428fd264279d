// SPDX-License-Identifier: Apache-2.0
// The socket on which the parent takes deploys from huntctl (decision 64). No call waits.
#pragma once
#include <poll.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "bundle/deploy_message.h"

namespace huntd::server {

class DeployPort {
 public:
  struct Call {
    DeployRequest request;
    UniqueFd descriptor;  // that came with it; invalid: none
  };
  // What a request gets at once; nothing: finish() follows.
  struct Served {
    DeployReply reply;
    int descriptor = -1;  // sent with it; stays the caller's
  };
  using Serve = std::function<std::optional<Served>(Call)>;

  // Listens at deploy_address() of this process.
  Result<void> open(uint64_t pid, uint64_t start_ticks);
  // What poll() should wait for.
  void add_to(std::vector<pollfd>& waits) const;
  // All open descriptors, for children that must not keep them.
  std::vector<int> descriptors() const;
  // Accepts connections, a bounded number per call, and reads requests. Only root and the user of
  // this process are served, and only processes of its pid namespace or of one below.
  // REQUIRES: `serve` returns nothing for at most one request at a time.
  void step(uint64_t now_ns, const Serve& serve);

  // To the client whose request waits; it may have gone.
  void show_progress(const std::string& text);
  void finish(const DeployReply& reply);

 private:
  struct Client {
    UniqueFd socket;
    uint64_t since_ns = 0;
    bool waits = false;  // for finish()
  };
  void accept_new(uint64_t now_ns);
  bool read_request(Client& client, const Serve& serve);

  UniqueFd listener_;
  std::vector<Client> clients_;
  std::string shown_;
};

}  // namespace huntd::server
