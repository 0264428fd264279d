// SPDX-License-Identifier: Apache-2.0
// A Redis that replies late, stops, restarts and rejects writes, and loses no data (AOF with fsync
// always).
#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "redis_store.h"
#include "wire.h"

namespace huntd::server::sim {

class RedisServer final : public Server {
 public:
  explicit RedisServer(World& world);
  WirePtr accept() override;
  RedisStore& store() { return store_; }
  int64_t wall_ms() const;

  // --- faults
  void restart(uint64_t down_ns, uint64_t loading_ns);
  // SIGSTOP: commands wait in their sockets, also those of clients that are gone.
  void stop_until(uint64_t until_ns);
  void be_slow_until(uint64_t until_ns, uint64_t reply_delay_ns);
  // Replies to writes with this error.
  void reject_until(uint64_t until_ns, std::string error);
  // The ACL forbids one command, also in the middle of a script.
  void forbid_until(uint64_t until_ns, std::string command, std::string in_scripts);
  // maxmemory-policy and used memory, as INFO reports them. Nothing is evicted or rejected.
  void set_policy_until(uint64_t until_ns, std::string policy);
  void be_full_until(uint64_t until_ns);
  // The next script of a connection is executed, and the connection ends before the reply.
  void swallow_a_reply() { swallow_ = true; }
  void send_garbage() { garbage_ = true; }
  void jump_clock(int64_t by_ms) { off_by_ms_ += by_ms; }
  void heal();
  size_t connections() const;

 private:
  struct Client final : Peer {
    explicit Client(RedisServer& its_server) : server(its_server) {}
    void on_wire_bytes(std::string_view bytes) override;
    void on_wire_end(bool reset) override;
    RedisServer& server;
    WirePtr wire;
    std::string in;
    bool closed = false;
  };
  void serve(Client& client);
  Reply reply_to(const Words& words);
  void close(Client& client);

  World& world_;
  RedisStore store_;
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t down_until_ns_ = 0;
  uint64_t loading_until_ns_ = 0;
  uint64_t stopped_until_ns_ = 0;
  uint64_t slow_until_ns_ = 0;
  uint64_t reply_delay_ns_ = 0;
  uint64_t rejecting_until_ns_ = 0;
  uint64_t forbidding_until_ns_ = 0;
  uint64_t policy_until_ns_ = 0;
  uint64_t full_until_ns_ = 0;
  uint64_t last_reply_ns_ = 0;
  std::string rejection_;
  bool swallow_ = false;
  bool garbage_ = false;
  int64_t off_by_ms_ = 0;
};

}  // namespace huntd::server::sim
