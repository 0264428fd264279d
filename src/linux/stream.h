// SPDX-License-Identifier: Apache-2.0
// Stream on the ring: a multishot receive into provided buffers, one send at a time. The socket is
// a file slot of the ring if the ring has a table of them, otherwise (and for outgoing connections)
// a file descriptor.
#pragma once
#include <string>

#include "environment/network.h"
#include "linux/ring.h"

namespace huntd::server {

class UringNetwork;

class UringStream final : public Stream {
 public:
  explicit UringStream(UringNetwork& network) : network_(network) {}
  // Makes this pooled object a stream on a socket, which it owns and which receives into `buffers`.
  void open(int descriptor, BufferGroup buffers);
  void open_slot(int slot, BufferGroup buffers);
  // Moves the socket from its descriptor to a file slot while the stream is in use. If no slot is
  // free, it stays a descriptor.
  void move_to_slot();

  void set_user(StreamUser& user) override { user_ = &user; }
  void read() override;
  void pause() override;
  void send(std::string& bytes) override;
  bool sending() const override { return sending_; }
  void release() override;
  void finish_sending() override;
  void close() override;

 private:
  struct Receive final : Op {
    explicit Receive(UringStream& owner) : stream(owner) {}
    void complete(int32_t result, uint32_t flags) override { stream.on_received(result, flags); }
    UringStream& stream;
  };
  // An operation that completes once.
  struct Step final : Op {
    using Then = void (UringStream::*)(int32_t result);
    Step(UringStream& owner, Then callback) : stream(owner), then(callback) {}
    void complete(int32_t result, uint32_t flags) override { (stream.*then)(result); }
    UringStream& stream;
    Then then;
  };
  void reset(BufferGroup buffers);
  bool is_open() const { return descriptor_ >= 0 || slot_ >= 0; }
  // The number of the socket for an operation; set_socket_flags() completes the operation.
  int socket() const { return slot_ >= 0 ? slot_ : descriptor_; }
  void set_socket_flags(io_uring_sqe* sqe) const {
    if (slot_ >= 0) sqe->flags |= IOSQE_FIXED_FILE;
  }
  void arm_receive();
  void on_received(int32_t result, uint32_t flags);
  void send_rest();
  void on_sent(int32_t result);
  void on_moved(int32_t result);
  void on_installed(int32_t result);
  void on_finished(int32_t result);
  void on_closed(int32_t result);
  void recycle_if_idle();
  void recycle();

  UringNetwork& network_;
  StreamUser* user_ = nullptr;
  BufferGroup buffers_ = BufferGroup::clients;
  int descriptor_ = -1;
  int slot_ = -1;
  int moved_ = -1;          // in: the descriptor; the kernel replaces it by the slot
  bool receiving_ = false;  // the multishot receive is in the kernel
  bool pausing_ = false;
  bool sending_ = false;
  bool moving_ = false;     // to a slot, or from a slot to a descriptor
  bool finishing_ = false;  // a shutdown is in the kernel
  bool closed_ = false;     // by the user
  Receive receive_{*this};
  Step send_{*this, &UringStream::on_sent};
  Step move_{*this, &UringStream::on_moved};
  Step install_{*this, &UringStream::on_installed};
  Step finish_{*this, &UringStream::on_finished};
  Step close_{*this, &UringStream::on_closed};
  std::string out_;
  size_t out_sent_ = 0;
};

}  // namespace huntd::server
