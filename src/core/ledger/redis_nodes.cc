// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_nodes.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/read_text.h"
#include "core/ledger/connect_limits.h"
#include "core/ledger/redis_words.h"
#include "wire/redis_keys.h"

namespace huntd::server {
namespace {

Address address_of(const ClusterNode& node) { return {false, node.host, node.port}; }
std::string text_of(const ClusterNode& node) { return address_text(address_of(node)); }

// Whether an error that names no other node says that one may have the slot, or will soon.
bool may_have_moved(std::string_view error) {
  std::string_view const code = take_word(error);
  return code == "CLUSTERDOWN" || code == "READONLY" || code == "MASTERDOWN" || code == "MOVED";
}

}  // namespace

RedisNodes::RedisNodes(const RedisLink::World& world, RedisLink::Options options)
    : world_(world), options_(std::move(options)), map_wanted_(world.scheduler) {
  if (!options_.servers.cluster) {
    single_ = std::make_unique<RedisLink>(world_, options_);
    return;
  }
  parts_ = std::make_unique<LinkParts>(world_.resolver, world_.secrets, world_.scheduler);
  calls_.emplace(world_.network, parts_->lookup(), world_.scheduler, options_.logins.redis,
                 "redis.password_file", &redis_fault_in_words, limits::cluster_reply_bytes_max);
  NodeLinkUser& user = *this;
  absent_ = std::make_unique<RedisLink>(world_, options_, *parts_, user);
  slots_.assign(cluster_slots, absent_.get());
  owners_.assign(cluster_slots, nullptr);
  for (uint32_t bucket = 0; bucket < limits::buckets; ++bucket)
    slot_of_bucket_.push_back(cluster_slot_of(keys::outbox(bucket)));
  hunts_slot_ = cluster_slot_of(keys::hunts);
  uncovered_ = cluster_slots;
}

RedisScript* RedisNodes::add_script(std::string text) {
  return single_ ? single_->add_script(std::move(text)) : parts_->add_script(std::move(text));
}

Task<> RedisNodes::run() { return single_ ? single_->run() : follow_map(); }

void RedisNodes::use(RedisLogins logins) {
  if (single_) return single_->use(std::move(logins));
  calls_->use(logins.redis);
  options_.logins = std::move(logins);
  for (auto& node : nodes_) node->link.use(options_.logins);
}

void RedisNodes::flush(RedisLink::Leave leave) {
  if (single_) return single_->flush(leave);
  for (auto& node : nodes_) node->link.flush(leave);
}

size_t RedisNodes::in_flight() const {
  if (single_) return single_->in_flight();
  size_t count = 0;
  for (const auto& node : nodes_) count += node->link.in_flight();
  return count;
}

bool RedisNodes::up() const {
  if (single_) return single_->up();
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [](const auto& node) { return node->slots > 0 && node->link.up(); });
}

bool RedisNodes::suitable() const { return single_ ? single_->suitable() : usable_ > 0; }

uint64_t RedisNodes::connections() const {
  if (single_) return single_->connections();
  uint64_t count = 0;
  for (const auto& node : nodes_) count += node->link.connections();
  return count;
}

// --- routes --------------------------------------------------------------------------------------

RedisRoute RedisNodes::route_of_hunter(std::string_view hunter_id) const {
  if (single_) return {};
  return {slot_of_bucket_[bucket_of(hunter_id)], nullptr, 0, 0};
}

RedisRoute RedisNodes::route_of_key(std::string_view key) const {
  if (single_) return {};
  return {cluster_slot_of(key), nullptr, 0, 0};
}

RedisLink& RedisNodes::of_bucket(uint32_t bucket) {
  return single_ ? *single_ : *slots_[slot_of_bucket_[bucket]];
}

Task<bool> RedisNodes::until_up(RedisRoute& route, uint64_t deadline_at_ns) {
  return single_ ? single_->until_up(deadline_at_ns) : until_up_in_cluster(route, deadline_at_ns);
}

Task<bool> RedisNodes::until_up_in_cluster(RedisRoute& route, uint64_t deadline_at_ns) {
  while (!of(route).up() && world_.scheduler.now_ns() < deadline_at_ns) {
    route.asked = nullptr;  // that node is gone: the one that has the slot knows more
    if (!of(route).up()) co_await wait_for_change(deadline_at_ns);
  }
  co_return of(route).up();
}

Task<bool> RedisNodes::until_suitable(uint64_t deadline_at_ns) {
  return single_ ? single_->until_suitable(deadline_at_ns)
                 : until_suitable_in_cluster(deadline_at_ns);
}

Task<bool> RedisNodes::until_suitable_in_cluster(uint64_t deadline_at_ns) {
  while (!suitable() && world_.scheduler.now_ns() < deadline_at_ns)
    co_await wait_for_change(deadline_at_ns);
  co_return suitable();
}

Task<> RedisNodes::wait_for_change(uint64_t deadline_at_ns) {
  OneShot<Signal> slot(world_.scheduler);
  waiters_.push_back(&slot);
  co_await slot.wait(deadline_at_ns);
  std::erase(waiters_, &slot);
}

Task<bool> RedisNodes::redirected(const RedisReply& reply, RedisRoute& route,
                                  uint64_t deadline_at_ns) {
  std::optional<ClusterRedirect> redirect = read_cluster_redirect(reply.text());
  if (!redirect) {
    if (may_have_moved(reply.text())) map_wanted_.set({});
    co_return false;
  }
  world_.metrics.add(Counter::redis_redirects);
  uint64_t const now_ns = world_.scheduler.now_ns();
  if (now_ns >= deadline_at_ns) co_return false;
  if (redirect->unknown && redirect->kind == ClusterRedirect::Kind::moved) map_wanted_.set({});
  if (redirect->kind == ClusterRedirect::Kind::again || redirect->unknown) {
    bool const again = co_await wait_for_slot(route, deadline_at_ns);
    co_return again;
  }
  if (++route.redirects > limits::cluster_redirects_max) co_return false;
  if (redirect->node.host.empty())
    if (const Node* const replied = node_of(of(route))) redirect->node.host = replied->at.host;
  Node* const node = node_at(redirect->node);
  if (node == nullptr) co_return false;
  node->kept_until_ns = now_ns + limits::cluster_node_kept_ns;
  route.asked = redirect->kind == ClusterRedirect::Kind::ask ? &node->link : nullptr;
  // As a rule the first of the commands that were on their way learns it for all.
  if (route.asked == nullptr && slots_[route.slot] != &node->link) {
    map_wanted_.set({});
    slots_[route.slot] = &node->link;
    count_slots();
    on_link_changed();
  }
  uint64_t const until_ns = std::min(deadline_at_ns, now_ns + limits::cluster_connect_wait_ns);
  co_return co_await node->link.until_up(until_ns);
}

// Waits before a command is sent again to a slot that moves, longer each time. Returns false if the
// deadline leaves no time for that.
Task<bool> RedisNodes::wait_for_slot(RedisRoute& route, uint64_t deadline_at_ns) {
  uint64_t const pause_ns =
      std::min(limits::cluster_again_ns << route.pauses, limits::cluster_again_max_ns);
  uint64_t const end_ns = world_.scheduler.now_ns() + pause_ns;
  // One more without time for its reply would leave its outcome unknown.
  if (end_ns + limits::cluster_again_reply_ns >= deadline_at_ns) co_return false;
  if (pause_ns < limits::cluster_again_max_ns) ++route.pauses;
  route.asked = nullptr;
  route.redirects = 0;
  OneShot<Signal> pause(world_.scheduler);
  co_await pause.wait(end_ns);
  co_return true;
}

// --- commands ------------------------------------------------------------------------------------

Task<RedisReply> RedisNodes::command(PoolVector<std::string_view> words, uint64_t deadline_at_ns,
                                     RedisLink::Copies copies) {
  if (single_) return single_->command(std::move(words), deadline_at_ns, copies);
  return routed(std::move(words), deadline_at_ns, copies);
}

Task<RedisReply> RedisNodes::routed(PoolVector<std::string_view> words, uint64_t deadline_at_ns,
                                    RedisLink::Copies copies) {
  RedisRoute route = route_of_key(words[1]);
  for (;;) {
    // A link that is not up may be connected already: in its handshake.
    if (!of(route).up()) co_return RedisReply();
    PoolVector<std::string_view> copy = words;
    RedisReply reply =
        co_await of(route).command(std::move(copy), deadline_at_ns, copies, asking(route));
    if (!may_redirect(reply)) co_return reply;
    bool const again = co_await redirected(reply, route, deadline_at_ns);
    if (!again) co_return reply;
  }
}

Task<RedisReply> RedisNodes::retried(PoolVector<std::string_view> words, uint64_t deadline_at_ns) {
  if (single_) return single_->retried(std::move(words), deadline_at_ns);
  return routed_again(std::move(words), deadline_at_ns);
}

Task<RedisReply> RedisNodes::routed_again(PoolVector<std::string_view> words,
                                          uint64_t deadline_at_ns) {
  for (int tries = 1;; ++tries) {
    RedisRoute const route = route_of_key(words[1]);
    if (!of(route).up()) {
      co_await of(route).usable(deadline_at_ns);
      if (!of(route).up()) co_return RedisReply();
    }
    PoolVector<std::string_view> copy = words;
    RedisReply reply = co_await routed(std::move(copy), deadline_at_ns, RedisLink::Copies::primary);
    bool const late = world_.scheduler.now_ns() >= deadline_at_ns;
    if (!reply.lost() || late || tries == limits::redis_tries_max) co_return reply;
  }
}

Task<RedisReply> RedisNodes::evaluate(const RedisScript& script, PoolVector<std::string_view> keys,
                                      PoolVector<std::string_view> arguments,
                                      uint64_t deadline_at_ns) {
  if (single_)
    return single_->evaluate(script, std::move(keys), std::move(arguments), deadline_at_ns);
  return evaluate_routed(script, std::move(keys), std::move(arguments), deadline_at_ns);
}

Task<RedisReply> RedisNodes::evaluate_routed(const RedisScript& script,
                                             PoolVector<std::string_view> keys,
                                             PoolVector<std::string_view> arguments,
                                             uint64_t deadline_at_ns) {
  RedisRoute route = route_of_key(keys[0]);
  for (;;) {
    PoolVector<std::string_view> keys_copy = keys;
    PoolVector<std::string_view> arguments_copy = arguments;
    RedisReply reply =
        co_await of(route).evaluate(script, std::move(keys_copy), std::move(arguments_copy),
                                    deadline_at_ns, RedisLink::Copies::primary, asking(route));
    if (!may_redirect(reply)) co_return reply;
    bool const again = co_await redirected(reply, route, deadline_at_ns);
    if (!again) co_return reply;
  }
}

bool RedisNodes::send_ignoring_reply(PoolVector<std::string_view> words) {
  RedisLink& link = of_key(words[1]);
  return link.send_ignoring_reply(std::move(words));
}

// --- the slots -----------------------------------------------------------------------------------

Task<> RedisNodes::follow_map() {
  for (;;) {
    co_await read_map();
    OneShot<Signal> gap(world_.scheduler);
    co_await gap.wait(world_.scheduler.now_ns() + limits::cluster_map_gap_ns);
    uint64_t const period_ns =
        troubled() ? limits::cluster_map_troubled_ns : limits::cluster_map_ns;
    co_await map_wanted_.wait(world_.scheduler.now_ns() + period_ns);
  }
}

// Asks one node after the other until one that serves has replied. If none does, the map of the one that
// knows most is better than none.
Task<> RedisNodes::read_map() {
  uint64_t const deadline_at_ns = world_.scheduler.now_ns() + limits::cluster_map_wait_ns;
  std::string failures;
  std::optional<ClusterMap> best;
  for (const Address& at : nodes_to_ask()) {
    if (world_.scheduler.now_ns() >= deadline_at_ns) break;
    Result<ClusterMap> map = co_await ask(at, deadline_at_ns);
    if (!map) {
      silent_.insert(address_text(at));
      failures.append(failures.empty() ? "" : "; ")
          .append(address_text(at))
          .append(": ")
          .append(map.error().message);
      continue;
    }
    silent_.erase(address_text(at));
    bool const ok = map->ok;
    if (ok || !best || map->epoch > best->epoch) best = std::move(*map);
    if (ok) break;
  }
  std::string fault;
  if (!best) fault = "the slots of the cluster can't be read: " + failures;
  if (fault != map_fault_ && !best)
    log::warning("the slots of the redis cluster can't be read", {{"error", failures}});
  map_fault_ = std::move(fault);
  if (best) use_map(*best);
  on_link_changed();
}

Task<Result<ClusterMap>> RedisNodes::ask(Address at, uint64_t deadline_at_ns) {
  Result<std::vector<Address>> const addresses =
      co_await parts_->lookup().addresses(at, deadline_at_ns);
  if (!addresses) co_return addresses.error();
  Error error{"it has no address"};
  for (const Address& each : *addresses) {
    Commands question{{"CLUSTER", "INFO"}, {"CLUSTER", "SLOTS"}};
    Result<Replies> const replies = co_await calls_->ask(each, std::move(question), deadline_at_ns);
    ClusterMap map;
    if (!replies)
      error = replies.error();
    else if (!read_cluster_info((*replies)[0].text(), map))
      error = Error{"malformed reply to CLUSTER INFO"};
    else if (Result<void> read = read_cluster_slots((*replies)[1], at.host, map); !read)
      error = read.error();
    else if (map.ranges.empty())
      error = Error{"it knows no node that has slots"};
    else
      co_return std::move(map);
  }
  co_return error;
}

// Another one first each time, and those last that were silent; the nodes of the config after all others.
std::vector<Address> RedisNodes::nodes_to_ask() {
  std::vector<Address> all;
  for (const ClusterNode& node : map_.nodes()) all.push_back(address_of(node));
  if (!all.empty())
    std::rotate(all.begin(), all.begin() + questions_++ % static_cast<uint32_t>(all.size()),
                all.end());
  all.insert(all.end(), options_.servers.addresses.begin(), options_.servers.addresses.end());
  std::erase_if(silent_, [&](const std::string& text) {
    return std::none_of(all.begin(), all.end(),
                        [&](const Address& each) { return address_text(each) == text; });
  });
  std::stable_partition(all.begin(), all.end(), [this](const Address& each) {
    return !silent_.contains(address_text(each));
  });
  return all;
}

void RedisNodes::use_map(const ClusterMap& map) {
  std::fill(slots_.begin(), slots_.end(), absent_.get());
  for (const ClusterMap::Range& range : map.ranges) {
    Node* const node = node_at(range.primary);
    if (node == nullptr) continue;
    for (uint32_t slot = range.first; slot <= range.last; ++slot) slots_[slot] = &node->link;
  }
  count_slots();
  log_moves(map);
  map_ = map;
  uint64_t const now_ns = world_.scheduler.now_ns();
  for (auto& node : nodes_)
    if (node->slots == 0 && !node->link.idle() && now_ns >= node->kept_until_ns)
      node->link.leave_node();
}

// A replica that has the slots of its primary may lack the newest writes.
void RedisNodes::log_moves(const ClusterMap& map) {
  size_t moved = 0;
  for (size_t slot = 0; slot < slots_.size(); ++slot) {
    if (slots_[slot] == absent_.get()) continue;
    if (owners_[slot] != nullptr && owners_[slot] != slots_[slot]) ++moved;
    owners_[slot] = slots_[slot];
  }
  std::string promoted;
  for (const ClusterNode& primary : map.primaries())
    if (replicas_.erase(text_of(primary)) > 0)
      promoted.append(promoted.empty() ? "" : ", ").append(text_of(primary));
  if (replicas_.size() > limits::cluster_replicas_known_max) replicas_.clear();
  for (const ClusterMap::Range& range : map.ranges)
    for (const ClusterNode& replica : range.replicas) replicas_.insert(text_of(replica));
  if (promoted.empty() && moved > 0)
    log::notice("slots of the redis cluster have moved", {{"slots", moved}});
  if (promoted.empty()) return;
  world_.metrics.add(Counter::redis_lineage_changes);
  log::warning("a replica of the redis cluster has become a primary and may lack the newest awards",
               {{"server", promoted},
                {"slots", moved},
                {"hint", "huntctl reconcile names what is missing"}});
}

// The node at this address, with a link; null if there are too many.
RedisNodes::Node* RedisNodes::node_at(const ClusterNode& at) {
  Node* idle = nullptr;
  for (auto& node : nodes_) {
    if (!node->link.idle() && node->at == at) return node.get();
    if (node->link.rests() && idle == nullptr) idle = node.get();
  }
  if (idle == nullptr && nodes_.size() >= limits::cluster_nodes_max) {
    if (!std::exchange(too_many_logged_, true))
      log::error("the redis cluster has too many nodes",
                 {{"max", limits::cluster_nodes_max}, {"unused", text_of(at)}});
    return nullptr;
  }
  if (idle == nullptr) {
    NodeLinkUser& user = *this;
    idle = nodes_.emplace_back(std::make_unique<Node>(world_, options_, *parts_, user)).get();
    start(idle->link.run());
  }
  idle->at = at;
  idle->lost_slots = false;
  idle->link.use_node(address_of(at));
  return idle;
}

const RedisNodes::Node* RedisNodes::node_of(const RedisLink& link) const {
  for (const auto& node : nodes_)
    if (&node->link == &link) return node.get();
  return nullptr;
}

void RedisNodes::count_slots() {
  for (auto& node : nodes_) node->former_slots = std::exchange(node->slots, 0);
  uncovered_ = 0;
  const RedisLink* former = nullptr;
  Node* node = nullptr;
  for (RedisLink* const link : slots_) {
    if (link != former)
      for (auto& each : nodes_)
        if (&each->link == link) node = each.get();
    former = link;
    if (link == absent_.get())
      ++uncovered_;
    else
      ++node->slots;
  }
  for (auto& each : nodes_) {
    if (each->slots == 0) {
      each->lost_slots = each->lost_slots || each->former_slots > 0;
    } else if (std::exchange(each->lost_slots, false)) {
      // It may have been a replica in between, with another history: that is read before a commit.
      each->link.reconnect("the node has slots again");
    }
  }
}

std::string RedisNodes::probe_tag(const RedisLink& link, uint32_t number) {
  const Node* const node = node_of(link);
  if (node == nullptr || node->slots == 0) return "";
  uint32_t left = number % 4;
  for (uint32_t i = 0; i < limits::cluster_probe_tags_max; ++i) {
    std::string tag = std::string(keys::probe_tag) + "-" + std::to_string(i);
    if (slots_[cluster_slot_of(tag)] == &link && left-- == 0) return tag;
  }
  return "";
}

// --- how the nodes are ---------------------------------------------------------------------------

bool RedisNodes::troubled() const {
  if (!map_fault_.empty() || uncovered_ > 0) return true;
  return std::any_of(nodes_.begin(), nodes_.end(),
                     [](const auto& node) { return node->slots > 0 && !node->link.suitable(); });
}

void RedisNodes::on_link_changed() {
  uint32_t usable = 0;
  uint64_t lineages = 0;
  for (const auto& node : nodes_) {
    if (node->slots == 0) continue;
    if (node->link.suitable()) ++usable;
    lineages = lineages * 31 + node->link.lineage();
  }
  if (usable < usable_) map_wanted_.set({});
  usable_ = usable;
  lineages_ = lineages;
  ++changes_;
  watch_hunts();
  show();
  for (OneShot<Signal>* waiter : std::exchange(waiters_, {})) waiter->set({});
}

// Without the states of the hunts none is awarded, at no node. The copies that the core has count for
// limits::hunts_stale_ms.
void RedisNodes::watch_hunts() {
  uint64_t const now_ns = world_.scheduler.now_ns();
  bool const up = slots_[hunts_slot_]->up();
  if (hunts_up_ && !up) hunts_down_at_ns_ = now_ns;
  hunts_up_ = up;
  hunts_known_ = up || (hunts_down_at_ns_ != 0 &&
                        now_ns < hunts_down_at_ns_ + limits::hunts_stale_ms * ns_per_ms);
}

std::string RedisNodes::hunts_fault() const {
  const RedisLink& link = *slots_[hunts_slot_];
  if (link.up()) return "";
  const Node* const node = node_of(link);
  if (node == nullptr) return "no node has the slot of `hunts`";
  return "the node of `hunts`, " + text_of(node->at) + ", is down";
}

// In the metrics of the core, which have one Redis.
void RedisNodes::show() {
  uint32_t with_slots = 0;
  std::string addresses;
  std::string server;
  uint64_t used_bytes = 0;
  uint64_t max_bytes = 0;
  for (const auto& node : nodes_) {
    if (node->slots == 0) continue;
    ++with_slots;
    addresses.append(addresses.empty() ? "" : ", ").append(text_of(node->at));
    if (server.empty()) server = node->link.server();
    // The fullest one.
    uint64_t const node_max = node->link.memory_max_bytes();
    uint64_t const node_used = node->link.memory_used_bytes();
    bool const fuller = node_max > 0 && (max_bytes == 0 || node_used / (node_max / 100 + 1) >
                                                               used_bytes / (max_bytes / 100 + 1));
    if (fuller || (max_bytes == 0 && node_used > used_bytes)) {
      used_bytes = node_used;
      max_bytes = node_max;
    }
  }
  CoreMetrics& metrics = world_.metrics;
  metrics.set(Gauge::redis_nodes, with_slots);
  metrics.set(Gauge::redis_nodes_usable, usable_);
  metrics.set(Gauge::redis_up, usable_ > 0 && hunts_known_ ? 1 : 0);
  metrics.set(Gauge::redis_memory_used_bytes, used_bytes);
  metrics.set(Gauge::redis_memory_max_bytes, max_bytes);
  metrics.redis_address.set(addresses);
  metrics.redis_server.set(server);
  metrics.redis_reason.set(faults());
}

// What can't be used, and why; empty if all can.
std::string RedisNodes::faults() const {
  std::string text = map_fault_;
  if (!hunts_known_ && usable_ > 0)
    text.append(text.empty() ? "" : "; ").append(hunts_fault()).append(": no hunt can be awarded");
  for (const auto& node : nodes_) {
    if (node->slots == 0 || node->link.suitable()) continue;
    std::string_view reason = node->link.reason();
    std::string const address = text_of(node->at) + ": ";
    if (reason.starts_with(address)) reason.remove_prefix(address.size());
    text.append(text.empty() ? "" : "; ")
        .append(text_of(node->at))
        .append(" (")
        .append(std::to_string(node->slots))
        .append(" slots): ")
        .append(reason.empty() ? "not connected yet" : reason);
  }
  if (uncovered_ > 0 && map_fault_.empty())
    text.append(text.empty() ? "" : "; ")
        .append("no node has ")
        .append(std::to_string(uncovered_))
        .append(" slots");
  return text;
}

}  // namespace huntd::server
