// SPDX-License-Identifier: Apache-2.0
// A Stream by TLS over another Stream.
#pragma once
#include <string>

#include "base/scheduler.h"
#include "environment/network.h"
#include "tls/session.h"

namespace huntd::server {

class TlsStream final : public Stream, private StreamUser, private Deadline {
 public:
  // Takes a new connection over, handshakes, and calls `user` with a stream or with an error: once,
  // within limits::tls_handshake_ns, perhaps before it returns. `peer` as of tls::Session.
  static void open(Scheduler& scheduler, const tls::Context& context, std::string peer,
                   StreamPtr plain, ConnectUser& user);

  void set_user(StreamUser& user) override { user_ = &user; }
  void read() override;
  void send(std::string& bytes) override;
  bool sending() const override { return sending_; }
  std::string_view fault() const override { return fault_; }
  void finish_sending() override { plain_->finish_sending(); }
  void close() override;
  // Connections to servers are neither paused nor passed on.
  void pause() override;
  void release() override;

 private:
  // While one exists, close() does not free the stream.
  class Call {
   public:
    explicit Call(TlsStream& stream) : stream_(stream) { ++stream_.calls_; }
    ~Call();
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;

   private:
    TlsStream& stream_;
  };
  TlsStream(Scheduler& scheduler, const tls::Context& context, std::string peer, StreamPtr plain,
            ConnectUser& user);
  ~TlsStream() = default;

  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;
  void on_deadline() override;
  void receive(std::string_view bytes);
  void flush();
  void deliver();
  void fail(int error, std::string why);
  void end(int error);

  Scheduler& scheduler_;
  tls::Session session_;
  StreamPtr plain_;
  ConnectUser* connecting_;  // null once it was called
  StreamUser* user_ = nullptr;
  std::string received_;  // for the user
  std::string out_;       // for the server
  std::string fault_;
  bool reading_ = false;
  bool ended_ = false;    // on_end() was called
  bool sending_ = false;  // bytes of the user are on their way
  bool closed_ = false;   // by the user
  int calls_ = 0;
};

}  // namespace huntd::server
