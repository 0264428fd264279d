// SPDX-License-Identifier: Apache-2.0
#include "kafka.h"

#include <algorithm>

#include "base/hash.h"

namespace huntd::server::sim {
namespace {

constexpr size_t batch_max = 16;
constexpr uint64_t retry_ns = 100 * ms;

}  // namespace

void Producer::produce(const PoolVector<EventRecord>& records) {
  World& world = machine_.world();
  for (const EventRecord& record : records) {
    if (topic_.rejects() || (world.faults_on && world.random.chance(0.001))) {
      world.fault("a record rejected by the producer");
      user_->on_report(record.token,
                       {DeliveryReport::Fate::retriable, -1, -1, "Local: Queue full"});
      continue;
    }
    size_t const partition = hash64(record.key) % Topic::partitions;
    partitions_[partition].queue.push_back(
        {{std::string(record.key), std::string(record.value), &machine_, world.now_ns()},
         record.token,
         world.now_ns() + topic_.message_timeout_ns});
    machine_.stage([this, partition] { linger(partition); });
  }
}

void Producer::linger(size_t partition) {
  Partition& at = partitions_[partition];
  if (at.waiting || at.queue.empty()) return;
  at.waiting = true;
  World& world = machine_.world();
  world.after(world.random.between(1 * ms, 6 * ms), [this, partition] {
    partitions_[partition].waiting = false;
    try_batch(partition);
  });
}

// The broker may append a batch that it has received, although its producer does not wait any more.
void Producer::give_up() {
  World& world = machine_.world();
  for (size_t partition = 0; partition < Topic::partitions; ++partition) {
    Partition& at = partitions_[partition];
    for (size_t i = 0; i < at.queue.size(); ++i) {
      Message& message = at.queue[i];
      bool const sent = i < at.in_batch;
      if (sent && !message.stored && topic_.up() && world.random.chance(0.5))
        topic_.records[partition].push_back(message.record);
      report(
          message.token,
          sent ? DeliveryReport{DeliveryReport::Fate::unknown, -1, -1, "Local: Purged in flight"}
               : DeliveryReport{DeliveryReport::Fate::retriable, -1, -1, "Local: Purged in queue"});
    }
    at.queue.clear();
    at.in_batch = 0;
  }
}

// One request to the broker at a time. A broker appends a batch that has arrived, even if the
// producer has died, and appends a batch that is sent again only once.
void Producer::try_batch(size_t partition) {
  Partition& at = partitions_[partition];
  if (!machine_.alive() || at.waiting || at.queue.empty()) return;
  at.waiting = true;
  World& world = machine_.world();
  if (at.in_batch == 0) at.in_batch = std::min(at.queue.size(), batch_max);
  world.after(world.hop_ns(), [this, partition, &world] {
    Partition& its = partitions_[partition];
    bool const arrived = topic_.up() && !its.queue.empty();
    if (arrived) {
      for (size_t i = 0; i < its.in_batch; ++i) {
        if (its.queue[i].stored) continue;
        its.queue[i].stored = true;
        topic_.records[partition].push_back(its.queue[i].record);
      }
    }
    bool const ack_lost = world.faults_on && world.random.chance(0.03);
    if (arrived && ack_lost) world.fault("an acknowledgement of Kafka lost");
    if (!arrived || ack_lost) {
      world.after(retry_ns, [this, partition] {
        partitions_[partition].waiting = false;
        expire(partition);
        try_batch(partition);
      });
      return;
    }
    world.after(world.hop_ns(), [this, partition] {
      Partition& then = partitions_[partition];
      then.waiting = false;
      for (; then.in_batch > 0; --then.in_batch) {
        report(then.queue.front().token, {DeliveryReport::Fate::stored});
        then.queue.pop_front();
      }
      linger(partition);
    });
  });
}

// A record that timed out is reported as unknown, whether the broker has stored it or not.
void Producer::expire(size_t partition) {
  Partition& at = partitions_[partition];
  while (!at.queue.empty() && at.queue.front().due_ns <= machine_.world().now_ns()) {
    machine_.world().fault("a record timed out", at.queue.front().stored ? "stored" : "not stored");
    report(at.queue.front().token,
           {DeliveryReport::Fate::unknown, -1, -1, "Local: Message timed out"});
    at.queue.pop_front();
    if (at.in_batch > 0) --at.in_batch;
  }
}

void Producer::report(uint64_t token, const DeliveryReport& report) {
  machine_.post([this, token, report] { user_->on_report(token, report); });
}

}  // namespace huntd::server::sim
