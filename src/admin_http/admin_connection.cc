// SPDX-License-Identifier: Apache-2.0
#include "admin_http/admin_connection.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "admin_http/admin_http_limits.h"
#include "base/limits.h"
#include "http/response.h"

namespace huntd {
namespace {

// An empty line before the head, and one byte more: with it the parser has rejected the head.
constexpr size_t input_bytes_max = limits::request_head_bytes_max + 3;

bool would_wait(int error) { return error == EAGAIN || error == EWOULDBLOCK || error == EINTR; }

}  // namespace

uint64_t AdminConnection::deadline_ms() const {
  switch (state_) {
    case State::receiving:
      return since_ms_ + (input_.empty() ? limits::admin_idle_max_ms : limits::admin_head_max_ms);
    case State::sending:
      return since_ms_ + limits::admin_send_max_ms;
    case State::ending:
      return since_ms_ + limits::admin_linger_max_ms;
    case State::waiting:
    case State::closed:
      break;
  }
  return UINT64_MAX;
}

short AdminConnection::wanted_events() const {
  if (state_ == State::receiving || state_ == State::ending) return POLLIN;
  return state_ == State::sending ? POLLOUT : 0;
}

void AdminConnection::enter(State state, uint64_t now_ms) {
  state_ = state;
  since_ms_ = now_ms;
}

ParseStatus AdminConnection::receive(RequestHead& head, uint64_t now_ms) {
  char bytes[input_bytes_max];
  size_t const room = input_bytes_max - std::min(input_.size(), input_bytes_max);
  ssize_t const count = room == 0 ? 0 : recv(socket_.get(), bytes, room, 0);
  bool const ended = room > 0 && (count == 0 || (count < 0 && !would_wait(errno)));
  if (count > 0) {
    if (input_.empty()) since_ms_ = now_ms;
    input_.append(bytes, static_cast<size_t>(count));
  } else if (ended && !unparsed_) {
    close();
    return ParseStatus::need_more;
  }
  unparsed_ = false;
  ParseStatus const status = input_.empty() ? ParseStatus::need_more : parser_.parse(input_, head);
  if (ended && status == ParseStatus::need_more) close();
  return status;
}

void AdminConnection::frame(const RequestFacts& request) {
  bool const has_body = request.chunked || request.content_length > 0;
  framing_ = {request.method == Method::head, request.keep_alive && !has_body,
              request.minor_version == 0};
}

void AdminConnection::await_page(const AdminRoute& route, uint64_t now_ms) {
  route_ = &route;
  in_making_ = false;
  enter(State::waiting, now_ms);
}

void AdminConnection::respond(Body body, std::string_view allow, std::string_view date,
                              uint64_t now_ms) {
  route_ = nullptr;
  body_ = std::move(body);
  head_.clear();
  auto out = std::back_inserter(head_);
  fmt::format_to(out,
                 "HTTP/1.1 {} {}\r\nDate: {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n"
                 "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
                 body_->status, reason_phrase(body_->status), date, body_->content_type,
                 body_->body.size());
  if (!body_->content_security_policy.empty())
    fmt::format_to(out, "Content-Security-Policy: {}\r\n", body_->content_security_policy);
  if (!allow.empty()) fmt::format_to(out, "Allow: {}\r\n", allow);
  if (!framing_.keep_alive)
    head_ += "Connection: close\r\n";
  else if (framing_.http_1_0)
    head_ += "Connection: keep-alive\r\n";
  head_ += "\r\n";
  sent_ = 0;
  enter(State::sending, now_ms);
  send(now_ms);
}

void AdminConnection::send(uint64_t now_ms) {
  std::string_view const head(head_);
  std::string_view const body = framing_.head_only ? std::string_view() : body_->body;
  std::string_view const parts[] = {head.substr(std::min(sent_, head.size())),
                                    body.substr(sent_ - std::min(sent_, head.size()))};
  iovec vectors[2];
  for (size_t i = 0; i < 2; ++i) vectors[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
  msghdr message{};
  message.msg_iov = vectors;
  message.msg_iovlen = 2;
  ssize_t const count = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0) {
    if (!would_wait(errno)) close();
    return;
  }
  sent_ += static_cast<size_t>(count);
  if (sent_ == head.size() + body.size()) finish_response(now_ms);
}

void AdminConnection::finish_response(uint64_t now_ms) {
  body_.reset();
  if (!framing_.keep_alive) {
    shutdown(socket_.get(), SHUT_WR);
    input_.clear();
    return enter(State::ending, now_ms);
  }
  input_.erase(0, parser_.consumed());
  unparsed_ = !input_.empty();
  parser_ = HeadParser();
  framing_ = {};
  enter(State::receiving, now_ms);
}

void AdminConnection::discard() {
  char bytes[16 * 1024];
  ssize_t const count = recv(socket_.get(), bytes, sizeof bytes, 0);
  if (count == 0 || (count < 0 && !would_wait(errno))) return close();
  if (count > 0) discarded_ += static_cast<size_t>(count);
  if (discarded_ > limits::admin_linger_bytes_max) close();
}

void AdminConnection::close() {
  socket_.reset();
  body_.reset();
  route_ = nullptr;
  state_ = State::closed;
}

}  // namespace huntd
