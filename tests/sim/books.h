// The model that keeps the books: what clients asked, what workers said, what Redis executed, what
// answers told, what the topic holds; and the invariants between them. It believes nothing that
// huntd says.
#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "kafka.h"
#include "redis_store.h"
#include "workers.h"
#include "world.h"

namespace huntd::sim {

// One thing that a client wants. With a key it may be asked many times, by many clients at once.
struct Wish {
  uint64_t number = 0;
  std::string hunt_id;
  std::string hunter_id;
  std::string key;  // empty: each attempt is a wish of its own
  uint32_t attempts = 0;
  uint32_t open_attempts = 0;
  bool any_unknown = false;  // an attempt of which nobody knows what became
  int status = 0;            // of the one result: 200 or 422; 0: not told yet
  std::string body;          // of it, from its loot on
  std::string loot_told;
  std::string target() const { return "/v1/hunts/" + hunt_id + "/hunters/" + hunter_id; }
  std::string input() const { return fmt::format("{{\"n\":{}}}", number); }
};

struct AwardedEvent {
  std::string event_id;
  std::string hunter_id;
  std::string hunt_id;
  std::string loot_id;
  uint64_t seq = 0;
  std::string value;
  uint64_t committed_at_ns = 0;
  uint64_t request = 0;  // the wish's number
};

class Books {
 public:
  Books(World& world, RedisStore& store, uint64_t tickets);

  Wish& new_wish(std::string hunt_id, std::string hunter_id, std::string key);
  std::vector<Wish*> wishes();

  void worker_said(const SaidOutcome& outcome) { said_[outcome.seed].push_back(outcome); }
  // Every byte that a core sends to a client, before the client has it: no answer of loot before
  // its commit.
  void core_answers(std::string_view bytes);
  // What a client reads: true where it is a result to rely on, false where it should ask again.
  bool client_reads(Wish& wish, int status, std::string_view body);
  // What GET may tell: counts between the two moments.
  std::map<std::string, uint64_t> held_now(const std::string& hunter_id,
                                           const std::string& hunt_id) const;
  void client_reads_held(const std::string& hunter_id, const std::string& hunt_id,
                         const std::map<std::string, uint64_t>& at_first, std::string_view body);

  // At the end, when all has settled.
  void check_redis(bool outbox_is_emptied);
  void check_topic(const Topic& topic);

  uint64_t awards() const { return events_.size(); }
  uint64_t answers() const { return answers_; }
  uint64_t repeated_events() const { return repeated_; }
  uint64_t out_of_order() const { return out_of_order_; }
  // Rare things that a run should have seen: units taken over from another attempt of a request,
  // and requests voided by the sweep.
  uint64_t taken_over() const { return taken_over_; }
  uint64_t voided() const { return voided_; }

 private:
  void on_writes(const std::vector<Words>& writes);

  World& world_;
  RedisStore& store_;
  uint64_t tickets_;
  std::vector<std::unique_ptr<Wish>> wishes_;
  std::map<uint64_t, std::vector<SaidOutcome>> said_;          // by seed
  std::map<std::string, AwardedEvent> events_;                 // by event_id
  std::map<std::string, std::vector<std::string>> by_hunter_;  // "hunter:hunt" -> event_ids by seq
  std::map<uint64_t, uint32_t> commits_;                       // by the wish's number
  std::set<std::string> done_;                                 // keys that hold a record
  std::map<std::string, uint64_t> swept_at_ns_;  // by the event: when a sweep first saw it
  uint64_t tickets_given_ = 0;
  uint64_t answers_ = 0;
  uint64_t repeated_ = 0;
  uint64_t out_of_order_ = 0;
  uint64_t taken_over_ = 0;
  uint64_t voided_ = 0;
};

}  // namespace huntd::sim
