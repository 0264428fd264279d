// SPDX-License-Identifier: Apache-2.0
// Byte streams between a core and a client or Redis, in virtual time: chunks of any size after any
// delay, in order; ends, resets, and peers that do not read. A wire belongs to the kernel: if it is
// being handed over to another core, it outlives the core that had it.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "environment/environment.h"
#include "machine.h"
#include "world.h"

namespace huntd::server::sim {

class WireStream;

// The other side of a wire.
class Peer {
 public:
  virtual void on_wire_bytes(std::string_view bytes) = 0;
  virtual void on_wire_end(bool reset) = 0;  // once, and nothing after it

 protected:
  ~Peer() = default;
};

class Wire : public std::enable_shared_from_this<Wire> {
 public:
  Wire(World& world, Peer& peer) : world_(world), peer_(&peer) {}

  // --- the peer's side
  void send(std::string_view bytes);
  void finish();  // FIN: it sends nothing more
  void reset();   // RST: both sides see it, and bytes under way are lost
  void leave();   // the peer closes; it gets no more callbacks
  // While this is false, bytes from the core wait.
  void set_peer_reads(bool reads);
  bool ended() const { return core_gone_ || was_reset_; }

  // --- the core's side
  void attach(WireStream* stream) { stream_ = stream; }
  void core_sends(std::string bytes, std::function<void(int error)> then);
  void core_finishes();
  void core_leaves();

 private:
  friend class WireStream;
  void flow_to_core(std::string chunk);
  void end_peer(bool reset);
  uint64_t arrival(uint64_t& last_ns);

  World& world_;
  Peer* peer_;
  WireStream* stream_ = nullptr;  // null: none, or under way to another core
  std::string arrived_;           // and not read by the core
  bool peer_finished_ = false;    // its FIN has arrived
  bool was_reset_ = false;
  bool core_gone_ = false;
  bool peer_ended_ = false;
  bool peer_reads_ = true;
  std::deque<std::function<void()>> held_back_;  // sends that wait for the peer to read
  uint64_t last_to_core_ns_ = 0;
  uint64_t last_to_peer_ns_ = 0;
};
using WirePtr = std::shared_ptr<Wire>;

// Connections as file descriptors, while cores hand them over. A descriptor belongs to a process,
// and is closed when the process dies, or to a packet under way (null).
class Descriptors {
 public:
  int give(WirePtr wire, const Machine* holder) {
    int const number = next_++;
    open_[number] = {std::move(wire), holder};
    return number;
  }
  // Whether `number` is a connection. (The descriptor of a bundle is a real one.)
  bool has(int number) const { return open_.count(number) > 0; }
  void pass(int number, const Machine* holder) { find(number)->second.holder = holder; }
  WirePtr take(int number) {
    auto found = find(number);
    WirePtr wire = std::move(found->second.wire);
    open_.erase(found);
    return wire;
  }
  void close_those_of(const Machine* holder) {
    for (auto at = open_.begin(); at != open_.end();) {
      if (at->second.holder == holder) {
        at->second.wire->core_leaves();
        at = open_.erase(at);
      } else {
        ++at;
      }
    }
  }
  size_t open() const { return open_.size(); }

 private:
  struct Open {
    WirePtr wire;
    const Machine* holder;
  };
  std::map<int, Open>::iterator find(int number) {
    auto found = open_.find(number);
    CHECK(found != open_.end());
    return found;
  }
  static constexpr int first = 1'000'000;  // above all real descriptors
  int next_ = first;
  std::map<int, Open> open_;
};

// The core's end of a wire, in place of UringStream.
class WireStream final : public Stream {
 public:
  WireStream(Machine& machine, Descriptors& descriptors, WirePtr wire,
             std::function<void(std::string_view)> on_send);
  void set_user(StreamUser& user) override { user_ = &user; }
  void read() override;
  void pause() override;
  void send(std::string& bytes) override;
  bool sending() const override { return sending_; }
  void release() override;
  void finish_sending() override;
  void close() override;

  // From the wire: there is something to read.
  void poke();

 private:
  void deliver();

  Machine& machine_;
  Descriptors& descriptors_;
  WirePtr wire_;
  StreamUser* user_ = nullptr;
  std::function<void(std::string_view)> on_send_;
  bool receiving_ = false;
  bool pausing_ = false;
  bool sending_ = false;
  bool poked_ = false;
  bool gone_ = false;  // closed or released
  // Callbacks under way have a weak pointer to this.
  std::shared_ptr<WireStream*> self_;
};

// A server that cores connect to (Redis).
class Server {
 public:
  // Returns the peer's side of a new connection, or null to reject it.
  virtual WirePtr accept() = 0;

 protected:
  ~Server() = default;
};

// The listening socket, which the parent holds: clients wait in its backlog for any core.
class Listener {
 public:
  explicit Listener(World& world) : world_(world) {}
  void connect(WirePtr wire);
  void add(uint64_t machine, std::function<void(WirePtr)> accept);
  void remove(uint64_t machine) { accepting_.erase(machine); }
  size_t waiting() const { return backlog_.size(); }

 private:
  void hand_out();
  World& world_;
  std::map<uint64_t, std::function<void(WirePtr)>> accepting_;
  std::deque<WirePtr> backlog_;
};

class MachineNetwork final : public Network {
 public:
  // What sees the bytes of each send, in the tick of the core.
  using Watch = std::function<void(std::string_view bytes)>;
  MachineNetwork(Machine& machine, Descriptors& descriptors, Listener& listener, Server& redis,
                 Watch on_client_send, Watch on_redis_send);
  void connect(const Address& address, ConnectUser& user) override;
  void start_accepting(AcceptUser& user, bool with_peers) override;
  void stop_accepting() override;
  StreamPtr adopt(int descriptor) override;

 private:
  Machine& machine_;
  Descriptors& descriptors_;
  Listener& listener_;
  Server& redis_;
  Watch on_client_send_;
  Watch on_redis_send_;
  uint64_t id_;
};

// The names of the simulation: one host of Redis, which has one or two addresses. `silent_address`
// is one at which no process listens.
inline constexpr const char* redis_name = "redis.sim";
inline constexpr const char* silent_address = "192.0.2.1";

class MachineResolver final : public Resolver {
 public:
  explicit MachineResolver(Machine& machine) : machine_(machine) {}
  void resolve(const Address& name, ResolveUser& user) override;
  void give_up() override { user_ = nullptr; }

 private:
  void answer(uint64_t number, Result<std::vector<Address>> found);
  Machine& machine_;
  ResolveUser* user_ = nullptr;
  uint64_t asked_ = 0;  // number of the newest look-up
};

// No core of the simulation logs in.
class NoSecretFiles final : public SecretFiles {
 public:
  void read(const std::string& path, const char* key, SecretUser& user) override {
    user.on_secret(Error{"the simulation has no files"});
  }
  void give_up() override {}
};

}  // namespace huntd::server::sim
