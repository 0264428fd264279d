// SPDX-License-Identifier: Apache-2.0
// One connection of an admin port: bytes in, one response at a time out. No call waits.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "admin_http/admin_page.h"
#include "base/unique_fd.h"
#include "http/parser.h"

namespace huntd {

class AdminConnection {
 public:
  enum class State {
    receiving,  // a request's head, or nothing yet
    waiting,    // for its page
    sending,    // the response
    ending,     // all is sent: until the client closes
    closed,
  };
  // A page that several connections may be sending. Its size counts as output until the last one
  // has sent it.
  using Body = std::shared_ptr<const AdminPage>;

  AdminConnection(UniqueFd socket, uint64_t now_ms)
      : socket_(std::move(socket)), since_ms_(now_ms) {}

  int descriptor() const { return socket_.get(); }
  State state() const { return state_; }
  // When the state, or the request that is being received, started.
  uint64_t since_ms() const { return since_ms_; }
  // When the connection has been in its state for too long; UINT64_MAX: never.
  uint64_t deadline_ms() const;
  // The events of poll() that the connection waits for.
  short wanted_events() const;
  // Bytes of a request are here that were not parsed: a client has sent one before the response to
  // the last.
  bool has_unparsed() const { return state_ == State::receiving && unparsed_; }

  // Reads what has come and parses it. On done, `head` has the request until the next call, and
  // respond() or await_page() must follow. On bad, bad() has the reason, and respond() must follow.
  // On need_more there is nothing to do; the connection may have been closed. REQUIRES: receiving.
  ParseStatus receive(RequestHead& head, uint64_t now_ms);
  const BadRequest& bad() const { return parser_.bad(); }

  // How a response is framed for its request.
  struct Framing {
    bool head_only = false;
    bool keep_alive = false;
    bool http_1_0 = false;
  };
  // The framing for `request`. A connection whose request has a body is not kept: the body is not
  // read.
  void frame(const RequestFacts& request);
  // Waits for the page of `route`.
  void await_page(const AdminRoute& route, uint64_t now_ms);
  const AdminRoute* route() const { return route_; }  // while it waits; else null
  bool in_making() const { return in_making_; }
  // The page that it waits for is being made now.
  void note_making() { in_making_ = true; }
  // Starts to send the response. `date` as in append_response(); `allow` is static text, empty: no
  // such header.
  void respond(Body body, std::string_view allow, std::string_view date, uint64_t now_ms);

  // Sends what the socket takes. REQUIRES: sending.
  void send(uint64_t now_ms);
  // Drops what has come. REQUIRES: ending.
  void discard();
  void close();

 private:
  void enter(State state, uint64_t now_ms);
  void finish_response(uint64_t now_ms);

  UniqueFd socket_;
  State state_ = State::receiving;
  uint64_t since_ms_;
  std::string input_;  // at most one head and what was sent after it
  bool unparsed_ = false;
  HeadParser parser_;
  Framing framing_;
  const AdminRoute* route_ = nullptr;
  bool in_making_ = false;
  std::string head_;  // of the response
  Body body_;
  size_t sent_ = 0;       // bytes of head and body
  size_t discarded_ = 0;  // bytes
};

}  // namespace huntd
