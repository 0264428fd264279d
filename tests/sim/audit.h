// SPDX-License-Identifier: Apache-2.0
// The audit of a run: records the requests of the clients, the outcomes of the workers, the writes
// of Redis, the responses and the topic, and checks the invariants between them. It trusts nothing
// that huntd reports.
//
// Redis may lose writes, so each of its stores has a model of its own: a store that continues from
// an older copy has the older model. What no loss excuses is checked over all stores.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "chance/seed.h"
#include "kafka.h"
#include "redis_store.h"
#include "store_model.h"
#include "workers.h"
#include "world.h"

#include <simdjson.h>

namespace huntd::server::sim {

// A request that Redis has committed.
struct CommittedRequest {
  std::string request_id;  // of the attempt; empty in a record that does not name it
  int status = 0;
  std::string result;  // as of result_part()
};

// One request that a client wants the result of. With a key it may be sent several times, by
// several clients at once.
struct Wish {
  uint64_t number = 0;
  std::string hunt_id;
  std::string hunter_id;
  std::string key;  // empty: each attempt is a request of its own
  // A proxy repeats it without a key, one attempt at a time.
  bool non_idempotent = false;
  // After an unknown outcome without a key, the request_id is a key until this time.
  uint64_t repeat_until_ns = never_ns;
  uint32_t attempts = 0;
  uint32_t open_attempts = 0;
  uint32_t unknown = 0;            // attempts whose outcome is unknown
  std::set<std::string> answered;  // request_ids in responses 200
  std::vector<CommittedRequest> commits;
  int status = 0;  // of the newest result: 200 or 422; 0: none yet
  bool repeatable(uint64_t now_ns) const { return !key.empty() && now_ns <= repeat_until_ns; }
  std::string target() const { return "/v1/hunts/" + hunt_id + "/hunters/" + hunter_id; }
  std::string input() const { return fmt::format("{{\"n\":{}}}", number); }
};

struct AwardedEvent {
  std::string event_id;
  std::string hunter_id;
  std::string hunt_id;
  std::string loot_id;
  uint64_t generation = 0;
  uint64_t seq = 0;
  bool from_supply = false;
  int32_t units = 1;  // below 0: taken
  std::string value;
  uint64_t committed_at_ns = 0;
  uint64_t number = 0;      // in the order of all commits
  bool floor_lost = false;  // Redis did not know the floor of the latest purge
};

class Audit {
 public:
  Audit(World& world, uint64_t tickets) : world_(world), tickets_(tickets) {}
  // Another store: the first one, or a copy of `of`.
  void watch(RedisStore& store, const RedisStore* of);

  Wish& new_wish(std::string hunt_id, std::string hunter_id, std::string key);
  std::vector<Wish*> wishes();

  void on_worker_outcome(const WorkerOutcome& outcome) {
    outcomes_[outcome.seed].push_back(outcome);
  }
  // Checks the bytes that a core sends to a client, before they arrive: no loot before its commit.
  void on_core_response(std::string_view bytes);
  // Checks the bytes that a core, which has run without a stop for `running_ns`, sends to Redis: no
  // commit for a hunt that has been closed for long.
  void on_core_commands(std::string_view bytes, uint64_t running_ns);
  // Checks a response that arrived. Returns false if the client should retry.
  bool on_client_response(Wish& wish, int status, std::string_view body);
  // A change of the hash `hunts`. `floor`: of a purge whose deletions start now.
  void on_hunt_closed(const std::string& hunt_id);
  void on_hunt_purged(const std::string& hunt_id, uint64_t floor);
  void on_hunt_opened(const std::string& hunt_id);
  // `store` is the primary from now on. Cores may use the former one for `former_ns` more.
  void on_primary(RedisStore& store, uint64_t former_ns);

  // What the hunter holds in the primary, by the commits so far. The response to a GET must be
  // between its values at the request and at the response, unless something was lost in between.
  struct Holding {
    uint64_t losses = 0;
    std::map<std::string, uint64_t> loot;
    std::vector<std::map<std::string, uint64_t>> states;  // as of HeldModel
  };
  Holding held_now(const std::string& hunter_id, const std::string& hunt_id) const;
  void on_held_response(const std::string& hunter_id, const std::string& hunt_id,
                        const Holding& at_first, std::string_view body);

  // At the end, when every wish has its result; `primary` is what Redis then is.
  void check_wishes();
  void check_redis(const RedisStore& primary, bool outbox_is_emptied);
  void check_topic(const RedisStore& primary, const Topic& topic);

  uint64_t awards() const { return events_.size(); }
  uint64_t takes() const { return takes_; }
  uint64_t responses() const { return responses_; }
  uint64_t repeated_events() const { return repeated_; }
  uint64_t out_of_order() const { return out_of_order_; }
  // Rare events that some runs should have: requests voided by the sweep, commits that were undone,
  // generations after the first of a hash, and awards that Redis has lost.
  uint64_t voided() const { return voided_; }
  uint64_t undone() const { return undone_; }
  uint64_t generations() const { return generations_; }
  uint64_t lost_awards() const { return lost_awards_; }

 private:
  // The request that a commit script wrote.
  struct Commit {
    std::string record_key;
    std::string hunter_id;
    std::string hunt_id;
    std::string key;
    CommittedRequest request;
    std::vector<AwardedEvent> events;
    std::string state;  // the new field #state; empty: it stays
  };
  struct HuntTimes {
    uint64_t closed_at_ns = never_ns;  // never_ns: it is open
    uint64_t opened_at_ns = 0;         // 0: it was never closed
    uint64_t floor = 0;
    uint64_t purged_at_ns = never_ns;
    bool purging = false;  // its keys are being deleted
  };
  void on_writes(RedisStore& store, const std::vector<Words>& writes);
  void on_gone(const RedisStore& store, const std::string& key);
  bool read_commit(const std::vector<Words>& writes, Commit& commit);
  bool read_event(const Words& words, Commit& commit);
  void check_undone(const RedisStore& store, const Commit& commit);
  void check_tombstone(const RedisStore& store, const std::string& key);
  void check_generation(const RedisStore& store, const std::string& key, HeldModel& held);
  void check_held(const RedisStore& store, const std::string& key);
  void check_takes(const HeldModel& held, const Commit& commit);
  void add_units(HeldModel& held, const AwardedEvent& event);
  void check_ticket(const RedisStore& store, StoreModel& model, const AwardedEvent& event);
  Wish* find_wish(const Commit& commit);
  const WorkerOutcome* find_outcome(const Commit& commit);
  static bool follows_from(const Commit& commit, const std::string& event_id, uint32_t position);
  void add_events(const RedisStore& store, StoreModel& model, Commit& commit);
  bool check_units_of(std::string_view response, simdjson::dom::element body, const char* list,
                      int32_t sign);
  void take_key(Wish& wish, std::string_view body);
  void note_secrets(const std::vector<Words>& writes);
  bool read_problem(Wish& wish, int status, std::string_view body);
  void check_result(const Wish& wish, int status, std::string_view body);
  void check_wish(const Wish& wish);
  void check_held_at_end(const RedisStore& primary, const StoreModel& model);
  void check_lost(const StoreModel& model);
  void check_units(const RedisStore& primary, const StoreModel& model);
  void check_record(const RedisStore::Value& value, const std::string& key,
                    const StoreModel& model);

  World& world_;
  uint64_t tickets_;
  std::map<const RedisStore*, StoreModel> models_;
  const RedisStore* primary_ = nullptr;
  std::vector<std::unique_ptr<Wish>> wishes_;
  std::map<std::string, SeedKey> secrets_;       // of hunt.random(): each that was ever in Redis
  std::map<std::string, std::string> lineages_;  // word of #gen -> run_id and replication id
  std::map<uint64_t, std::vector<WorkerOutcome>> outcomes_;  // by seed
  std::map<std::string, AwardedEvent> events_;               // by their JSON
  std::map<std::string, std::string> newest_;                // event_id -> JSON
  std::set<std::string> names_;  // "Redis key/generation/seq" of each event
  std::map<std::string, HuntTimes> hunts_;
  std::map<std::string, uint64_t> swept_at_ns_;  // by event: when a sweep first found it
  uint64_t losses_ = 0;
  uint64_t former_until_ns_ = 0;
  uint64_t responses_ = 0;
  uint64_t takes_ = 0;
  uint64_t repeated_ = 0;
  uint64_t out_of_order_ = 0;
  uint64_t voided_ = 0;
  uint64_t undone_ = 0;
  uint64_t generations_ = 0;
  uint64_t lost_awards_ = 0;
};

}  // namespace huntd::server::sim
