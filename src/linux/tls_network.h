// SPDX-License-Identifier: Apache-2.0
// A Network whose connections to servers are TLS (redis.tls); those of clients are not.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/scheduler.h"
#include "environment/network.h"
#include "linux/ring_call.h"
#include "tls/context.h"

namespace huntd::server {

class TlsNetwork final : public Network {
 public:
  // Connects over `plain`. Reads `files` at each connect, on a thread. Checks the certificate for
  // `server_name`, or if that is empty for the name that an address was found by, or for the address.
  TlsNetwork(Network& plain, Ring& ring, Scheduler& scheduler, tls::Files files,
             std::string server_name);

  void connect(const Address& address, ConnectUser& user) override;
  void start_accepting(AcceptUser& user, bool with_peers) override {
    plain_.start_accepting(user, with_peers);
  }
  void stop_accepting() override { plain_.stop_accepting(); }
  StreamPtr adopt(int descriptor) override { return plain_.adopt(descriptor); }

 private:
  // A connect. Frees itself at its end.
  struct Opening final : ConnectUser {
    Opening(TlsNetwork& owner, Address to, ConnectUser& connect_user)
        : network(owner), address(std::move(to)), user(connect_user) {}
    void on_connected(Result<StreamPtr> stream) override;
    TlsNetwork& network;
    Address const address;
    ConnectUser& user;
    tls::Context context;
  };
  struct Wait final : Deadline {
    explicit Wait(TlsNetwork& owner) : network(owner) {}
    void on_deadline() override;
    TlsNetwork& network;
  };
  void on_loaded(Result<tls::Context> context);

  Network& plain_;
  Scheduler& scheduler_;
  tls::Files const files_;
  std::string const server_name_;
  RingCall<tls::Context> load_;
  Wait wait_{*this};
  std::vector<std::unique_ptr<Opening>> waiting_;  // for the files
};

}  // namespace huntd::server
