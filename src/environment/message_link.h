// SPDX-License-Identifier: Apache-2.0
// Whole messages to and from one sibling process: another core, or the parent.
#pragma once
#include <string_view>

namespace huntd::server {

class MessageUser {
 public:
  // One message. `descriptor` is -1, or a file descriptor that the receiver now owns.
  virtual void on_message(std::string_view message, int descriptor) = 0;
  // The other process closed its end.
  virtual void on_link_closed() = 0;

 protected:
  ~MessageUser() = default;
};

// The messages of one tick leave as one packet at its end, in order.
class MessageLink {
 public:
  virtual ~MessageLink() = default;
  virtual void set_user(MessageUser& user) = 0;
  // Queues one message of at most limits::peer_message_bytes_max. Takes ownership of `descriptor`
  // (-1 for none) and closes it once it is sent. Returns false, and takes nothing, if the queue is
  // full (limits::peer_queue_bytes_max).
  virtual bool send(std::string_view message, int descriptor) = 0;
};

}  // namespace huntd::server
