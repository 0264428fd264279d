// SPDX-License-Identifier: Apache-2.0
#include "client.h"

#include <cstdlib>
#include <utility>

namespace huntd::server::sim {
namespace {

// Within this time each request must have its response or lose its connection: the longest stop of
// a core, its restart and the request's own deadline take much less.
constexpr uint64_t response_timeout_ns = 100 * s;
// Of one request without a key by a gateway.
constexpr uint32_t keyless_attempts_max = 3;

}  // namespace

Client::Client(World& world, Audit& its_audit, std::vector<Listener*> listeners, Kind kind,
               std::string name, std::vector<std::string> hunters, std::vector<std::string> hunts)
    : world_(world),
      audit_(its_audit),
      listeners_(std::move(listeners)),
      kind_(kind),
      name_(std::move(name)),
      hunters_(std::move(hunters)),
      hunts_(std::move(hunts)) {}

void Client::start() { act_later(); }

void Client::act_later() {
  if (std::exchange(acting_, true)) return;
  uint64_t const pause_ns = kind_ == Kind::rude ? world_.random.between(100 * ms, 5 * s)
                                                : world_.random.between(1 * ms, 90 * ms);
  world_.after(pause_ns, [this] {
    acting_ = false;
    act();
  });
}

void Client::act() {
  if (stopped_) return;
  act_later();
  if (kind_ == Kind::rude) {
    if (!finishing_) be_rude();
    return;
  }
  // A player usually has one request at a time; a proxy pipelines.
  bool const pipelines = kind_ == Kind::proxy || kind_ == Kind::gateway;
  size_t const at_once = pipelines ? 6 : (world_.random.chance(0.1) ? 3 : 1);
  if (pending_.size() >= at_once) return;
  if (wire_ != nullptr && pending_.empty() && !finishing_ && world_.random.chance(0.05)) leave();
  if (!again_.empty()) {
    Wish* const wish = again_.front();
    again_.pop_front();
    if (may_repeat(*wish)) send_wish(*wish);
    return;
  }
  if (finishing_) return;
  if (world_.random.chance(0.1)) return send_held();
  if (pipelines && world_.random.chance(0.1)) return send_core_map_gets();
  // A wish of another client, which may be pending at this moment.
  std::vector<Wish*> const wishes = audit_.wishes();
  if (!wishes.empty() && world_.random.chance(0.25)) {
    size_t const recent = std::min<size_t>(wishes.size(), 12);
    Wish* const wish = wishes[wishes.size() - 1 - world_.random.below(recent)];
    if (wish->repeatable(world_.now_ns())) return send_wish(*wish);
  }
  Wish& wish = audit_.new_wish(world_.random.one_of(hunts_), world_.random.one_of(hunters_), "");
  if (world_.random.chance(0.7)) wish.key = fmt::format("key{}", wish.number);
  wish.non_idempotent = kind_ == Kind::gateway && wish.key.empty();
  send_wish(wish);
}

void Client::send_wish(Wish& wish) {
  ++wish.attempts;
  ++wish.open_attempts;
  std::string request = fmt::format(
      "POST {} HTTP/1.1\r\nHost: hunts\r\nContent-Type: application/json\r\n", wish.target());
  if (!wish.key.empty()) request += "Idempotency-Key: " + wish.key + "\r\n";
  std::string const body = wish.input();
  if (world_.random.chance(0.2))
    request +=
        fmt::format("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{}\r\n0\r\n\r\n", body.size(), body);
  else
    request += fmt::format("Content-Length: {}\r\n\r\n{}", body.size(), body);
  world_.trace("{} sends wish {} {} of {} key {}", name_, wish.number, wish.hunt_id, wish.hunter_id,
               wish.key);
  pending_.push_back({&wish, wish.hunter_id, wish.hunt_id, {}});
  put(request);
}

void Client::send_held() {
  std::string const hunter_id = world_.random.one_of(hunters_);
  std::string const hunt_id = world_.random.one_of(hunts_);
  pending_.push_back({nullptr, hunter_id, hunt_id, audit_.held_now(hunter_id, hunt_id)});
  put(fmt::format("GET /v1/hunts/{}/hunters/{} HTTP/1.1\r\nHost: hunts\r\n\r\n", hunt_id,
                  hunter_id));
}

// Requests that need no wait, among those that do.
void Client::send_core_map_gets() {
  for (uint64_t left = world_.random.between(1, 4); left > 0; --left) {
    pending_.push_back({});
    put("GET /v1/core-map HTTP/1.1\r\nHost: hunts\r\n\r\n");
  }
}

void Client::open() {
  if (wire_ != nullptr) return;
  wire_ = std::make_shared<Wire>(world_, *this);
  in_.clear();
  ++connections_;
  listeners_[world_.random.below(listeners_.size())]->connect(wire_);
}

void Client::put(std::string_view bytes) {
  open();
  wire_->send(bytes);
  uint64_t const number = ++sent_number_;
  bool const impatient = world_.faults_on && world_.random.chance(0.03);
  if (impatient && world_.random.chance(0.3)) {
    // Resets in the middle of the request or the response.
    world_.fault("a client resets", name_);
    world_.after(world_.random.below(3 * ms), [this, number] {
      if (number > received_number_) drop(true);
    });
    return;
  }
  world_.after(impatient ? world_.random.between(1 * ms, 500 * ms) : response_timeout_ns,
               [this, number, impatient] {
                 if (number <= received_number_ || stopped_) return;
                 if (!impatient)
                   return world_.violation("I7", name_ + " has waited 100 s for a response");
                 give_up(number);
               });
}

void Client::give_up(uint64_t) {
  world_.fault("a client gives up waiting", name_);
  drop(world_.random.chance(0.5));
}

void Client::leave() { drop(false); }

void Client::drop(bool by_reset) {
  if (wire_ != nullptr) {
    WirePtr const wire = std::exchange(wire_, nullptr);
    if (by_reset) wire->reset();
    wire->leave();
  }
  drop_pending();
}

void Client::on_wire_end(bool reset) {
  world_.trace("{}: connection {} with {} open", name_, reset ? "reset" : "ended", pending_.size());
  if (wire_ != nullptr) std::exchange(wire_, nullptr)->leave();
  drop_pending();
}

// The pending requests get no response on this connection any more.
void Client::drop_pending() {
  received_number_ = sent_number_;
  for (Pending& pending : std::exchange(pending_, {})) {
    if (pending.wish == nullptr) continue;
    --pending.wish->open_attempts;
    ++pending.wish->unknown;
    retry(*pending.wish);
  }
  in_.clear();
}

bool Client::may_repeat(const Wish& wish) const {
  if (!wish.key.empty()) return wish.repeatable(world_.now_ns());
  return wish.non_idempotent && wish.attempts < keyless_attempts_max;
}

void Client::retry(Wish& wish) {
  if (!may_repeat(wish)) return;
  if (!finishing_ && world_.random.chance(0.1)) return;
  again_.push_back(&wish);
}

void Client::on_wire_bytes(std::string_view bytes) {
  in_ += bytes;
  read_responses();
}

void Client::read_responses() {
  for (;;) {
    size_t const head_end = in_.find("\r\n\r\n");
    if (head_end == std::string::npos) return;
    std::string const head = in_.substr(0, head_end);
    size_t const length_at = head.find("Content-Length: ");
    if (!head.starts_with("HTTP/1.1 ") || length_at == std::string::npos)
      return world_.violation("I4", "not a response: " + head);
    int const status = std::atoi(head.c_str() + 9);
    size_t const length = std::strtoull(head.c_str() + length_at + 16, nullptr, 10);
    if (in_.size() < head_end + 4 + length) return;
    std::string const body = in_.substr(head_end + 4, length);
    in_.erase(0, head_end + 4 + length);
    on_response(status, body);
    if (world_.violated()) return;
    if (head.find("Connection: close") != std::string::npos) {
      if (wire_ != nullptr) std::exchange(wire_, nullptr)->leave();
      return drop_pending();
    }
  }
}

void Client::on_response(int status, std::string_view body) {
  if (pending_.empty()) {
    if (kind_ != Kind::rude) world_.violation("I4", name_ + ": a response without a request");
    return;
  }
  Pending const pending = std::move(pending_.front());
  pending_.pop_front();
  ++received_number_;
  if (pending.hunter_id.empty()) {
    // 503: the core has no room for the connection.
    if (status != 503 && (status != 200 || body.find("\"buckets\"") == std::string_view::npos))
      world_.violation("I4", fmt::format("the core map: {} {}", status, body));
    return;
  }
  if (pending.wish == nullptr) {
    if (status == 200)
      audit_.on_held_response(pending.hunter_id, pending.hunt_id, pending.held_before, body);
    else if (status != 503)
      world_.violation("I4", fmt::format("what is held: {} {}", status, body));
    return;
  }
  world_.trace("{} reads wish {}: {} {}", name_, pending.wish->number, status, body);
  --pending.wish->open_attempts;
  bool const done = audit_.on_client_response(*pending.wish, status, body);
  bool const of_gateway = status == 502 || status == 503 || status == 504;
  if (!done && (of_gateway || !pending.wish->key.empty())) retry(*pending.wish);
}

// Violates the rules. The responses to its requests are not read.
void Client::be_rude() {
  if (wire_ != nullptr) {
    if (world_.random.chance(0.5)) wire_->set_peer_reads(true);
    if (world_.random.chance(0.3)) drop(world_.random.chance(0.5));
    return;
  }
  open();
  switch (world_.random.below(4)) {
    case 0:
      world_.fault("a client that sends half a request", name_);
      return wire_->send("POST /v1/hunts/gift/hunters/h0 HTTP/1.1\r\nHost: hu");
    case 1: {
      world_.fault("a client that sends garbage", name_);
      std::string bytes;
      for (int i = 0; i < 200; ++i) bytes.push_back(static_cast<char>(world_.random.below(256)));
      return wire_->send(bytes);
    }
    case 2: {
      world_.fault("a client that does not read", name_);
      wire_->set_peer_reads(false);
      for (int i = 0; i < 20; ++i) {
        Wish& wish = audit_.new_wish("gift", world_.random.one_of(hunters_), "");
        wish.unknown = 1;
        std::string const body = wish.input();
        wire_->send(fmt::format("POST {} HTTP/1.1\r\nHost: hunts\r\nContent-Length: {}\r\n\r\n{}",
                                wish.target(), body.size(), body));
      }
      return;
    }
    default:
      world_.fault("a client that sends nothing", name_);
      return;
  }
}

}  // namespace huntd::server::sim
