// SPDX-License-Identifier: Apache-2.0
// One keep-alive connection with one request at a time. After its socket has ended, connect() opens
// another.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string_view>

#include "linux/ring.h"
#include "response.h"

namespace huntd::load {

class Connection;

// Why a connection has no socket.
enum class Ended {
  not_connected,  // connect failed
  by_header,      // the response had Connection: close
  reset,          // the server closed it without that header
  unparseable,    // the server sent something other than a response
};

// Callbacks of connections; they run while the ring reaps completions.
class ConnectionUser {
 public:
  virtual void on_open(Connection& connection) = 0;
  // The connection has become free after on_response(), in which it was not.
  virtual void on_free(Connection& connection) = 0;
  // The response to the last request. The connection may be free for the next request.
  virtual void on_response(Connection& connection, const Response& response) = 0;
  // The last request will not get a response.
  virtual void on_lost(Connection& connection, Ended reason) = 0;
  // The socket is closed; connect() opens another.
  virtual void on_ended(Connection& connection, Ended reason, int error) = 0;

 protected:
  ~ConnectionUser() = default;
};

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

class Connection {
 public:
  Connection(server::Ring& ring, ConnectionUser& user, const Address& peer, uint32_t number)
      : ring_(ring), user_(user), peer_(peer), number_(number) {}
  Connection(const Connection&) = delete;

  uint32_t number() const { return number_; }
  void connect();
  bool is_open() const { return state_ == State::open; }
  // Whether a request can be sent.
  bool is_free() const { return state_ == State::open && !waiting_ && !sending_; }
  // Sends one request. `bytes` must stay valid until on_response() or on_lost(). `due_ns` is kept
  // with the request. REQUIRES: is_free().
  void send(std::string_view bytes, uint64_t due_ns);
  bool waits_for_response() const { return waiting_; }
  // The due time of the last request.
  uint64_t due_ns() const { return due_ns_; }
  // Whether this socket has had a response.
  bool proven() const { return proven_; }
  // Whether the request that on_lost() reports met the close of a connection that had served
  // others, without a byte of a response: HTTP clients send such a request again.
  bool met_close() const { return proven_ && !reader_.in_response(); }
  // Closes the socket without callbacks; the user need not outlive this call.
  void abandon();

 private:
  enum class State { none, connecting, open, ending };

  template <void (Connection::*handler)(int32_t, uint32_t)>
  struct Step final : server::Op {
    explicit Step(Connection& owner) : connection(owner) {}
    void complete(int32_t result, uint32_t flags) override { (connection.*handler)(result, flags); }
    Connection& connection;
  };

  void on_connected(int32_t result, uint32_t flags);
  void receive();
  void on_received(int32_t result, uint32_t flags);
  void read(std::string_view bytes);
  void send_rest();
  void on_sent(int32_t result, uint32_t flags);
  void end(Ended reason, int error);
  void close_if_idle();

  server::Ring& ring_;
  ConnectionUser& user_;
  const Address& peer_;
  uint32_t number_;
  int descriptor_ = -1;
  State state_ = State::none;
  bool waiting_ = false;    // for a response
  bool sending_ = false;    // the kernel has the bytes
  bool receiving_ = false;  // the multishot receive is in the kernel
  bool proven_ = false;
  Ended ended_ = Ended::reset;
  int error_ = 0;
  uint64_t due_ns_ = 0;
  std::string_view rest_;  // the part of the request that is not sent yet
  ResponseReader reader_;
  Step<&Connection::on_connected> connected_{*this};
  Step<&Connection::on_received> received_{*this};
  Step<&Connection::on_sent> sent_{*this};
};

}  // namespace huntd::load
