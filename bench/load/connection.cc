// SPDX-License-Identifier: Apache-2.0
#include "connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"

namespace huntd::load {

void Connection::connect() {
  CHECK(state_ == State::none);
  descriptor_ = ::socket(peer_.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor_ < 0) return user_.on_ended(*this, Ended::not_connected, errno);
  int const on = 1;
  (void)::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  io_uring_sqe* sqe = ring_.prepare(connected_);
  io_uring_prep_connect(sqe, descriptor_, reinterpret_cast<const sockaddr*>(&peer_.bytes),
                        peer_.length);
  state_ = State::connecting;
}

void Connection::on_connected(int32_t result, uint32_t) {
  if (state_ != State::connecting) return;  // abandoned
  if (result < 0) {
    state_ = State::ending;
    ended_ = Ended::not_connected;
    error_ = -result;
    return close_if_idle();
  }
  state_ = State::open;
  proven_ = false;
  reader_.clear();
  receive();
  user_.on_open(*this);
}

void Connection::receive() {
  io_uring_sqe* sqe = ring_.prepare(received_);
  io_uring_prep_recv_multishot(sqe, descriptor_, nullptr, 0, 0);
  server::Ring::receive_into(server::BufferGroup::clients, sqe);
  receiving_ = true;
}

void Connection::on_received(int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    if (result > 0 && state_ == State::open)
      read(ring_.buffer(server::BufferGroup::clients, flags, result));
    ring_.recycle(server::BufferGroup::clients, flags);
  }
  if ((flags & IORING_CQE_F_MORE) != 0) return;
  receiving_ = false;
  if (state_ != State::open) return close_if_idle();
  // All buffers were in use for a moment, or the kernel ended the multishot receive.
  if (result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN) return receive();
  end(Ended::reset, -result);
}

void Connection::read(std::string_view bytes) {
  ResponseReader::Status const status =
      waiting_ ? reader_.read(bytes) : ResponseReader::Status::bad;  // no request was sent
  if (status == ResponseReader::Status::need_more) return;
  if (status == ResponseReader::Status::bad) return end(Ended::unparseable, 0);
  waiting_ = false;
  proven_ = true;
  const Response& response = reader_.response();
  // If the connection ends here, on_response() must not send a request.
  bool const continues = response.keep_alive && bytes.empty();
  if (!continues) state_ = State::ending;
  user_.on_response(*this, response);
  if (!continues) end(response.keep_alive ? Ended::unparseable : Ended::by_header, 0);
}

void Connection::send(std::string_view bytes, uint64_t due_ns) {
  CHECK(is_free());
  waiting_ = true;
  due_ns_ = due_ns;
  rest_ = bytes;
  send_rest();
}

void Connection::send_rest() {
  io_uring_sqe* sqe = ring_.prepare(sent_);
  io_uring_prep_send(sqe, descriptor_, rest_.data(), rest_.size(), MSG_NOSIGNAL | MSG_WAITALL);
  sending_ = true;
}

void Connection::on_sent(int32_t result, uint32_t) {
  sending_ = false;
  if (state_ != State::open) return close_if_idle();
  if (result < 0 && result != -EINTR && result != -EAGAIN) return end(Ended::reset, -result);
  if (result > 0) rest_.remove_prefix(static_cast<size_t>(result));
  if (!rest_.empty()) return send_rest();
  // The response came before this completion, so the next request had to wait for it.
  if (!waiting_) user_.on_free(*this);
}

void Connection::end(Ended reason, int error) {
  state_ = State::ending;
  ended_ = reason;
  error_ = error;
  if (waiting_) {
    waiting_ = false;
    user_.on_lost(*this, reason);
  }
  ::shutdown(descriptor_, SHUT_RDWR);  // ends the operations in the kernel
  close_if_idle();
}

void Connection::close_if_idle() {
  if (receiving_ || sending_) return;
  ::close(descriptor_);
  descriptor_ = -1;
  state_ = State::none;
  user_.on_ended(*this, ended_, error_);
}

void Connection::abandon() {
  if (descriptor_ < 0) return;
  ::shutdown(descriptor_, SHUT_RDWR);
  ::close(descriptor_);
  descriptor_ = -1;
  state_ = State::none;
}

}  // namespace huntd::load
