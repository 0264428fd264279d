#include "uring/stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/limits.h"
#include "uring/network.h"

namespace huntd::uring {

void UringStream::open(int descriptor) {
  CHECK(descriptor_ == -1 && descriptor >= 0 && !receiving_ && !sending_);
  descriptor_ = descriptor;
  user_ = nullptr;
  pausing_ = false;
  let_go_ = false;
}

void UringStream::read() {
  CHECK(descriptor_ >= 0 && !receiving_);
  pausing_ = false;
  arm_receive();
}

void UringStream::arm_receive() {
  io_uring_sqe* sqe = network_.ring().prepare(receive_);
  io_uring_prep_recv_multishot(sqe, descriptor_, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = Ring::buffer_group;
  receiving_ = true;
}

void UringStream::pause() {
  if (!receiving_) {
    if (user_ != nullptr) user_->on_end(ECANCELED);
    return;
  }
  if (pausing_) return;
  pausing_ = true;
  network_.ring().cancel(receive_);
}

void UringStream::on_received(int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    if (result > 0 && user_ != nullptr) user_->on_bytes(network_.ring().buffer(flags, result));
    network_.ring().recycle(flags);
  }
  if ((flags & IORING_CQE_F_MORE) != 0) return;
  receiving_ = false;
  if (let_go_) return retire_if_quiet();
  bool const interrupted =
      result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN;
  if (interrupted && !pausing_) return arm_receive();
  int const error = interrupted ? ECANCELED : -result;
  pausing_ = false;
  if (user_ != nullptr) user_->on_end(error);
}

void UringStream::send(std::string& bytes) {
  CHECK(!sending_ && !bytes.empty() && descriptor_ >= 0);
  out_.swap(bytes);
  bytes.clear();
  out_sent_ = 0;
  send_rest();
}

void UringStream::send_rest() {
  io_uring_sqe* sqe = network_.ring().prepare(send_);
  io_uring_prep_send(sqe, descriptor_, out_.data() + out_sent_, out_.size() - out_sent_,
                     MSG_NOSIGNAL | MSG_WAITALL);
  sending_ = true;
}

void UringStream::on_sent(int32_t result) {
  sending_ = false;
  if (let_go_) return retire_if_quiet();
  if (result == -EINTR || result == -EAGAIN) return send_rest();
  if (result > 0) out_sent_ += static_cast<size_t>(result);
  if (result > 0 && out_sent_ < out_.size()) return send_rest();
  if (user_ != nullptr) user_->on_sent(result > 0 ? 0 : (result == 0 ? EPIPE : -result));
}

int UringStream::release_descriptor() {
  CHECK(!receiving_ && !sending_ && descriptor_ >= 0);
  return std::exchange(descriptor_, -1);
}

void UringStream::finish_sending() {
  if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_WR);
}

void UringStream::let_go() {
  CHECK(!let_go_);
  user_ = nullptr;
  let_go_ = true;
  if (receiving_ || sending_) ::shutdown(descriptor_, SHUT_RDWR);
  if (receiving_) network_.ring().cancel(receive_);
  retire_if_quiet();
}

void UringStream::retire_if_quiet() {
  if (receiving_ || sending_) return;
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  out_.clear();
  if (out_.capacity() > limits::stream_buffer_kept_bytes) std::string().swap(out_);
  network_.retire(*this);
}

}  // namespace huntd::uring
