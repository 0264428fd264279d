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
    return close_if_quiet();
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
  uring::Ring::receive_into(uring::BufferGroup::clients, sqe);
  receiving_ = true;
}

void Connection::on_received(int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    if (result > 0 && state_ == State::open)
      read(ring_.buffer(uring::BufferGroup::clients, flags, result));
    ring_.recycle(uring::BufferGroup::clients, flags);
  }
  if ((flags & IORING_CQE_F_MORE) != 0) return;
  receiving_ = false;
  if (state_ != State::open) return close_if_quiet();
  // No buffer was free for a moment, or the kernel wants the receive armed anew.
  if (result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN) return receive();
  end(Ended::reset, -result);
}

void Connection::read(std::string_view bytes) {
  AnswerReader::Status const status =
      waiting_ ? reader_.read(bytes) : AnswerReader::Status::bad;  // nothing was asked
  if (status == AnswerReader::Status::need_more) return;
  if (status == AnswerReader::Status::bad) return end(Ended::unparseable, 0);
  waiting_ = false;
  proven_ = true;
  const Answer& answer = reader_.answer();
  // No request can be sent from within on_answer() where the connection ends here.
  bool const goes_on = answer.keep_alive && bytes.empty();
  if (!goes_on) state_ = State::ending;
  user_.on_answer(*this, answer);
  if (!goes_on) end(answer.keep_alive ? Ended::unparseable : Ended::asked, 0);
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
  if (state_ != State::open) return close_if_quiet();
  if (result < 0 && result != -EINTR && result != -EAGAIN) return end(Ended::reset, -result);
  if (result > 0) rest_.remove_prefix(static_cast<size_t>(result));
  if (!rest_.empty()) return send_rest();
  // The answer overtook this completion: the next request had to wait for it.
  if (!waiting_) user_.on_free(*this);
}

void Connection::end(Ended why, int error) {
  state_ = State::ending;
  ended_ = why;
  error_ = error;
  if (waiting_) {
    waiting_ = false;
    user_.on_lost(*this, why);
  }
  ::shutdown(descriptor_, SHUT_RDWR);  // ends what the kernel still does for us
  close_if_quiet();
}

void Connection::close_if_quiet() {
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
