// SPDX-License-Identifier: Apache-2.0
// A Redis Cluster for RedisClient: a connection to each primary that is needed, and the map of the
// slots (decision 68). Cores use core/ledger/redis_nodes.h.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/config.h"
#include "drivers/driver_limits.h"
#include "drivers/redis_client.h"
#include "wire/cluster_map.h"

namespace huntd {

// What a node says with an error about the slot of a command; nothing if it is another error.
std::optional<ClusterRedirect> redirect_of(const Error& error);

class RedisCluster {
 public:
  // `config.address` names some nodes. `node_timeout_ms`: for one node, as peer_timeout_ms() takes it;
  // `map_timeout_ms`: after so long no further node is asked for the slots.
  RedisCluster(Config::Redis config, uint32_t node_timeout_ms,
               int64_t map_timeout_ms = limits::cluster_map_timeout_ms)
      : config_(std::move(config)),
        node_timeout_ms_(node_timeout_ms),
        map_timeout_ms_(map_timeout_ms) {}

  // Reads the slots from the first node that serves; does nothing if they are known.
  Result<void> connect();
  bool connected() const { return !map_.ranges.empty(); }
  void close();

  // As of RedisClient. The key of a command is its second word, of EVALSHA its fourth. It goes to the node
  // that has the slot, also if another node says so (MOVED, ASK); while a slot moves it is sent again for
  // limits::cluster_again_max_ms. A command without a key goes to any primary; SCRIPT LOAD to all, and no
  // reply may be due then.
  void append(const std::vector<std::string_view>& words);
  Result<RedisReply> read();

  // The primaries that have slots, and a command at one of them.
  std::vector<ClusterNode> primaries() const { return map_.primaries(); }
  Result<RedisReply> execute_at(const ClusterNode& node,
                                const std::vector<std::string_view>& words);
  // Reads the slots again; the text is another one if a slot has moved. An error if one moves now.
  Result<std::string> layout();
  const ClusterMap& map() const { return map_; }
  // Reads the slots again. After an error the former map stays.
  Result<void> read_map();

 private:
  struct Pending {
    ClusterNode node;
    std::vector<std::string> words;
    std::optional<Error> failure;  // the command was not sent
  };
  static std::string_view key_of(const std::vector<std::string_view>& words);
  Result<ClusterNode> node_for(const std::vector<std::string_view>& words) const;
  RedisClient client_at(const std::string& address) const;
  // Connects, and loads all scripts.
  Result<void> prepare(RedisClient& client) const;
  void add_script(std::string_view text);
  Result<RedisClient*> client_of(const ClusterNode& node);
  Result<ClusterMap> ask(RedisClient& client, std::string_view host);
  Result<RedisReply> follow(const Pending& pending, Error error);
  Result<RedisReply> fail(Error error);

  Config::Redis config_;
  uint32_t node_timeout_ms_;
  int64_t map_timeout_ms_;
  ClusterMap map_;
  std::map<std::string, RedisClient> clients_;  // by "host:port"
  std::set<std::string> silent_;                // addresses that did not reply to the last question
  std::vector<std::string> scripts_;
  std::deque<Pending> pending_;
};

}  // namespace huntd
