// SPDX-License-Identifier: Apache-2.0
// The audit of a run: records the requests of the clients, the outcomes of the workers, the writes
// of Redis, the responses and the topic, and checks the invariants between them. It trusts nothing
// that huntd reports.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "core/hunt/seed.h"
#include "kafka.h"
#include "redis_store.h"
#include "workers.h"
#include "world.h"

namespace huntd::server::sim {

// One request that a client wants the result of. With a key it may be sent several times, by
// several clients at once.
struct Wish {
  uint64_t number = 0;
  std::string hunt_id;
  std::string hunter_id;
  std::string key;  // empty: each attempt is a wish of its own
  // After an unknown outcome without a key, the request_id is a key until this time.
  uint64_t repeat_until_ns = never_ns;
  uint32_t attempts = 0;
  uint32_t open_attempts = 0;
  bool any_unknown = false;  // the outcome of an attempt is unknown
  int status = 0;            // of the result: 200 or 422; 0: none yet
  std::string body;          // of the result, from "loot" on
  bool repeatable(uint64_t now_ns) const { return !key.empty() && now_ns <= repeat_until_ns; }
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

class Audit {
 public:
  Audit(World& world, RedisStore& store, uint64_t tickets);

  Wish& new_wish(std::string hunt_id, std::string hunter_id, std::string key);
  std::vector<Wish*> wishes();

  void on_worker_outcome(const WorkerOutcome& outcome) {
    outcomes_[outcome.seed].push_back(outcome);
  }
  // Checks the bytes that a core sends to a client, before they arrive: no loot before its commit.
  void on_core_response(std::string_view bytes);
  // Checks a response that arrived. Returns false if the client should retry.
  bool on_client_response(Wish& wish, int status, std::string_view body);
  // What the hunter holds, by the commits so far. The response to a GET must be between its values
  // at the request and at the response.
  std::map<std::string, uint64_t> held_now(const std::string& hunter_id,
                                           const std::string& hunt_id) const;
  void on_held_response(const std::string& hunter_id, const std::string& hunt_id,
                        const std::map<std::string, uint64_t>& at_first, std::string_view body);

  // At the end, when every wish has its result.
  void check_redis(bool outbox_is_emptied);
  void check_topic(const Topic& topic);

  uint64_t awards() const { return events_.size(); }
  uint64_t responses() const { return responses_; }
  uint64_t repeated_events() const { return repeated_; }
  uint64_t out_of_order() const { return out_of_order_; }
  // Rare events that some runs should have: units taken over from another attempt of a request, and
  // requests voided by the sweep.
  uint64_t taken_over() const { return taken_over_; }
  uint64_t voided() const { return voided_; }

 private:
  // The request that a commit script wrote.
  struct Committed {
    std::string record_key;
    std::string hunter_id;
    std::string hunt_id;
    std::string key;
    std::vector<AwardedEvent> events;
    std::map<std::string, int64_t> counts;  // "Redis key/loot_id" -> added
  };
  void on_writes(const std::vector<Words>& writes);
  bool read_commit(const std::vector<Words>& writes, Committed& commit);
  Wish* find_wish(const Committed& commit);
  void add_events(Committed& commit, const Wish& wish);
  void take_key(Wish& wish, std::string_view body);
  uint64_t seed_of(const Committed& commit);

  World& world_;
  RedisStore& store_;
  uint64_t tickets_;
  std::vector<std::unique_ptr<Wish>> wishes_;
  std::string seed_secret_;                                    // that the first core stored
  std::optional<SeedKey> seed_key_;                            // of seed_secret_
  std::map<uint64_t, std::vector<WorkerOutcome>> outcomes_;    // by seed
  std::map<std::string, AwardedEvent> events_;                 // by event_id
  std::map<std::string, std::vector<std::string>> by_hunter_;  // "hunter:hunt" -> event_ids by seq
  std::map<uint64_t, uint32_t> commits_;                       // by the wish's number
  std::set<std::string> done_;                                 // keys that hold a record
  std::map<std::string, uint64_t> swept_at_ns_;  // by event: when a sweep first found it
  uint64_t tickets_given_ = 0;
  uint64_t responses_ = 0;
  uint64_t repeated_ = 0;
  uint64_t out_of_order_ = 0;
  uint64_t taken_over_ = 0;
  uint64_t voided_ = 0;
};

}  // namespace huntd::server::sim
