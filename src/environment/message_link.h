// SPDX-License-Identifier: Apache-2.0
// Whole messages to and from one sibling process: another core, or the parent.
#pragma once
#include <cstddef>
#include <string_view>

namespace huntd::server {

class MessageUser {
 public:
  // One message. `descriptor` is -1, or a file descriptor that the receiver now owns.
  virtual void on_message(std::string_view message, int descriptor) = 0;
  // The other process closed its end.
  virtual void on_link_closed() = 0;
  // room() may be larger than before.
  virtual void on_room() {}

 protected:
  ~MessageUser() = default;
};

// The messages of one tick leave as one packet at its end, in order. A link reads all the time,
// also while it has no room: otherwise two cores could wait for each other.
class MessageLink {
 public:
  virtual ~MessageLink() = default;
  virtual void set_user(MessageUser& user) = 0;
  // How many bytes the link takes now. A message takes its size and
  // limits::peer_message_prefix_bytes. An empty link has room for any message.
  virtual size_t room() const = 0;
  // Queues one message of at most limits::peer_message_bytes_max. Takes ownership of `descriptor`
  // (-1 for none) and closes it once it is sent. Returns false, and takes nothing, if the queue
  // would have more than limits::peer_queue_bytes_max.
  virtual bool send(std::string_view message, int descriptor) = 0;
};

}  // namespace huntd::server
