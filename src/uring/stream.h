// Stream on the ring: multishot receive into provided buffers, one send at a time.
#pragma once
#include <string>

#include "io/outside.h"
#include "uring/ring.h"

namespace huntd::uring {

class UringNetwork;

class UringStream final : public Stream {
 public:
  explicit UringStream(UringNetwork& network) : network_(network) {}
  // A stream is pooled: open() begins a new life on `descriptor`.
  void open(int descriptor);

  void set_user(StreamUser& user) override { user_ = &user; }
  void read() override;
  void pause() override;
  void send(std::string& bytes) override;
  bool sending() const override { return sending_; }
  int release_descriptor() override;
  void finish_sending() override;
  void let_go() override;

 private:
  struct Receive final : Op {
    explicit Receive(UringStream& owner) : stream(owner) {}
    void complete(int32_t result, uint32_t flags) override { stream.on_received(result, flags); }
    UringStream& stream;
  };
  struct Send final : Op {
    explicit Send(UringStream& owner) : stream(owner) {}
    void complete(int32_t result, uint32_t flags) override { stream.on_sent(result); }
    UringStream& stream;
  };
  void arm_receive();
  void on_received(int32_t result, uint32_t flags);
  void send_rest();
  void on_sent(int32_t result);
  void retire_if_quiet();

  UringNetwork& network_;
  StreamUser* user_ = nullptr;
  int descriptor_ = -1;
  bool receiving_ = false;  // the multishot receive is in the kernel
  bool pausing_ = false;
  bool sending_ = false;
  bool let_go_ = false;
  Receive receive_{*this};
  Send send_{*this};
  std::string out_;
  size_t out_sent_ = 0;
};

}  // namespace huntd::uring
