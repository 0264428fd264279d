// SPDX-License-Identifier: Apache-2.0
// Byte streams: clients' connections, and connections to servers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/ip_address.h"
#include "base/result.h"
#include "config/config.h"

namespace huntd::server {

// Callbacks of a Stream.
class StreamUser {
 public:
  // Received bytes; the view is valid only during the call.
  virtual void on_bytes(std::string_view bytes) = 0;
  // Reading has ended: 0 if the peer closed its side, else an errno. No on_bytes() follows.
  virtual void on_end(int error) = 0;
  // The send in flight has completed: 0 or an errno. The next one may start within the call.
  virtual void on_sent(int error) = 0;
  // The result of Stream::release(): a file descriptor, which the user now owns, or a negative
  // errno.
  virtual void on_released(int) {}

 protected:
  ~StreamUser() = default;
};

// A connected byte stream. Owned through StreamPtr.
class Stream {
 public:
  virtual void set_user(StreamUser& user) = 0;
  // Starts to read; reading continues until pause() or on_end().
  virtual void read() = 0;
  // Stops reading. Bytes that have already arrived may still be delivered; on_end(ECANCELED)
  // confirms that reading has stopped.
  virtual void pause() = 0;
  // Sends all of `bytes`. Takes its memory by swapping, so that the capacity of both strings is
  // reused. REQUIRES: not sending().
  virtual void send(std::string& bytes) = 0;
  virtual bool sending() const = 0;
  // Says more of what on_end() or on_sent() reported than its errno; empty: there is no more.
  virtual std::string_view fault() const { return {}; }
  // Detaches the socket so that it can be passed to another process. Calls on_released(), possibly
  // before release() returns; on failure the stream remains usable. REQUIRES: paused and not
  // sending.
  virtual void release() = 0;
  // Shuts down the sending side, as shutdown(SHUT_WR); reading continues.
  virtual void finish_sending() = 0;
  // Closes the stream. No callback follows. The implementation keeps the memory until the kernel no
  // longer uses it.
  virtual void close() = 0;

 protected:
  ~Stream() = default;
};
struct StreamCloser {
  void operator()(Stream* stream) const { stream->close(); }
};
using StreamPtr = std::unique_ptr<Stream, StreamCloser>;

// Callback of Network::connect(); called once.
class ConnectUser {
 public:
  virtual void on_connected(Result<StreamPtr> stream) = 0;

 protected:
  ~ConnectUser() = default;
};

// Who is at the other end of a client's connection. It goes from core to core as bytes.
struct Peer {
  enum class Kind : uint8_t { unknown, unix_socket, ip };
  Kind kind = Kind::unknown;
  IpAddress address{};  // ip
  bool operator==(const Peer&) const = default;
};

// Receives accepted connections.
class AcceptUser {
 public:
  // `from` is unknown unless start_accepting() asked for peers.
  virtual void on_accepted(StreamPtr stream, const Peer& from) = 0;
  // How many more connections can be accepted now. Further clients wait in the listen backlog.
  virtual size_t room() const = 0;

 protected:
  ~AcceptUser() = default;
};

class Network {
 public:
  virtual ~Network() = default;
  // REQUIRES: `address` is a numeric one or a unix socket, perhaps with the name that it was found by.
  virtual void connect(const Address& address, ConnectUser& user) = 0;
  // `with_peers` asks who connects, which costs one more operation per connection over TCP.
  virtual void start_accepting(AcceptUser& user, bool with_peers) = 0;
  virtual void stop_accepting() = 0;
  // Makes a stream of a connection that another core handed over. Takes ownership of `descriptor`.
  virtual StreamPtr adopt(int descriptor) = 0;
};

}  // namespace huntd::server
