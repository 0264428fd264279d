// SPDX-License-Identifier: Apache-2.0
// A Kafka and its producers, as seen through linux/kafka_log.cc and librdkafka's idempotent
// producer: the records of a partition are stored in order, and once per incarnation of the
// producer; they are acknowledged late, rejected (the queue is full), or time out, stored or not.
#pragma once
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "machine.h"

namespace huntd::server::sim {

struct TopicRecord {
  std::string key;
  std::string value;
  const Machine* producer;
  uint64_t produced_at_ns;
};

class Topic {
 public:
  explicit Topic(World& world) : world_(world) {}
  static constexpr size_t partitions = 4;
  std::vector<TopicRecord> records[partitions];

  bool up() const { return world_.now_ns() >= down_until_ns_; }
  void be_down_until(uint64_t until_ns) { down_until_ns_ = until_ns; }
  void reject_until(uint64_t until_ns) { rejecting_until_ns_ = until_ns; }
  bool rejects() const { return world_.now_ns() < rejecting_until_ns_; }
  void heal() { down_until_ns_ = rejecting_until_ns_ = 0; }
  uint64_t message_timeout_ns = 4 * s;

 private:
  World& world_;
  uint64_t down_until_ns_ = 0;
  uint64_t rejecting_until_ns_ = 0;
};

class Producer final : public EventLog {
 public:
  Producer(Machine& machine, Topic& topic) : machine_(machine), topic_(topic) {}
  void set_user(EventLogUser& user) override { user_ = &user; }
  void produce(const PoolVector<EventRecord>& records) override;
  void give_up() override;

 private:
  struct Message {
    TopicRecord record;
    uint64_t token;
    uint64_t due_ns;  // when it times out
    bool stored = false;
  };
  struct Partition {
    std::deque<Message> queue;
    size_t in_batch = 0;  // the first of the queue that are with the broker
    bool waiting = false;
  };
  void linger(size_t partition);
  void try_batch(size_t partition);
  void expire(size_t partition);
  void report(uint64_t token, const DeliveryReport& report);

  Machine& machine_;
  Topic& topic_;
  EventLogUser* user_ = nullptr;
  Partition partitions_[Topic::partitions];
};

}  // namespace huntd::server::sim
