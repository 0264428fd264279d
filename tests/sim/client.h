// Clients: players with a hunter each, proxies with many, and rude ones. They ask over HTTP, give
// up, come back with the same key, repeat what others ask, and never lie.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "books.h"
#include "wire.h"

namespace huntd::sim {

class Client final : public Peer {
 public:
  enum class Kind { player, proxy, rude };
  Client(World& world, Books& books, Listener& listener, Kind kind, std::string name,
         std::vector<std::string> hunters, std::vector<std::string> hunts);
  // Begins to ask, until finish().
  void begin();
  // No new wishes; what it still waits for it asks again until it has a result.
  void finish() { finishing_ = true; }
  void adopt(Wish& wish) { again_.push_back(&wish); }
  bool idle() const { return asked_.empty() && again_.empty(); }
  bool honest() const { return kind_ != Kind::rude; }
  void leave();
  // Stops, with its connection left open.
  void rest() { resting_ = true; }

 private:
  struct Asked {
    Wish* wish;  // null: a question of what is held
    std::string hunter_id;
    std::string hunt_id;
    std::map<std::string, uint64_t> held_before;
  };
  void on_wire_bytes(std::string_view bytes) override;
  void on_wire_end(bool reset) override;
  void act();
  void act_later();
  void ask(Wish& wish);
  void ask_held();
  void be_rude();
  void open();
  void put(std::string_view bytes);
  void take_answers();
  void take_answer(int status, std::string_view body);
  void lose_patience(uint64_t number);
  void drop(bool by_reset);
  void forget_asked();
  void ask_again(Wish& wish);

  World& world_;
  Books& books_;
  Listener& listener_;
  Kind kind_;
  std::string name_;
  std::vector<std::string> hunters_;
  std::vector<std::string> hunts_;
  WirePtr wire_;
  std::string in_;
  std::deque<Asked> asked_;  // in the order of their answers
  std::deque<Wish*> again_;
  bool acting_ = false;
  bool finishing_ = false;
  bool resting_ = false;
  uint64_t connections_ = 0;
  uint64_t asked_number_ = 0;
  uint64_t answered_number_ = 0;
};

}  // namespace huntd::sim
