// SPDX-License-Identifier: Apache-2.0
// The part of Redis that core/ledger uses, in memory: the commands as documented by redis.io, and
// the scripts, whose text runs in a LuaJIT state. tests/sim/test_redis_store.py compares it with a
// real redis-server.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

struct lua_State;

namespace huntd::server::sim {

// A reply of RESP2.
struct Reply {
  enum class Kind { status, error, number, text, nil, array };
  Kind kind = Kind::nil;
  int64_t number = 0;
  std::string text;
  std::vector<Reply> parts;

  static Reply ok() { return {Kind::status, 0, "OK", {}}; }
  static Reply error(std::string reason) { return {Kind::error, 0, std::move(reason), {}}; }
  static Reply of(int64_t value) { return {Kind::number, value, "", {}}; }
  static Reply of(std::string value) { return {Kind::text, 0, std::move(value), {}}; }
  static Reply array(std::vector<Reply> parts) { return {Kind::array, 0, "", std::move(parts)}; }
  std::string bytes() const;
};

using Words = std::vector<std::string>;

class RedisStore {
 public:
  // `clock_ms` is the server's wall clock.
  explicit RedisStore(std::function<int64_t()> clock_ms);
  ~RedisStore();
  RedisStore(const RedisStore&) = delete;
  RedisStore& operator=(const RedisStore&) = delete;

  Reply execute(const Words& words);
  // By a user whom the ACL forbids nothing.
  Reply execute_as_operator(const Words& words);
  // A restart, or SCRIPT FLUSH.
  void clear_scripts() { scripts_.clear(); }
  // The ACL forbids `command` (in upper case) from now on; empty: none. `in_scripts` is the error
  // of a script's command, which depends on the version of the server.
  void forbid(std::string command, std::string in_scripts);
  // maxmemory-policy, as INFO reports it.
  void set_policy(std::string policy) { policy_ = std::move(policy); }
  // used_memory, as INFO reports it, with a maxmemory of `max_bytes`. No command is rejected for
  // it.
  static constexpr uint64_t max_bytes = 1'000'000;
  void set_used(uint64_t bytes) { used_bytes_ = bytes; }
  // Which server this is, as INFO reports it: 40 hex digits each.
  void set_identity(std::string run_id, std::string replication_id);
  const std::string& run_id() const { return run_id_; }
  const std::string& replication_id() const { return replication_id_; }
  // It is a replica from now on: INFO says so, and every write is rejected.
  void demote() { replica_ = true; }
  bool replica() const { return replica_; }
  // In a script on a key that starts with `prefix`, the write after `allowed` more gets this error,
  // once. Empty: none.
  void reject_in_script(std::string prefix, uint64_t allowed, std::string error);
  // Whether the command writes. `command` is in upper case.
  static bool writes(std::string_view command);

  // The writes of one command or of one whole script, in order; called after it.
  std::function<void(const std::vector<Words>& writes)> on_writes;
  // Called with the fields of each entry that XRANGE returns.
  std::function<void(const Words& fields)> on_ranged;
  // Called before a key is gone that no command has removed: it has expired, or was lost.
  std::function<void(const std::string& key)> on_gone;

  using Hash = std::map<std::string, std::string>;
  using StreamId = std::pair<uint64_t, uint64_t>;
  struct Stream {
    std::map<StreamId, Words> entries;
    StreamId last{0, 0};
  };
  using SortedSet = std::map<std::string, double>;
  using Set = std::set<std::string>;
  struct Value {
    std::variant<std::string, Hash, Stream, SortedSet, Set> is;
    int64_t expires_at_ms = -1;
  };
  bool has_expired(const Value& value) const {
    return value.expires_at_ms >= 0 && value.expires_at_ms <= clock_ms_();
  }
  // All keys, including expired ones.
  const std::map<std::string, Value>& keys() const { return keys_; }
  // Makes this a replica of `other` at this moment.
  void copy_keys(const RedisStore& other) { keys_ = other.keys_; }
  // Loses one key: evicted, or deleted by hand.
  void lose_key(const std::string& key);
  void lose_all();

 private:
  struct Command {
    std::string_view name;
    size_t words_min;
    bool writes;
    Reply (RedisStore::*run)(const Words& words);
  };
  static const std::vector<Command>& commands();
  static const Command* find_command(std::string_view name);
  Reply run(const Words& words);
  Reply del(const Words& words);
  Reply echo(const Words& words);
  Reply evaluate(const Words& words);
  Reply get(const Words& words);
  Reply flushall(const Words& words);
  Reply hdel(const Words& words);
  Reply hexists(const Words& words);
  Reply hget(const Words& words);
  Reply hgetall(const Words& words);
  Reply hincrby(const Words& words);
  Reply hkeys(const Words& words);
  Reply hlen(const Words& words);
  Reply hmget(const Words& words);
  Reply hscan(const Words& words);
  Reply hset(const Words& words);
  Reply info(const Words& words);
  Reply hsetnx(const Words& words);
  Reply pexpire(const Words& words);
  Reply pttl(const Words& words);
  Reply sadd(const Words& words);
  Reply scard(const Words& words);
  Reply script(const Words& words);
  Reply set(const Words& words);
  Reply sismember(const Words& words);
  Reply smembers(const Words& words);
  Reply srem(const Words& words);
  Reply sscan(const Words& words);
  Reply time(const Words& words);
  Reply xadd(const Words& words);
  Reply xdel(const Words& words);
  Reply xlen(const Words& words);
  Reply xrange(const Words& words);
  Reply zadd(const Words& words);
  Reply zrangebyscore(const Words& words);
  Reply zrem(const Words& words);
  Reply zscore(const Words& words);
  static int call_from_lua(lua_State* lua);
  static int pcall_from_lua(lua_State* lua);
  static int acl_check_from_lua(lua_State* lua);
  Reply run_from_lua(lua_State* lua);
  void push(const Reply& reply);
  Reply take(int index);

  // Null if there is no such key. A key of another type sets wrong_type_: the command then has no
  // effect, and its reply is WRONGTYPE.
  template <class T>
  T* find(const std::string& key);
  template <class T>
  T& make(const std::string& key);

  std::function<int64_t()> clock_ms_;
  std::map<std::string, Value> keys_;
  std::map<std::string, std::string> scripts_;  // by name
  std::map<std::string, int> compiled_;         // by name: a reference of Lua's registry
  std::vector<Words> writes_;
  std::string forbidden_;
  std::string forbidden_in_scripts_;
  std::string policy_ = "noeviction";
  std::string run_id_ = std::string(40, '1');
  std::string replication_id_ = std::string(40, '2');
  bool replica_ = false;
  uint64_t used_bytes_ = 500'000;
  bool in_script_ = false;
  // As of reject_in_script().
  std::string rejected_prefix_;
  std::string rejection_;
  uint64_t allowed_ = 0;
  bool rejecting_ = false;  // in this script
  bool wrong_type_ = false;
  lua_State* lua_;
};

// The name that SCRIPT LOAD returns: 40 hex digits, as huntd requires. It is not the SHA-1, which
// only the server computes.
std::string script_name(std::string_view text);

}  // namespace huntd::server::sim
