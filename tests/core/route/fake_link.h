// SPDX-License-Identifier: Apache-2.0
// A message link whose room the test decides.
#pragma once
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "environment/message_link.h"

namespace huntd::server {

struct FakeLink final : MessageLink {
  void set_user(MessageUser& its_user) override { user = &its_user; }
  size_t room() const override { return bytes_max - std::min(bytes_max, queued_bytes); }
  bool send(std::string_view message, int descriptor) override {
    if (message.size() + limits::peer_message_prefix_bytes > room()) return false;
    queued_bytes += message.size() + limits::peer_message_prefix_bytes;
    sent.emplace_back(message);
    descriptors.push_back(descriptor);
    return true;
  }
  // The other side reads everything. Returns it.
  std::vector<std::string> drain() {
    queued_bytes = 0;
    std::vector<std::string> read = std::exchange(sent, {});
    if (user != nullptr) user->on_room();
    return read;
  }

  MessageUser* user = nullptr;
  size_t bytes_max = limits::peer_queue_bytes_max;
  size_t queued_bytes = 0;
  std::vector<std::string> sent;
  std::vector<int> descriptors;  // of each message ever sent
};

}  // namespace huntd::server
