// SPDX-License-Identifier: Apache-2.0
#include "aggregator/source/source_cluster.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "aggregator/sessions/aggregator_limits.h"
#include "base/clock.h"
#include "base/log.h"
#include "wire/cluster_map.h"
#include "wire/redis_keys.h"

namespace huntd::aggregator {

// Asks which node has which slot, if it is time to. After an error the former map stays.
Result<void> ClusterSource::follow_map() {
  int64_t const now_ms = monotonic_ms();
  int64_t const pause_ms = map_wanted_ ? limits::outbox_map_gap_ms : limits::outbox_map_ms;
  if (map_read_at_ms_ != 0 && now_ms < map_read_at_ms_ + pause_ms) return {};
  map_wanted_ = false;
  Result<void> const read = cluster_.read_map();
  map_read_at_ms_ = monotonic_ms();
  map_failure_ = read ? "" : read.error().message;
  if (read) use_map();
  // Without any map nothing can be read.
  return parts_.empty() ? read : Result<void>();
}

void ClusterSource::use_map() {
  std::map<std::string, Buckets> buckets;
  covered_.reset();
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket) {
    uint16_t const slot = cluster_slot_of(keys::outbox(bucket));
    for (const ClusterMap::Range& range : cluster_.map().ranges) {
      if (slot < range.first || slot > range.last) continue;
      buckets[address_text({false, range.primary.host, range.primary.port})].set(bucket);
      covered_.set(bucket);
    }
  }
  std::erase_if(parts_, [&](const auto& part) { return !buckets.contains(part.first); });
  for (const auto& [address, of_node] : buckets) {
    std::unique_ptr<Part>& part = parts_[address];
    if (!part) {
      Config node = config_;
      node.redis.cluster = false;
      node.redis.address = {address};
      part = std::make_unique<Part>(node);
    }
    part->source.use(of_node);
  }
}

void ClusterSource::note(Part& part, const Error& error, int64_t started_at_ms) {
  if (part.failure.empty())
    log::warning("a node of the redis cluster can't be read", {{"error", error.message}});
  part.failure = error.message;
  int64_t const now_ms = monotonic_ms();
  part.backoff.failed(now_ms);
  rests_until_ms_ = now_ms + limits::outbox_node_rest * (now_ms - started_at_ms);
  map_wanted_ = true;
}

int64_t ClusterSource::retry_at_ms(const Part& part) const {
  return part.failure.empty() ? 0 : std::max(part.backoff.retry_at_ms(), rests_until_ms_);
}

bool ClusterSource::due(const Part& part, int64_t now_ms) const {
  return now_ms >= retry_at_ms(part);
}

void ClusterSource::pass(int64_t time_ms, const Act& act, const Until& ended) {
  int64_t const until_ms = monotonic_ms() + time_ms;
  auto at = parts_.upper_bound(last_);
  for (size_t i = 0; i < parts_.size(); ++i, ++at) {
    if (at == parts_.end()) at = parts_.begin();
    Part& part = *at->second;
    int64_t const now_ms = monotonic_ms();
    if (now_ms >= until_ms || ended()) return;
    if (!due(part, now_ms)) continue;
    last_ = at->first;
    Result<bool> const done = act(part.source);
    if (part.source.take_moved()) map_wanted_ = true;
    if (!done) {
      note(part, done.error(), now_ms);
    } else if (*done && !part.failure.empty()) {
      log::notice("the node of the redis cluster can be read again", {{"node", at->first}});
      part.failure.clear();
      part.backoff.succeeded();
    }
  }
}

size_t ClusterSource::on_their_way() const {
  size_t count = 0;
  for (const auto& [address, part] : parts_) count += part->source.elsewhere().count();
  return count;
}

Result<void> ClusterSource::first_failure() const {
  size_t failing = 0;
  std::string first = map_failure_;
  for (const auto& [address, part] : parts_) {
    if (part->failure.empty()) continue;
    ++failing;
    if (first.empty()) first = part->failure;
  }
  // What has moved is looked for at its new node first.
  if (fails_at_once_ && first.empty() && !map_wanted_ && on_their_way() > 0)
    first = "redis: slots of the cluster move: run it again when the resharding has ended";
  if (failing < parts_.size() && !(fails_at_once_ && !first.empty())) return {};
  return first.empty() ? Result<void>() : Error{std::move(first), ErrorKind::unreachable};
}

Result<void> ClusterSource::read(Batch& batch, uint32_t timeout_ms) {
  int64_t const until_ms = monotonic_ms() + timeout_ms;
  uint64_t const before = batch.records();
  while (true) {
    if (Result<void> mapped = follow_map(); !mapped) return mapped;
    pass(
        limits::read_tick_ms,
        [&](OutboxSource& source) -> Result<bool> {
          Result<void> const done = source.read(batch, 0);
          return done ? Result<bool>(true) : done.error();
        },
        [&] { return batch.full(); });
    if (Result<void> usable = first_failure(); !usable) return usable;
    int64_t const now_ms = monotonic_ms();
    if (batch.records() > before) read_at_ms_ = now_ms;
    if (batch.records() > before || now_ms >= until_ms) return {};
    wait_for_input(std::min(until_ms, now_ms + limits::outbox_parts_wait_ms));
    // A few more events may come with the first.
    int64_t const pause_ms =
        std::min(until_ms, read_at_ms_ + limits::outbox_read_pause_ms) - monotonic_ms();
    if (pause_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(pause_ms));
  }
}

void ClusterSource::wait_for_input(int64_t until_ms) const {
  std::vector<pollfd> inputs;
  int64_t const now_ms = monotonic_ms();
  for (const auto& [address, part] : parts_) {
    // What has arrived from one that rests is not read, so it would end each wait at once.
    if (!due(*part, now_ms))
      until_ms = std::min(until_ms, retry_at_ms(*part));
    else
      for (int const fd : part->source.fds())
        if (fd >= 0) inputs.push_back({fd, POLLIN, 0});
  }
  int64_t const wait_ms = std::max<int64_t>(0, until_ms - monotonic_ms());
  // A signal, or what has arrived, is found by the caller.
  static_cast<void>(::poll(inputs.data(), inputs.size(), static_cast<int>(wait_ms)));
}

Result<void> ClusterSource::acknowledge() {
  for (auto& [address, part] : parts_) part->source.note_merged();
  Result<void> all;
  // A part that has no turn deletes before it reads.
  pass(
      limits::peer_timeout_ms,
      [&](OutboxSource& source) -> Result<bool> {
        Result<void> const done = source.delete_merged();
        if (!done && all) all = done;
        return done ? Result<bool>(source.connected()) : done.error();
      },
      [] { return false; });
  return all;
}

Result<bool> ClusterSource::idle(uint32_t timeout_ms) {
  if (timeout_ms > 0)
    if (Result<void> mapped = follow_map(); !mapped) return mapped.error();
  if (timeout_ms > 0)
    pass(
        limits::read_tick_ms, [](OutboxSource& source) { return source.idle(1); },
        [] { return false; });
  else
    for (auto& [address, part] : parts_) static_cast<void>(part->source.idle(0));
  if (Result<void> usable = first_failure(); !usable) return usable.error();
  if (timeout_ms > 0) wait_for_input(monotonic_ms() + timeout_ms);
  return connected();
}

bool ClusterSource::caught_up() const {
  return covered_.all() && std::all_of(parts_.begin(), parts_.end(), [](const auto& part) {
           return part.second->failure.empty() && part.second->source.caught_up();
         });
}

uint64_t ClusterSource::lag_events() const {
  uint64_t total = 0;
  for (const auto& [address, part] : parts_) total += part->source.lag_events();
  return total;
}

Source::Unread ClusterSource::unread() const {
  Unread all;
  for (const auto& [address, part] : parts_) {
    Unread const one = part->source.unread();
    all.events += one.events;
    if (one.oldest_ms != 0)
      all.oldest_ms = all.oldest_ms == 0 ? one.oldest_ms : std::min(all.oldest_ms, one.oldest_ms);
  }
  return all;
}

bool ClusterSource::connected() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const auto& part) { return part.second->source.connected(); });
}

std::string ClusterSource::trouble() const {
  std::string all = map_failure_;
  for (const auto& [address, part] : parts_)
    if (!part->failure.empty()) all += (all.empty() ? "" : "; ") + part->failure;
  if (size_t const moving = on_their_way(); moving > 0)
    all += fmt::format("{}{} outboxes are on their way to another node", all.empty() ? "" : "; ",
                       moving);
  if (map_read_at_ms_ != 0 && parts_.size() > 0 && !covered_.all())
    all += fmt::format("{}no node has {} of the outboxes", all.empty() ? "" : "; ",
                       limits::buckets - covered_.count());
  return all;
}

bool ClusterSource::watched() const {
  return std::all_of(parts_.begin(), parts_.end(),
                     [](const auto& part) { return part.second->source.watched(); });
}

}  // namespace huntd::aggregator
