// SPDX-License-Identifier: Apache-2.0
// Clients: players with one hunter, proxies and gateways with many, and rude ones that violate the
// rules. They send requests over HTTP, give up, retry with the same key, and repeat requests of
// other clients.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "audit.h"
#include "wire.h"

namespace huntd::server::sim {

class Client final : public Peer {
 public:
  // A gateway also repeats requests without a key, as a proxy does that is set to repeat POST
  // (nginx: proxy_next_upstream with non_idempotent).
  enum class Kind { player, proxy, gateway, rude };
  // Each connection is to one of the listeners: of several hosts.
  Client(World& world, Audit& audit, std::vector<Listener*> listeners, Kind kind, std::string name,
         std::vector<std::string> hunters, std::vector<std::string> hunts);
  // Sends requests until finish().
  void start();
  // No new wishes from now on; pending ones are retried until they have a result.
  void finish() { finishing_ = true; }
  void adopt(Wish& wish) { again_.push_back(&wish); }
  bool idle() const { return pending_.empty() && again_.empty(); }
  bool honest() const { return kind_ != Kind::rude; }
  void leave();
  // Stops, and leaves its connection open.
  void stop() { stopped_ = true; }

 private:
  struct Pending {
    Wish* wish;             // null: a GET of what is held
    std::string hunter_id;  // empty: a GET of the core map
    std::string hunt_id;
    Audit::Holding held_before;
  };
  void on_wire_bytes(std::string_view bytes) override;
  void on_wire_end(bool reset) override;
  void act();
  void act_later();
  void send_wish(Wish& wish);
  void send_held();
  void send_core_map_gets();
  void be_rude();
  void open();
  void put(std::string_view bytes);
  void read_responses();
  void on_response(int status, std::string_view body);
  void give_up(uint64_t number);
  void drop(bool by_reset);
  void drop_pending();
  bool may_repeat(const Wish& wish) const;
  void retry(Wish& wish);

  World& world_;
  Audit& audit_;
  std::vector<Listener*> listeners_;
  Kind kind_;
  std::string name_;
  std::vector<std::string> hunters_;
  std::vector<std::string> hunts_;
  WirePtr wire_;
  std::string in_;
  std::deque<Pending> pending_;  // in the order of their responses
  std::deque<Wish*> again_;
  bool acting_ = false;
  bool finishing_ = false;
  bool stopped_ = false;
  uint64_t connections_ = 0;
  uint64_t sent_number_ = 0;
  uint64_t received_number_ = 0;
};

}  // namespace huntd::server::sim
