// Stream on the ring: multishot receive into provided buffers, one send at a time. The socket is a
// slot of the ring's table or, where that has none and for connections of our own, a descriptor.
#pragma once
#include <string>

#include "io/outside.h"
#include "uring/ring.h"

namespace huntd::uring {

class UringNetwork;

class UringStream final : public Stream {
 public:
  explicit UringStream(UringNetwork& network) : network_(network) {}
  // A stream is pooled: either of these begins a new life, whose receives are into `buffers`.
  void open(int descriptor, BufferGroup buffers);
  void open_slot(int slot, BufferGroup buffers);
  // Moves the socket from its descriptor into a slot, while the stream is used; where no slot is
  // free it stays.
  void enter_table();

  void set_user(StreamUser& user) override { user_ = &user; }
  void read() override;
  void pause() override;
  void send(std::string& bytes) override;
  bool sending() const override { return sending_; }
  void release() override;
  void finish_sending() override;
  void let_go() override;

 private:
  struct Receive final : Op {
    explicit Receive(UringStream& owner) : stream(owner) {}
    void complete(int32_t result, uint32_t flags) override { stream.on_received(result, flags); }
    UringStream& stream;
  };
  // An operation that completes once.
  struct Step final : Op {
    using Then = void (UringStream::*)(int32_t result);
    Step(UringStream& owner, Then what_then) : stream(owner), then(what_then) {}
    void complete(int32_t result, uint32_t flags) override { (stream.*then)(result); }
    UringStream& stream;
    Then then;
  };
  void begin_life(BufferGroup buffers);
  bool is_open() const { return descriptor_ >= 0 || slot_ >= 0; }
  // What operations name; to_socket() is for each of them, once it is filled in.
  int socket() const { return slot_ >= 0 ? slot_ : descriptor_; }
  void to_socket(io_uring_sqe* sqe) const {
    if (slot_ >= 0) sqe->flags |= IOSQE_FIXED_FILE;
  }
  void arm_receive();
  void on_received(int32_t result, uint32_t flags);
  void send_rest();
  void on_sent(int32_t result);
  void on_entered(int32_t result);
  void on_installed(int32_t result);
  void on_finished(int32_t result);
  void on_closed(int32_t result);
  void retire_if_quiet();
  void retire();

  UringNetwork& network_;
  StreamUser* user_ = nullptr;
  BufferGroup buffers_ = BufferGroup::clients;
  int descriptor_ = -1;
  int slot_ = -1;
  int entering_ = -1;       // for the kernel: the descriptor, then the slot that it got
  bool receiving_ = false;  // the multishot receive is in the kernel
  bool pausing_ = false;
  bool sending_ = false;
  bool moving_ = false;     // into the table, or out of it
  bool finishing_ = false;  // the end of sending is being told to the peer
  bool let_go_ = false;
  Receive receive_{*this};
  Step send_{*this, &UringStream::on_sent};
  Step enter_{*this, &UringStream::on_entered};
  Step install_{*this, &UringStream::on_installed};
  Step finish_{*this, &UringStream::on_finished};
  Step close_{*this, &UringStream::on_closed};
  std::string out_;
  size_t out_sent_ = 0;
};

}  // namespace huntd::uring
