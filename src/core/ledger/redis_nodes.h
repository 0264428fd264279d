// SPDX-License-Identifier: Apache-2.0
// Redis as one core has it: one server, or the primaries of a Redis Cluster with a link to each
// (decision 68). Each key is in one hash slot, and each slot at one node at a time.
//
// Without a cluster every function is that of the one link.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/ledger/redis_link.h"
#include "core/ledger/server_call.h"
#include "wire/cluster_map.h"

namespace huntd::server {

// The way of one command to the node that executes it.
struct RedisRoute {
  uint16_t slot = 0;           // 0 without a cluster
  RedisLink* asked = nullptr;  // that it is sent to by ASK; else the node that has the slot
  int redirects = 0;           // MOVED and ASK in a row
  uint32_t pauses = 0;         // TRYAGAIN, until the pause is the longest
};

class RedisNodes final : private NodeLinkUser {
 public:
  RedisNodes(const RedisLink::World& world, RedisLink::Options options);

  // As of LinkParts. REQUIRES: run() was not called yet.
  RedisScript* add_script(std::string text);
  // Connects to all nodes, and follows the slots. Never returns.
  Task<> run();
  // As of RedisLink, for all nodes.
  void use(RedisLogins logins);
  void flush(RedisLink::Leave leave);
  size_t in_flight() const;
  // Whether at least one node that has slots is.
  bool up() const;
  bool suitable() const;
  // Says that the node that has `hunts` is down; empty if it is up. REQUIRES: is_cluster().
  std::string hunts_fault() const;
  Task<bool> until_suitable(uint64_t deadline_at_ns);
  // As of RedisLink. Of a cluster: another value if it is another one of any node that has slots.
  uint64_t lineage() const { return single_ ? single_->lineage() : lineages_; }
  // Another value if that of any link, or the node of any slot, may have become another one.
  uint64_t changes() const { return single_ ? single_->lineage() : changes_; }
  // Another value after each connect.
  uint64_t connections() const;
  bool is_cluster() const { return !single_; }
  bool waits_for_replicas() const { return options_.wait_replicas > 0; }

  RedisRoute route_of_hunter(std::string_view hunter_id) const;
  RedisRoute route_of_key(std::string_view key) const;
  // The link to the node that has the slot; one that is never up if there is no such node. The link
  // stays valid, but may be to another node later.
  RedisLink& of(const RedisRoute& route) {
    if (single_) return *single_;
    return route.asked != nullptr ? *route.asked : *slots_[route.slot];
  }
  RedisLink& of_hunter(std::string_view hunter_id) { return of(route_of_hunter(hunter_id)); }
  RedisLink& of_key(std::string_view key) { return of(route_of_key(key)); }
  RedisLink& of_bucket(uint32_t bucket);
  static RedisLink::Asking asking(const RedisRoute& route) {
    return route.asked != nullptr ? RedisLink::Asking::yes : RedisLink::Asking::no;
  }
  // Waits until the link is up, whichever it is then. Returns false if the deadline came first.
  Task<bool> until_up(RedisRoute& route, uint64_t deadline_at_ns);

  // Whether the reply may say that a command has to go to another node.
  bool may_redirect(const RedisReply& reply) const { return !single_ && reply.is_error(); }
  // Returns true if the command was not executed and has to be sent again by the route as it is then,
  // and waits until that may help. REQUIRES: may_redirect().
  Task<bool> redirected(const RedisReply& reply, RedisRoute& route, uint64_t deadline_at_ns);

  // As of RedisLink, at the node that has the second word, or the first key. A command that a node does
  // not have the slot for is sent again to the node that has it.
  Task<RedisReply> command(PoolVector<std::string_view> words, uint64_t deadline_at_ns,
                           RedisLink::Copies copies = RedisLink::Copies::primary);
  Task<RedisReply> retried(PoolVector<std::string_view> words, uint64_t deadline_at_ns);
  Task<RedisReply> evaluate(const RedisScript& script, PoolVector<std::string_view> keys,
                            PoolVector<std::string_view> arguments, uint64_t deadline_at_ns);
  bool send_ignoring_reply(PoolVector<std::string_view> words);

 private:
  struct Node {
    ClusterNode at;
    RedisLink link;
    uint32_t slots = 0;
    uint32_t former_slots = 0;   // before the latest count
    bool lost_slots = false;     // had some, and has none since then
    uint64_t kept_until_ns = 0;  // also without slots
    Node(const RedisLink::World& world, const RedisLink::Options& options, LinkParts& parts,
         NodeLinkUser& user)
        : link(world, options, parts, user) {}
  };
  void on_link_changed() override;
  std::string probe_tag(const RedisLink& link, uint32_t number) override;

  Task<RedisReply> routed(PoolVector<std::string_view> words, uint64_t deadline_at_ns,
                          RedisLink::Copies copies);
  Task<RedisReply> routed_again(PoolVector<std::string_view> words, uint64_t deadline_at_ns);
  Task<RedisReply> evaluate_routed(const RedisScript& script, PoolVector<std::string_view> keys,
                                   PoolVector<std::string_view> arguments, uint64_t deadline_at_ns);
  Task<bool> until_up_in_cluster(RedisRoute& route, uint64_t deadline_at_ns);
  Task<bool> wait_for_slot(RedisRoute& route, uint64_t deadline_at_ns);
  Task<bool> until_suitable_in_cluster(uint64_t deadline_at_ns);
  Task<> wait_for_change(uint64_t deadline_at_ns);

  Task<> follow_map();
  Task<> read_map();
  Task<Result<ClusterMap>> ask(Address at, uint64_t deadline_at_ns);
  std::vector<Address> nodes_to_ask();
  void use_map(const ClusterMap& map);
  void log_moves(const ClusterMap& map);
  Node* node_at(const ClusterNode& at);
  const Node* node_of(const RedisLink& link) const;
  void count_slots();
  bool troubled() const;
  void watch_hunts();
  void show();
  std::string faults() const;

  RedisLink::World world_;
  RedisLink::Options options_;
  std::unique_ptr<RedisLink> single_;  // without a cluster, and then nothing below is used
  std::unique_ptr<LinkParts> parts_;
  std::optional<Lookup> lookup_;
  std::optional<ServerCalls> calls_;
  std::unique_ptr<RedisLink> absent_;        // never up: of a slot that no node has
  std::deque<std::unique_ptr<Node>> nodes_;  // in use and idle ones
  std::vector<RedisLink*> slots_;
  std::vector<uint16_t> slot_of_bucket_;
  ClusterMap map_;
  std::string map_fault_;         // why the map can't be read; empty: it was
  std::set<std::string> silent_;  // nodes that did not reply to the last question
  uint32_t questions_ = 0;
  uint32_t uncovered_ = 0;  // slots that no node has
  uint32_t usable_ = 0;     // nodes with slots that are suitable
  uint64_t lineages_ = 0;
  uint64_t changes_ = 0;
  uint16_t hunts_slot_ = 0;
  bool hunts_up_ = false;          // its node
  bool hunts_known_ = false;       // by this connection to it, or by a copy that still counts
  uint64_t hunts_down_at_ns_ = 0;  // if it is not up; 0: it never was
  bool too_many_logged_ = false;
  OneShot<Signal> map_wanted_;
  PoolVector<OneShot<Signal>*> waiters_;  // for a change of any link, or of the map
  std::vector<RedisLink*> owners_;  // of each slot, at the latest map that had one; null: none had
  std::set<std::string> replicas_;  // nodes that were replicas when they were last in a map
};

}  // namespace huntd::server
