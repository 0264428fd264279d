// SPDX-License-Identifier: Apache-2.0
// A user of a message link that keeps what comes.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "environment/message_link.h"

namespace huntd::server {

struct Reader final : MessageUser {
  void on_message(std::string_view message, int descriptor) override {
    messages.emplace_back(message);
    if (descriptor >= 0) descriptors.emplace_back(messages.size() - 1, descriptor);
  }
  void on_link_closed() override {}
  void on_room() override { ++rooms; }
  std::vector<std::string> messages;
  std::vector<std::pair<size_t, int>> descriptors;  // and the message that each came with
  int rooms = 0;
};

}  // namespace huntd::server
