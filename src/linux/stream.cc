// SPDX-License-Identifier: Apache-2.0
#include "linux/stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/check.h"
#include "base/limits.h"
#include "linux/network.h"

namespace huntd::server {

void UringStream::open(int descriptor, BufferGroup buffers) {
  reset(buffers);
  descriptor_ = descriptor;
  CHECK(is_open());
}

void UringStream::open_slot(int slot, BufferGroup buffers) {
  reset(buffers);
  slot_ = slot;
  CHECK(is_open());
}

void UringStream::reset(BufferGroup buffers) {
  CHECK(!is_open() && !receiving_ && !sending_ && !moving_ && !finishing_);
  buffers_ = buffers;
  user_ = nullptr;
  pausing_ = false;
  closed_ = false;
}

void UringStream::move_to_slot() {
  CHECK(descriptor_ >= 0 && !moving_);
  moved_ = descriptor_;
  io_uring_prep_files_update(network_.ring().prepare(move_), &moved_, 1,
                             static_cast<int>(IORING_FILE_INDEX_ALLOC));
  moving_ = true;
}

void UringStream::on_moved(int32_t result) {
  moving_ = false;
  if (result == 1) {
    slot_ = moved_;
    // Behind the operations on the descriptor that are prepared and not yet submitted.
    io_uring_prep_close(network_.ring().prepare_detached(), std::exchange(descriptor_, -1));
  }
  if (closed_) recycle_if_idle();
}

void UringStream::read() {
  CHECK(is_open() && !receiving_);
  pausing_ = false;
  arm_receive();
}

void UringStream::arm_receive() {
  io_uring_sqe* sqe = network_.ring().prepare(receive_);
  io_uring_prep_recv_multishot(sqe, socket(), nullptr, 0, 0);
  set_socket_flags(sqe);
  Ring::receive_into(buffers_, sqe);
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
    if (result > 0 && user_ != nullptr)
      user_->on_bytes(network_.ring().buffer(buffers_, flags, result));
    network_.ring().recycle(buffers_, flags);
  }
  if ((flags & IORING_CQE_F_MORE) != 0) return;
  receiving_ = false;
  if (closed_) return recycle_if_idle();
  bool const interrupted =
      result > 0 || result == -ENOBUFS || result == -EINTR || result == -EAGAIN;
  if (interrupted && !pausing_) return arm_receive();
  int const error = interrupted ? ECANCELED : -result;
  pausing_ = false;
  if (user_ != nullptr) user_->on_end(error);
}

void UringStream::send(std::string& bytes) {
  CHECK(!sending_ && !bytes.empty() && is_open());
  out_.swap(bytes);
  bytes.clear();
  out_sent_ = 0;
  send_rest();
}

void UringStream::send_rest() {
  io_uring_sqe* sqe = network_.ring().prepare(send_);
  io_uring_prep_send(sqe, socket(), out_.data() + out_sent_, out_.size() - out_sent_,
                     MSG_NOSIGNAL | MSG_WAITALL);
  set_socket_flags(sqe);
  sending_ = true;
}

void UringStream::on_sent(int32_t result) {
  sending_ = false;
  if (closed_) return recycle_if_idle();
  if (result == -EINTR || result == -EAGAIN) return send_rest();
  if (result > 0) out_sent_ += static_cast<size_t>(result);
  if (result > 0 && out_sent_ < out_.size()) return send_rest();
  if (user_ != nullptr) user_->on_sent(result > 0 ? 0 : (result == 0 ? EPIPE : -result));
}

void UringStream::release() {
  CHECK(is_open() && !receiving_ && !sending_ && !moving_);
  if (slot_ < 0) return user_->on_released(std::exchange(descriptor_, -1));
  io_uring_sqe* sqe = network_.ring().prepare(install_);
  io_uring_prep_rw(op_fixed_fd_install, sqe, slot_, nullptr, 0, 0);  // close-on-exec by itself
  set_socket_flags(sqe);
  moving_ = true;
}

void UringStream::on_installed(int32_t result) {
  moving_ = false;
  if (!closed_) return user_->on_released(result);
  if (result >= 0) ::close(result);
  recycle_if_idle();
}

void UringStream::finish_sending() {
  if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_WR);
  if (slot_ < 0 || finishing_) return;
  io_uring_sqe* sqe = network_.ring().prepare(finish_);
  io_uring_prep_shutdown(sqe, slot_, SHUT_WR);
  set_socket_flags(sqe);
  finishing_ = true;
}

void UringStream::on_finished(int32_t) {
  finishing_ = false;
  if (closed_) recycle_if_idle();
}

void UringStream::close() {
  CHECK(!closed_);
  user_ = nullptr;
  closed_ = true;
  if (receiving_) network_.ring().cancel(receive_);
  if (sending_) network_.ring().cancel(send_);
  recycle_if_idle();
}

void UringStream::recycle_if_idle() {
  if (receiving_ || sending_ || moving_ || finishing_) return;
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  // The slot is free only once its close has completed.
  if (slot_ < 0) return recycle();
  io_uring_prep_close_direct(network_.ring().prepare(close_), static_cast<unsigned>(slot_));
}

void UringStream::on_closed(int32_t result) {
  CHECK(result == 0);
  slot_ = -1;
  recycle();
}

void UringStream::recycle() {
  out_.clear();
  if (out_.capacity() > limits::stream_buffer_kept_bytes) std::string().swap(out_);
  network_.recycle(*this);
}

}  // namespace huntd::server
