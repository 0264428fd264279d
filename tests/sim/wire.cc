// SPDX-License-Identifier: Apache-2.0
#include "wire.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace huntd::server::sim {
namespace {

constexpr size_t buffer_bytes = 4096;           // per receive, as limits::recv_buffer_bytes
constexpr uint64_t connect_silence_ns = 5 * s;  // as linux/network.cc

}  // namespace

// --- the wire ------------------------------------------------------------------------------------

uint64_t Wire::arrival(uint64_t& last_ns) {
  last_ns = std::max(last_ns + 1, world_.now_ns() + world_.hop_ns());
  return last_ns;
}

void Wire::send(std::string_view bytes) {
  while (!bytes.empty()) {
    // Split at any byte.
    size_t size = bytes.size();
    if (world_.random.chance(0.15)) size = 1 + world_.random.below(size);
    if (world_.faults_on && world_.random.chance(0.01)) size = 1;
    flow_to_core(std::string(bytes.substr(0, size)));
    bytes.remove_prefix(size);
  }
}

void Wire::flow_to_core(std::string chunk) {
  world_.at(arrival(last_to_core_ns_), [wire = shared_from_this(), chunk = std::move(chunk)] {
    if (wire->was_reset_ || wire->core_gone_) return;
    wire->arrived_ += chunk;
    if (wire->stream_ != nullptr) wire->stream_->poke();
  });
}

void Wire::finish() {
  world_.at(arrival(last_to_core_ns_), [wire = shared_from_this()] {
    wire->peer_finished_ = true;
    if (wire->stream_ != nullptr) wire->stream_->poke();
  });
}

void Wire::leave() {
  peer_ = nullptr;
  finish();
  set_peer_reads(true);
}

void Wire::reset() {
  if (was_reset_) return;
  was_reset_ = true;
  arrived_.clear();
  for (auto& send : std::exchange(held_back_, {})) send();
  if (stream_ != nullptr) stream_->poke();
  world_.after(world_.hop_ns(), [wire = shared_from_this()] { wire->end_peer(true); });
}

void Wire::end_peer(bool reset) {
  if (peer_ == nullptr || std::exchange(peer_ended_, true)) return;
  std::exchange(peer_, nullptr)->on_wire_end(reset);
}

void Wire::set_peer_reads(bool reads) {
  peer_reads_ = reads;
  if (reads)
    for (auto& send : std::exchange(held_back_, {})) send();
}

void Wire::core_sends(std::string bytes, std::function<void(int error)> then) {
  if (!peer_reads_ && !was_reset_) {
    held_back_.push_back([this, bytes = std::move(bytes), then = std::move(then)]() mutable {
      core_sends(std::move(bytes), std::move(then));
    });
    return;
  }
  if (was_reset_ || (peer_ == nullptr && world_.random.chance(0.5)))
    return then(was_reset_ ? ECONNRESET : EPIPE);
  while (!bytes.empty()) {
    size_t size = bytes.size();
    if (world_.random.chance(0.15)) size = 1 + world_.random.below(size);
    world_.at(arrival(last_to_peer_ns_),
              [wire = shared_from_this(), chunk = bytes.substr(0, size)] {
                if (!wire->was_reset_ && wire->peer_ != nullptr) wire->peer_->on_wire_bytes(chunk);
              });
    bytes.erase(0, size);
  }
  then(0);
}

void Wire::core_finishes() {
  world_.at(arrival(last_to_peer_ns_), [wire = shared_from_this()] { wire->end_peer(false); });
}

void Wire::core_leaves() {
  if (std::exchange(core_gone_, true)) return;
  stream_ = nullptr;
  held_back_.clear();
  // If a TCP socket is closed with unread bytes, it sends a reset, which may overtake the response.
  bool const unread = !arrived_.empty();
  arrived_.clear();
  if (unread && world_.random.chance(0.5)) return reset();
  world_.at(arrival(last_to_peer_ns_),
            [wire = shared_from_this(), unread] { wire->end_peer(unread); });
}

// --- the core's end ------------------------------------------------------------------------------

WireStream::WireStream(Machine& machine, Descriptors& descriptors, WirePtr wire,
                       std::function<void(std::string_view)> on_send)
    : machine_(machine),
      descriptors_(descriptors),
      wire_(std::move(wire)),
      on_send_(std::move(on_send)),
      self_(std::make_shared<WireStream*>(this)) {
  wire_->attach(this);
  machine_.on_death([weak = std::weak_ptr<WireStream*>(self_)] {
    auto const self = weak.lock();
    if (self == nullptr || (*self)->gone_) return;
    (*self)->gone_ = true;
    (*self)->wire_->core_leaves();
  });
}

void WireStream::poke() {
  if (gone_ || !receiving_ || std::exchange(poked_, true)) return;
  machine_.post([weak = std::weak_ptr<WireStream*>(self_)] {
    if (auto const self = weak.lock(); self != nullptr && !(*self)->gone_) (*self)->deliver();
  });
}

void WireStream::deliver() {
  auto const keep = self_;
  poked_ = false;
  while (!gone_ && receiving_ && !wire_->arrived_.empty()) {
    std::string const chunk = wire_->arrived_.substr(0, buffer_bytes);
    wire_->arrived_.erase(0, chunk.size());
    user_->on_bytes(chunk);
    // Paused within the call: later bytes may still be delivered.
    if (pausing_ && machine_.world().random.chance(0.5)) break;
  }
  if (gone_ || !receiving_) return;
  if (pausing_) {
    pausing_ = receiving_ = false;
    return user_->on_end(ECANCELED);
  }
  if (wire_->was_reset_ || wire_->peer_finished_) {
    receiving_ = false;
    user_->on_end(wire_->was_reset_ ? ECONNRESET : 0);
  }
}

void WireStream::read() {
  CHECK(!receiving_ && !gone_);
  receiving_ = true;
  pausing_ = poked_ = false;
  if (!wire_->arrived_.empty() || wire_->peer_finished_ || wire_->was_reset_) poke();
}

void WireStream::pause() {
  if (!receiving_) return user_->on_end(ECANCELED);
  if (std::exchange(pausing_, true)) return;
  machine_.stage([weak = std::weak_ptr<WireStream*>(self_)] {
    auto const self = weak.lock();
    if (self == nullptr || (*self)->gone_) return;
    (*self)->machine_.world().after((*self)->machine_.world().random.below(20 * us), [weak] {
      if (auto const then = weak.lock(); then != nullptr && !(*then)->gone_) (*then)->poke();
    });
  });
}

void WireStream::send(std::string& bytes) {
  CHECK(!sending_ && !bytes.empty() && !gone_);
  sending_ = true;
  std::string taken;
  taken.swap(bytes);
  if (on_send_) on_send_(taken);
  machine_.stage([weak = std::weak_ptr<WireStream*>(self_), taken = std::move(taken)]() mutable {
    auto const self = weak.lock();
    if (self == nullptr) return;
    // Also if it was closed since: the kernel sends, then closes.
    WireStream& stream = **self;
    stream.wire_->core_sends(std::move(taken), [weak](int error) {
      auto const sender = weak.lock();
      if (sender == nullptr) return;
      (*sender)->machine_.world().after((*sender)->machine_.world().random.below(40 * us),
                                        [weak, error] {
                                          auto const then = weak.lock();
                                          if (then == nullptr) return;
                                          (*then)->machine_.post([weak, error] {
                                            auto const last = weak.lock();
                                            if (last == nullptr || (*last)->gone_) return;
                                            (*last)->sending_ = false;
                                            (*last)->user_->on_sent(error);
                                          });
                                        });
    });
  });
}

void WireStream::release() {
  CHECK(!receiving_ && !sending_ && !gone_);
  auto const hand_out = [this] {
    gone_ = true;
    wire_->attach(nullptr);
    user_->on_released(descriptors_.give(wire_, &machine_));
  };
  World& world = machine_.world();
  if (world.random.chance(0.3)) return hand_out();  // a plain descriptor: at once
  if (world.faults_on && world.random.chance(0.02)) {
    world.fault("no descriptor to release a connection by");
    return machine_.stage([this, weak = std::weak_ptr<WireStream*>(self_)] {
      machine_.post([weak] {
        auto const self = weak.lock();
        if (self != nullptr && !(*self)->gone_) (*self)->user_->on_released(-EMFILE);
      });
    });
  }
  machine_.stage([this, hand_out, weak = std::weak_ptr<WireStream*>(self_)] {
    machine_.post([hand_out, weak] {
      if (auto const self = weak.lock(); self != nullptr && !(*self)->gone_) hand_out();
    });
  });
}

void WireStream::finish_sending() {
  machine_.stage([wire = wire_] { wire->core_finishes(); });
}

void WireStream::close() {
  // If it was released, the wire is on its way to another core.
  bool const released = std::exchange(gone_, true);
  user_ = nullptr;
  if (!released) wire_->attach(nullptr);
  auto const self = self_;  // until the close is submitted
  machine_.stage([self, released, wire = wire_] {
    if (!released) wire->core_leaves();
  });
  // If the process dies before that, the kernel closes it.
  machine_.on_death([released, wire = wire_] {
    if (!released) wire->core_leaves();
  });
}

// --- accepting and connecting --------------------------------------------------------------------

void Listener::connect(WirePtr wire) {
  world_.after(world_.hop_ns(), [this, wire = std::move(wire)] {
    backlog_.push_back(wire);
    hand_out();
  });
}

void Listener::add(uint64_t machine, std::function<void(WirePtr)> accept) {
  accepting_[machine] = std::move(accept);
  hand_out();
}

void Listener::hand_out() {
  while (!backlog_.empty() && !accepting_.empty()) {
    auto chosen = accepting_.begin();
    std::advance(chosen, world_.random.below(accepting_.size()));
    WirePtr wire = std::move(backlog_.front());
    backlog_.pop_front();
    chosen->second(std::move(wire));
  }
}

MachineNetwork::MachineNetwork(Machine& machine, Descriptors& descriptors, Listener& listener,
                               Server& redis, Watch on_client_send, Watch on_redis_send)
    : machine_(machine),
      descriptors_(descriptors),
      listener_(listener),
      redis_(redis),
      on_client_send_(std::move(on_client_send)),
      on_redis_send_(std::move(on_redis_send)),
      id_(machine.core_index()) {
  machine_.on_death([this] {
    listener_.remove(id_);
    descriptors_.close_those_of(&machine_);
  });
}

void MachineNetwork::connect(const Address& address, ConnectUser& user) {
  bool const closed = address.host == silent_address;
  machine_.stage([this, &user, closed] {
    World& world = machine_.world();
    bool const silent = world.faults_on && world.random.chance(0.02);
    if (silent) world.fault("a connect without a reply", machine_.name());
    world.after(silent ? connect_silence_ns : world.hop_ns(), [this, &user, silent, closed] {
      if (!machine_.alive()) return;
      WirePtr const wire = silent || closed ? nullptr : redis_.accept();
      if (wire == nullptr)
        return machine_.post([&user, silent] {
          user.on_connected(Error{silent ? "connect: timed out" : "connect: Connection refused"});
        });
      auto* stream = new WireStream(machine_, descriptors_, wire, on_redis_send_);
      machine_.post([&user, stream] { user.on_connected(StreamPtr(stream)); });
    });
  });
}

void MachineNetwork::start_accepting(AcceptUser& user, bool with_addresses) {
  machine_.stage([this, &user] {
    listener_.add(id_, [this, &user](const WirePtr& wire) {
      // Accepted for this core: the kernel closes it if the core dies.
      auto* stream = new WireStream(machine_, descriptors_, wire, on_client_send_);
      machine_.post([&user, stream] { user.on_accepted(StreamPtr(stream), server::Peer()); });
    });
  });
}

void MachineNetwork::stop_accepting() {
  machine_.stage([this] { listener_.remove(id_); });
}

StreamPtr MachineNetwork::adopt(int descriptor) {
  return StreamPtr(
      new WireStream(machine_, descriptors_, descriptors_.take(descriptor), on_client_send_));
}

void MachineResolver::resolve(const Address& name, ResolveUser& user) {
  CHECK(user_ == nullptr && name.host == redis_name);
  user_ = &user;
  uint64_t const number = ++asked_;
  machine_.stage([this, name, number] {
    World& world = machine_.world();
    bool const troubled = world.faults_on && world.random.chance(0.05);
    if (troubled) world.fault("a name server in trouble", machine_.name());
    if (troubled && world.random.chance(0.3)) return;  // it never answers
    if (troubled)
      return answer(number, Error{"cannot resolve " + name.host + ": no name server answered"});
    std::vector<Address> found{{false, "192.0.2.2", name.port}};
    if (world.random.chance(0.3))
      found.insert(found.begin() + (world.random.chance(0.5) ? 1 : 0),
                   {false, silent_address, name.port});
    answer(number, std::move(found));
  });
}

void MachineResolver::answer(uint64_t number, Result<std::vector<Address>> found) {
  machine_.world().after(machine_.world().hop_ns(), [this, number, found = std::move(found)] {
    if (!machine_.alive()) return;
    machine_.post([this, number, found] {
      if (user_ != nullptr && number == asked_) std::exchange(user_, nullptr)->on_resolved(found);
    });
  });
}

}  // namespace huntd::server::sim
