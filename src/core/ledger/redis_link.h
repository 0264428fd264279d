// SPDX-License-Identifier: Apache-2.0
// One core's connection to Redis. The commands of a tick leave in one write; replies come back in
// the same order. hiredis parses the replies, and a Stream carries the bytes.
//
// Each write ends with a sequence marker: an ECHO of a number. Replies are delivered once the
// marker behind them has been echoed, so a reply that the server left out or added can't be taken
// for the reply to another command (decision 19).
//
// Each connection is checked: whether Redis lets huntd execute all of its commands, and whether its
// settings keep what a commit promises. Otherwise the link is up but not suitable: it can be read
// from, and commits are rejected (decision 27).
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "base/task.h"
#include "core/ledger/lookup.h"
#include "core/ledger/redis_reply.h"
#include "core/ledger/sentinels.h"
#include "environment/environment.h"
#include "environment/redis_access.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// A Lua script in Redis.
struct RedisScript {
  std::string text;
  std::string sha1;  // 40 hex digits, from SCRIPT LOAD; empty before the first connection
};

// What the links of one core share.
class LinkParts {
 public:
  LinkParts(Resolver& resolver, SecretFiles& secrets, Scheduler& scheduler);
  // Adds a script that each connection loads before any other command. The pointer stays valid.
  // REQUIRES: no link has connected yet.
  RedisScript* add_script(std::string text);
  Lookup& lookup() { return lookup_; }

 private:
  friend class RedisLink;
  std::deque<RedisScript> scripts_;
  RedisScript* probe_;
  Lookup lookup_;
};

class RedisLink;

// Whose link one is to a node of a cluster (core/ledger/redis_nodes.h).
class NodeLinkUser {
 public:
  // up(), suitable(), reason() or lineage() of a link may have changed.
  virtual void on_link_changed() = 0;
  // The hash tag of the keys of the self-test: the `number`-th one whose slot this node has. Empty: it
  // has no slot, and no self-test is made.
  virtual std::string probe_tag(const RedisLink& link, uint32_t number) = 0;

 protected:
  ~NodeLinkUser() = default;
};

class RedisLink final : private StreamUser, private ConnectUser {
 public:
  struct Options {
    RedisServers servers;
    RedisLogins logins;
    uint32_t database = 0;
    uint64_t linger_ns = 0;  // the least time between two writes
    uint32_t core = 0;       // names the keys of the self-test
    bool allow_eviction = false;
    uint32_t memory_max_percent = 100;  // of maxmemory; more: the link is not suitable
    bool holds_seed_secret = true;      // Redis has the secret of hunt.random()
    uint32_t wait_replicas = 0;         // that must have what Copies::replicas asks for
    uint32_t wait_ms = 0;               // how long Redis waits for them
  };
  struct World {
    Network& network;
    Resolver& resolver;
    SecretFiles& secrets;
    Scheduler& scheduler;
    Clock& clock;
    CoreMetrics& metrics;
  };
  RedisLink(const World& world, Options options);
  // The same for a node of a cluster. It connects to nothing before use_node(), and leaves it to `user`
  // to show how it is. `parts` and `user` outlive it.
  RedisLink(const World& world, Options options, LinkParts& parts, NodeLinkUser& user);
  ~RedisLink();

  // As of LinkParts. REQUIRES: run() was not called yet.
  RedisScript* add_script(std::string text) { return parts_.add_script(std::move(text)); }
  // Connects, and reconnects with back-off each time the connection ends. A name is looked up again
  // at each connect, and its addresses are tried in turn until the handshake with one succeeds
  // (decision 39). Never returns.
  Task<> run();

  // Is the link to this node from now on. REQUIRES: of a cluster, and idle().
  void use_node(Address node);
  // Ends the connection; use_node() may follow. REQUIRES: of a cluster.
  void leave_node();
  // Ends the connection, and makes another one to the same server.
  void reconnect(const char* reason) { drop(reason); }
  // Is the link to no node.
  bool idle() const { return options_.servers.addresses.empty() && !sentinels_; }
  // idle(), and use_node() is followed at once. A link that was left during a connect waits for its
  // end, which may take seconds, and is idle() only.
  bool rests() const { return idle() && resting_; }

  // Logs in so from the next connection on; the present one stays. If Redis rejects the password, the
  // file is read again, and what it has now is tried.
  void use(RedisLogins logins);

  // Connected, and the handshake is done.
  bool up() const { return up_; }
  // The connection ended a moment ago, and the first attempt to connect again has not ended.
  bool returning() const { return !up_ && scheduler_.now_ns() < returning_until_ns_; }
  // Up, and Redis passed the latest check: commits may be sent.
  bool suitable() const { return up_ && reason_.empty(); }
  // Why the link is not suitable; of a failed connect with each address that was tried. Empty if it
  // is suitable, and before the first connect has failed.
  std::string_view reason() const { return reason_; }
  // Whether Copies::replicas makes a difference.
  bool waits_for_replicas() const { return options_.wait_replicas > 0; }
  // A commit was rejected: checks Redis soon.
  void suspect();
  // Which server this is, in which history: a hash of INFO's run_id and master_replid. Another
  // lineage may lack what the former one has acknowledged. Known while the link is up; 0: INFO has
  // neither field.
  uint64_t lineage() const { return lineage_; }
  // Version, role and persistence of the server; empty before the first connection.
  const std::string& server() const { return server_; }
  // As of the latest check; maxmemory 0: no limit.
  uint64_t memory_used_bytes() const { return memory_used_bytes_; }
  uint64_t memory_max_bytes() const { return memory_max_bytes_; }
  // Counts the connections, from 1.
  uint64_t connections() const { return connections_; }

  // Waits until the link is up. Returns false if the deadline came first.
  Task<bool> until_up(uint64_t deadline_at_ns);
  // Waits until the link is suitable. Returns false if the deadline came first.
  Task<bool> until_suitable(uint64_t deadline_at_ns);
  // Whether the link is up; waits for it while it is returning().
  Task<bool> usable(uint64_t deadline_at_ns);

  // Who must have what a command has written, or read, before its reply counts: with
  // Copies::replicas so many as Options says, by WAIT behind the commands of a tick. If they do not
  // have it in time, the reply has few_copies().
  enum class Copies : uint8_t { primary, replicas };
  // Whether a node that does not have the slot yet is to execute the command (ASKING).
  enum class Asking : uint8_t { no, yes };

  // Queues one command and waits for its reply, at most until `deadline_at_ns`. After a lost reply
  // it is unknown whether the command was executed. If the link is down or full, the reply is lost
  // at once and the command was not sent. The words are copied when the task starts.
  Task<RedisReply> command(PoolVector<std::string_view> words, uint64_t deadline_at_ns,
                           Copies copies = Copies::primary, Asking asking = Asking::no);
  // The same for a command that may be executed twice: if the connection ends before the reply, the
  // command is sent again once the link is up.
  Task<RedisReply> retried(PoolVector<std::string_view> words, uint64_t deadline_at_ns);
  // The same as command() for a script, by EVALSHA. If Redis does not have the script (NOSCRIPT: it
  // was not executed), loads it and tries once more. Keys and arguments must live until this
  // returns.
  Task<RedisReply> evaluate(const RedisScript& script, PoolVector<std::string_view> keys,
                            PoolVector<std::string_view> arguments, uint64_t deadline_at_ns,
                            Copies copies = Copies::primary, Asking asking = Asking::no);
  // Queues a command without waiting for its reply. Returns false if the link is down or full.
  bool send_ignoring_reply(PoolVector<std::string_view> words);
  // A reply was malformed, so the connection can't be trusted: logs `command`, loses the replies
  // that are still due and reconnects.
  void fail_protocol(std::string_view command);

  // Sends the commands of this tick, and of earlier ticks within linger_ns.
  enum class Leave { when_due, now };
  void flush(Leave leave);
  size_t in_flight() const { return waiting_.size(); }

 private:
  void on_connected(Result<StreamPtr> stream) override;
  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;

  // Wakes the core when linger_ns has passed, so that it calls flush().
  struct Linger final : Deadline {
    void on_deadline() override {}
  };
  bool has_room(size_t commands) const;
  void append(std::span<const std::string_view> words, OneShot<RedisReply>* slot, Copies copies);
  void write(std::span<const std::string_view> words);
  void append_wait();
  void append_marker();
  void take_wait(const RedisReply& reply);
  bool take(RedisReply reply);
  void deliver(size_t count);
  void log_unavailable(uint64_t retry_in_ms);
  Task<bool> connect();
  Task<bool> connect_as_known();
  Task<bool> connect_to_each(std::vector<Address> servers, std::string prefix);
  Task<bool> connect_to_name(const Address& server, std::string& failures);
  Task<> follow_sentinels();
  Task<bool> connect_to(const Address& address);
  Task<> serve();
  Task<bool> handshake();
  Task<bool> load_scripts(uint64_t deadline_at_ns);
  // What a check executes: the self-test and INFO, or INFO alone.
  enum class Check { all, settings };
  Task<bool> check(Check what);
  Task<std::string> self_test(uint64_t deadline_at_ns);
  std::string read_settings(const RedisReply& info);
  void note_lineage(std::string_view info);
  void set_reason(std::string reason);
  void show();
  void clear_node();
  void wake_waiters();
  Task<bool> expect_ok(PoolVector<std::string_view> words, uint64_t deadline_at_ns);
  void drop(const char* reason);

  Network& network_;
  Scheduler& scheduler_;
  Clock& clock_;
  CoreMetrics& metrics_;
  Options options_;
  std::unique_ptr<LinkParts> own_parts_;  // null of a node of a cluster
  LinkParts& parts_;
  NodeLinkUser* user_ = nullptr;      // null without a cluster
  uint32_t probe_number_ = 0;         // of NodeLinkUser::probe_tag()
  OneShot<Signal> used_{scheduler_};  // use_node() was called
  uint64_t uses_ = 0;                 // calls of use_node() and leave_node()
  bool resting_ = false;              // run() waits for use_node()

  std::optional<Sentinels> sentinels_;
  Address server_address_;           // as configured or named: of the present or last connection
  bool no_majority_logged_ = false;  // of the sentinels
  std::string connected_to_;         // the address of the present or last connection
  OneShot<Signal> changed_{scheduler_};  // run() waits here for the connection to start or end
  StreamPtr stream_;
  bool connecting_ = false;
  bool connected_ = false;
  bool up_ = false;
  bool demoted_ = false;         // the server is a replica
  bool login_rejected_ = false;  // by the server that was tried last
  std::string last_error_;
  std::string logged_error_;
  uint64_t logged_at_ns_ = 0;
  uint64_t tries_unlogged_ = 0;  // since the last line that redis is unavailable
  std::string reason_;           // why the link is not suitable
  std::string server_;           // as in CoreMetrics::redis_server
  std::string logged_reason_;
  uint64_t lineage_ = 0;
  bool lineage_known_ = false;
  bool no_lineage_logged_ = false;
  uint64_t memory_used_bytes_ = 0;
  uint64_t memory_max_bytes_ = 0;
  uint64_t connections_ = 0;
  uint64_t returning_until_ns_ = 0;
  uint64_t checked_at_ns_ = 0;
  uint64_t next_check_at_ns_ = 0;
  bool suspected_ = false;
  redisReader* reader_ = nullptr;
  std::string out_;
  uint64_t sent_at_ns_ = 0;  // the last write
  Linger linger_;
  // Commands and markers without a reply, oldest first. Tickets count from first_ticket_.
  struct Waiting {
    OneShot<RedisReply>* slot;  // null if no coroutine waits for the reply
    uint64_t queued_at_ns;      // on the clock of Scheduler::ran_ns()
    enum class Kind : uint8_t { command, wait, marker } kind;
    Copies copies;     // of a command
    uint64_t marker;   // the number that it echoes
    RedisReply reply;  // kept until the next marker
  };
  PoolDeque<Waiting> waiting_;
  size_t replied_ = 0;  // the first of waiting_ that have their reply
  uint64_t last_marker_ = 0;
  bool wait_due_ = false;            // a command since the last write wants Copies::replicas
  bool waiting_for_copies_ = false;  // a WAIT has no reply yet
  uint64_t first_ticket_ = 0;
  std::vector<OneShot<Signal>*> waiters_;  // for a change of up() or suitable()
};

}  // namespace huntd::server
