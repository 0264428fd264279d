// SPDX-License-Identifier: Apache-2.0
// A Redis that replies late, stops, restarts and rejects writes (AOF with fsync always: nothing is
// lost), and whose data is lost all the same: it restarts from an older copy, or a replica that
// lags becomes the primary while some cores still write to the former one; keys are evicted or
// deleted.
#pragma once
#include <deque>
#include <functional>
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
  // Of the present primary.
  RedisStore& store() { return *primary_; }
  int64_t wall_ms() const;

  // Called for the first store, and for each copy: from then on it may have other writes than `of`.
  std::function<void(RedisStore& store, const RedisStore* of)> on_store;
  // Called when another store is the primary. Cores may use the former one for `former_ns` more.
  std::function<void(RedisStore& store, uint64_t former_ns)> on_primary;
  // Reports the first store. Call it once, when on_store is set.
  void start() { on_store(*primary_, nullptr); }

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

  // --- losses
  // What is not on disk yet, or on the replica, from now on: go_back() loses it. Returns false if
  // there is such a copy already.
  bool stop_copying();
  // The server with the copy takes over: a restart, or a failover. Cores that are connected to the
  // former server may use it for `former_ns` more.
  void go_back(uint64_t down_ns, uint64_t loading_ns, uint64_t former_ns);
  // The copy has all writes again.
  void catch_up() { copy_ = nullptr; }
  // One key that starts with `prefix`, chosen at random. Returns its name, empty if there is none.
  std::string lose_a_key(std::string_view prefix);

  // Since when the policy lets Redis evict keys; never_ns: it does not.
  uint64_t evicts_since_ns() const;
  void heal();
  size_t connections() const;

 private:
  struct Client final : Peer {
    explicit Client(RedisServer& its_server) : server(its_server), store(its_server.primary_) {}
    void on_wire_bytes(std::string_view bytes) override;
    void on_wire_end(bool reset) override;
    RedisServer& server;
    RedisStore* store;
    WirePtr wire;
    std::string in;
    bool closed = false;
  };
  RedisStore* add_store();
  void identify(RedisStore& store, bool same_history);
  void serve(Client& client);
  Reply reply_to(RedisStore& store, const Words& words);
  void close(Client& client);
  void reset_clients_of(const RedisStore* store);
  void end_former();

  World& world_;
  std::vector<std::unique_ptr<RedisStore>> stores_;
  RedisStore* primary_;
  RedisStore* copy_ = nullptr;    // as of stop_copying()
  RedisStore* former_ = nullptr;  // the former primary, while cores still use it
  std::vector<std::unique_ptr<Client>> clients_;
  uint64_t down_until_ns_ = 0;
  uint64_t loading_until_ns_ = 0;
  uint64_t stopped_until_ns_ = 0;
  uint64_t slow_until_ns_ = 0;
  uint64_t reply_delay_ns_ = 0;
  uint64_t rejecting_until_ns_ = 0;
  uint64_t forbidding_until_ns_ = 0;
  uint64_t policy_until_ns_ = 0;
  uint64_t policy_since_ns_ = 0;
  uint64_t full_until_ns_ = 0;
  uint64_t last_reply_ns_ = 0;
  std::string rejection_;
  std::string policy_;
  std::string forbidden_;
  std::string forbidden_in_scripts_;
  bool swallow_ = false;
  bool garbage_ = false;
  int64_t off_by_ms_ = 0;
};

}  // namespace huntd::server::sim
