// One keep-alive connection: one request at a time, and the way back to a new socket where the old
// one ended.
#pragma once
#include <sys/socket.h>

#include <cstdint>
#include <string_view>

#include "answer.h"
#include "uring/ring.h"

namespace huntd::load {

class Connection;

// How a connection came to be without a socket.
enum class Ended {
  not_connected,  // connect failed
  asked,          // the server said Connection: close, and meant it
  reset,          // it closed without a word
  unparseable,    // it sent what is no answer
};

// Who is told what happens on connections, always from within the ring's reaping.
class ConnectionUser {
 public:
  virtual void on_open(Connection& connection) = 0;
  // The connection is free, some time after an answer at which it was not.
  virtual void on_free(Connection& connection) = 0;
  // The answer to the request that was sent; the connection may be free for the next.
  virtual void on_answer(Connection& connection, const Answer& answer) = 0;
  // The request that was sent gets no answer.
  virtual void on_lost(Connection& connection, Ended why) = 0;
  // The socket is gone; connect() makes a new one.
  virtual void on_ended(Connection& connection, Ended why, int error) = 0;

 protected:
  ~ConnectionUser() = default;
};

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

class Connection {
 public:
  Connection(uring::Ring& ring, ConnectionUser& user, const Address& peer, uint32_t number)
      : ring_(ring), user_(user), peer_(peer), number_(number) {}
  Connection(const Connection&) = delete;

  uint32_t number() const { return number_; }
  void connect();
  bool is_open() const { return state_ == State::open; }
  // A request may be sent.
  bool is_free() const { return state_ == State::open && !waiting_ && !sending_; }
  // Sends one request, whose bytes must stay until its answer or its loss. `due_ns` goes with it.
  void send(std::string_view bytes, uint64_t due_ns);
  bool waits_for_answer() const { return waiting_; }
  // Of the request that was sent last.
  uint64_t due_ns() const { return due_ns_; }
  // This socket has brought an answer.
  bool proven() const { return proven_; }
  // Closes the socket without a word to the user, who may be gone afterwards.
  void abandon();

 private:
  enum class State { none, connecting, open, ending };

  template <void (Connection::*handler)(int32_t, uint32_t)>
  struct Step final : uring::Op {
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
  void end(Ended why, int error);
  void close_if_quiet();

  uring::Ring& ring_;
  ConnectionUser& user_;
  const Address& peer_;
  uint32_t number_;
  int descriptor_ = -1;
  State state_ = State::none;
  bool waiting_ = false;    // for an answer
  bool sending_ = false;    // the kernel has the bytes
  bool receiving_ = false;  // the multishot receive is in the kernel
  bool proven_ = false;
  Ended ended_ = Ended::reset;
  int error_ = 0;
  uint64_t due_ns_ = 0;
  std::string_view rest_;  // of the request, not sent yet
  AnswerReader reader_;
  Step<&Connection::on_connected> connected_{*this};
  Step<&Connection::on_received> received_{*this};
  Step<&Connection::on_sent> sent_{*this};
};

}  // namespace huntd::load
