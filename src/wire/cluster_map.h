// SPDX-License-Identifier: Apache-2.0
// Redis Cluster: which node has which hash slot, and what a node replies if it does not have a slot
// (redis.io, "Redis cluster specification"). Cores and the blocking client ask in their own ways
// (core/ledger/redis_nodes.h, drivers/redis_cluster.h).
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

inline constexpr uint32_t cluster_slots = 16'384;
// In place of the host of a node without a name, if the nodes prefer names.
inline constexpr std::string_view cluster_host_unknown = "?";

// The hash slot of a key: of its hash tag, if it has one that is not empty, else of all of it.
uint16_t cluster_slot_of(std::string_view key);

struct ClusterNode {
  std::string host;  // a name, or numeric: IPv6 without brackets
  uint16_t port = 0;

  bool operator==(const ClusterNode&) const = default;
};

// As one node of the cluster knows it.
struct ClusterMap {
  struct Range {
    uint16_t first = 0;
    uint16_t last = 0;  // inclusive
    ClusterNode primary;
    std::vector<ClusterNode> replicas;
  };
  std::vector<Range>
      ranges;       // by the first slot: before Redis 7 each node lists them in another order
  bool ok = false;  // cluster_state of that node: it serves
  uint64_t epoch =
      0;  // cluster_current_epoch of that node: the greater, the newer is what it knows

  // Each primary that has slots, once, in the order of its first slot.
  std::vector<ClusterNode> primaries() const;
  // All nodes, each once: first the primaries.
  std::vector<ClusterNode> nodes() const;
};

// Reads the text of CLUSTER INFO into `map`. Returns false if it has not the two fields.
bool read_cluster_info(std::string_view info, ClusterMap& map);

// The host of a node in the reply to CLUSTER SLOTS; empty: it says none. A node without an address is
// at `asked_host`. One with the host "?" has no host name although names are preferred: from Redis 7 on
// its address follows.
template <class Reply>
std::string listed_host(const Reply& listed, std::string_view asked_host) {
  std::string host(listed[0].text());
  if (host.empty()) return std::string(asked_host);
  if (host != cluster_host_unknown) return host;
  const Reply& more = listed[3];
  for (size_t i = 0; i + 1 < more.size(); i += 2)
    if (more[i].text() == "ip") return std::string(more[i + 1].text());
  return "";
}

// Reads the reply to CLUSTER SLOTS into `map`. `Reply` has text(), number(), size() and [], which never
// fail.
template <class Reply>
Result<void> read_cluster_slots(const Reply& reply, std::string_view asked_host, ClusterMap& map) {
  Error const malformed{"malformed reply to CLUSTER SLOTS"};
  for (size_t i = 0; i < reply.size(); ++i) {
    const Reply& entry = reply[i];
    int64_t const first = entry[0].number();
    int64_t const last = entry[1].number();
    if (entry.size() < 3 || first < 0 || last < first || last >= cluster_slots) return malformed;
    ClusterMap::Range range{static_cast<uint16_t>(first), static_cast<uint16_t>(last), {}, {}};
    for (size_t n = 2; n < entry.size(); ++n) {
      const Reply& listed = entry[n];
      int64_t const port = listed[1].number();
      if (port < 1 || port > 65'535) return malformed;
      std::string host = listed_host(listed, asked_host);
      if (host.empty())
        return Error{"a node at port " + std::to_string(port) +
                     " has no host name: set cluster-announce-hostname on each node"};
      ClusterNode node{std::move(host), static_cast<uint16_t>(port)};
      if (n == 2)
        range.primary = std::move(node);
      else
        range.replicas.push_back(std::move(node));
    }
    map.ranges.push_back(std::move(range));
  }
  std::sort(map.ranges.begin(), map.ranges.end(),
            [](const auto& left, const auto& right) { return left.first < right.first; });
  return {};
}

// To which node a command has to go that the asked one did not execute.
struct ClusterRedirect {
  enum class Kind : uint8_t {
    moved,  // another node has the slot
    ask,    // the slot moves, and the key is, or would be, at another node already
    again,  // the slot moves, and some keys of the command are at either node
  };
  Kind kind = Kind::moved;
  ClusterNode node;      // of moved and ask; without a host: that of the node that replied
  bool unknown = false;  // the node has no name, and its address is not given: the map may have it
};
// Reads an error reply; nothing if it is another error.
std::optional<ClusterRedirect> read_cluster_redirect(std::string_view error);

}  // namespace huntd
