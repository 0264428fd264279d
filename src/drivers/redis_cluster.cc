// SPDX-License-Identifier: Apache-2.0
#include "drivers/redis_cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "drivers/driver_limits.h"

namespace huntd {
namespace {

constexpr std::string_view error_prefix = "redis: ";

// A reply as read_cluster_slots() wants it.
struct ReplyView {
  const redisReply* reply;
  size_t size() const {
    return reply != nullptr && reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
  }
  ReplyView operator[](size_t i) const { return {i < size() ? reply->element[i] : nullptr}; }
  std::string_view text() const { return reply == nullptr ? std::string_view() : text_of(reply); }
  int64_t number() const {
    return reply != nullptr && reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
  }
};

std::string text_of(const ClusterNode& node) { return address_text({false, node.host, node.port}); }

std::vector<std::string_view> views_of(const std::vector<std::string>& words) {
  return {words.begin(), words.end()};
}

// The slots of the node that wrote the reply to CLUSTER NODES; those that move are in brackets.
std::string_view own_slots(std::string_view nodes) {
  size_t const myself = nodes.find("myself");
  if (myself == std::string_view::npos) return {};
  std::string_view const line = nodes.substr(myself);
  return line.substr(0, line.find('\n'));
}

}  // namespace

std::optional<ClusterRedirect> redirect_of(const Error& error) {
  std::string_view const text(error.message);
  if (!text.starts_with(error_prefix)) return std::nullopt;
  return read_cluster_redirect(text.substr(error_prefix.size()));
}

Result<void> RedisCluster::connect() {
  if (connected()) return {};
  return read_map();
}

void RedisCluster::close() {
  map_ = {};
  clients_.clear();
  pending_.clear();
}

Result<ClusterMap> RedisCluster::ask(RedisClient& client, std::string_view host) {
  if (Result<void> connected = client.connect(); !connected) return connected.error();
  Result<RedisReply> const info = client.execute({"CLUSTER", "INFO"});
  if (!info) return info.error();
  Result<RedisReply> const slots = client.execute({"CLUSTER", "SLOTS"});
  if (!slots) return slots.error();
  ClusterMap map;
  if (!read_cluster_info(huntd::text_of(info->get()), map))
    return Error{"redis: malformed reply to CLUSTER INFO"};
  if (Result<void> const read = read_cluster_slots(ReplyView{slots->get()}, host, map); !read)
    return Error{"redis: " + read.error().message};
  if (map.ranges.empty())
    return Error{"redis: it knows no node that has slots", ErrorKind::unreachable};
  return map;
}

Result<void> RedisCluster::read_map() {
  std::vector<std::string> addresses;
  for (const ClusterNode& node : map_.nodes()) addresses.push_back(text_of(node));
  addresses.insert(addresses.end(), config_.address.begin(), config_.address.end());
  std::erase_if(silent_, [&](const std::string& text) {
    return std::find(addresses.begin(), addresses.end(), text) == addresses.end();
  });
  // What has no time left in this question is asked first in the next one.
  if (std::all_of(addresses.begin(), addresses.end(),
                  [this](const std::string& each) { return silent_.contains(each); }))
    silent_.clear();
  int64_t const give_up_at_ms = monotonic_ms() + map_timeout_ms_;
  std::stable_partition(addresses.begin(), addresses.end(),
                        [this](const std::string& each) { return !silent_.contains(each); });
  std::optional<ClusterMap> best;
  std::string failures;
  ErrorKind kind = ErrorKind::unreachable;
  for (const std::string& text : addresses) {
    Result<Address> const address = parse_address(text);
    if (!address) continue;  // load_config() has checked those of the config
    if (monotonic_ms() >= give_up_at_ms) break;
    // Not one of clients_, whose replies may still be due.
    RedisClient client = client_at(text);
    Result<ClusterMap> map = ask(client, address->host);
    if (!map) {
      if (map.error().kind == ErrorKind::usage) return map.error();
      silent_.insert(text);
      kind = map.error().kind;
      failures += fmt::format("{}{}", failures.empty() ? "" : "; ", map.error().message);
      continue;
    }
    silent_.erase(text);
    bool const ok = map->ok;
    if (ok || !best || map->epoch > best->epoch) best = std::move(*map);
    if (ok) break;
  }
  if (!best) return Error{std::move(failures), kind};
  map_ = std::move(*best);
  return {};
}

RedisClient RedisCluster::client_at(const std::string& address) const {
  Config::Redis one = config_;
  one.cluster = false;
  one.address = {address};
  return RedisClient(std::move(one), node_timeout_ms_);
}

Result<void> RedisCluster::prepare(RedisClient& client) const {
  if (client.connected()) return {};
  if (Result<void> connected = client.connect(); !connected) return connected;
  for (const std::string& script : scripts_)
    if (Result<RedisReply> loaded = client.execute({"SCRIPT", "LOAD", script}); !loaded)
      return loaded.error();
  return {};
}

Result<RedisClient*> RedisCluster::client_of(const ClusterNode& node) {
  std::string const text = text_of(node);
  RedisClient& client = clients_.try_emplace(text, client_at(text)).first->second;
  if (Result<void> ready = prepare(client); !ready) return ready.error();
  return &client;
}

// Empty if the command has none.
std::string_view RedisCluster::key_of(const std::vector<std::string_view>& words) {
  if (words[0] == "EVALSHA") return words.size() > 3 && words[2] != "0" ? words[3] : "";
  for (std::string_view const without :
       {"SCAN", "TIME", "PING", "INFO", "SCRIPT", "CLIENT", "CLUSTER", "ECHO"})
    if (words[0] == without) return {};
  return words.size() > 1 ? words[1] : "";
}

Result<ClusterNode> RedisCluster::node_for(const std::vector<std::string_view>& words) const {
  std::string_view const key = key_of(words);
  if (key.empty()) return map_.ranges[0].primary;
  uint16_t const slot = cluster_slot_of(key);
  for (const ClusterMap::Range& range : map_.ranges)
    if (range.first <= slot && slot <= range.last) return range.primary;
  return Error{fmt::format("redis: no node of the cluster has slot {}", slot),
               ErrorKind::unreachable};
}

// REQUIRES: no reply is due. A node that is not connected gets it when it is, one that does not take it has
// to be connected to again.
void RedisCluster::add_script(std::string_view text) {
  if (std::find(scripts_.begin(), scripts_.end(), text) != scripts_.end()) return;
  scripts_.emplace_back(text);
  for (auto& [address, client] : clients_)
    if (client.connected() && !client.execute({"SCRIPT", "LOAD", text})) client.close();
}

void RedisCluster::append(const std::vector<std::string_view>& words) {
  if (!connected()) return;
  if (words[0] == "SCRIPT") add_script(words[2]);
  Pending pending;
  pending.words.assign(words.begin(), words.end());
  Result<ClusterNode> const node = node_for(words);
  Result<RedisClient*> const client = node ? client_of(*node) : Result<RedisClient*>(node.error());
  if (node) pending.node = *node;
  if (client)
    (*client)->append(words);
  else
    pending.failure = client.error();
  pending_.push_back(std::move(pending));
}

// After a lost connection the replies of the other nodes are of no use: which of them belongs to which
// command is known only as long as all are read.
Result<RedisReply> RedisCluster::fail(Error error) {
  close();
  return error;
}

Result<RedisReply> RedisCluster::read() {
  if (!connected()) return Error{"redis: not connected"};
  if (pending_.empty()) return Error{"redis: no command waits for a reply"};
  Pending const pending = std::move(pending_.front());
  pending_.pop_front();
  if (pending.failure) return fail(*pending.failure);
  RedisClient& client = clients_.at(text_of(pending.node));
  Result<RedisReply> reply = client.read();
  if (reply) return reply;
  if (!client.connected()) return fail(reply.error());
  return follow(pending, reply.error());
}

// The reply to a command that a node has rejected with `error`, from the node that has its slot.
Result<RedisReply> RedisCluster::follow(const Pending& pending, Error error) {
  int64_t const give_up_at_ms = monotonic_ms() + limits::cluster_again_max_ms;
  ClusterNode replied = pending.node;
  int redirects = 0;
  while (true) {
    std::optional<ClusterRedirect> const redirect = redirect_of(error);
    if (!redirect) return error;
    ClusterNode next = redirect->node;
    if (next.host.empty()) next.host = replied.host;
    if (redirect->kind == ClusterRedirect::Kind::again) {
      if (monotonic_ms() >= give_up_at_ms) return error;
      std::this_thread::sleep_for(std::chrono::milliseconds(limits::cluster_again_ms));
      redirects = 0;
      Result<ClusterNode> const owner = node_for(views_of(pending.words));
      if (!owner) return owner.error();
      next = *owner;
    } else if (++redirects > limits::cluster_redirects_max) {
      return error;
    }
    if (redirect->kind == ClusterRedirect::Kind::moved)
      if (Result<void> read = read_map(); !read) return fail(read.error());
    // On a connection of its own: on the other one replies may be due.
    RedisClient client = client_at(text_of(next));
    if (Result<void> ready = prepare(client); !ready) return fail(ready.error());
    if (redirect->kind == ClusterRedirect::Kind::ask)
      if (Result<RedisReply> asked = client.execute({"ASKING"}); !asked) return asked;
    Result<RedisReply> reply = client.execute(views_of(pending.words));
    if (reply) return reply;
    if (!client.connected()) return fail(reply.error());
    error = reply.error();
    replied = next;
  }
}

Result<RedisReply> RedisCluster::execute_at(const ClusterNode& node,
                                            const std::vector<std::string_view>& words) {
  Result<RedisClient*> client = client_of(node);
  if (!client) return fail(client.error());
  Result<RedisReply> reply = (*client)->execute(words);
  if (!reply && !(*client)->connected()) return fail(reply.error());
  return reply;
}

Result<std::string> RedisCluster::layout() {
  if (Result<void> read = read_map(); !read) return read.error();
  std::string all;
  for (const ClusterNode& node : map_.primaries()) {
    Result<RedisReply> const nodes = execute_at(node, {"CLUSTER", "NODES"});
    if (!nodes) return nodes.error();
    std::string_view const own = own_slots(huntd::text_of(nodes->get()));
    if (own.find('[') != std::string_view::npos)
      return Error{
          fmt::format("redis: a slot of {} moves to or from another node: run it again when "
                      "the resharding has ended",
                      text_of(node))};
  }
  for (const ClusterMap::Range& range : map_.ranges)
    all += fmt::format("{}-{} {}\n", range.first, range.last, text_of(range.primary));
  return all;
}

}  // namespace huntd
