// What the scripts of award/scripts.h need of Redis, in memory: the commands, executed as
// redis.io documents them, and the scripts themselves, whose real text runs in a LuaJIT state.
// tests/sim/test_redis_store.py holds it against a real redis-server.
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

namespace huntd::sim {

// A reply of RESP2.
struct Reply {
  enum class Kind { status, error, number, text, nil, array };
  Kind kind = Kind::nil;
  int64_t number = 0;
  std::string text;
  std::vector<Reply> parts;

  static Reply ok() { return {Kind::status, 0, "OK", {}}; }
  static Reply error(std::string why) { return {Kind::error, 0, std::move(why), {}}; }
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
  // A restart, or SCRIPT FLUSH by somebody.
  void forget_scripts() { scripts_.clear(); }
  static bool writes(std::string_view command);

  // The writes of one command or of one whole script, in order; called after it.
  std::function<void(const std::vector<Words>& writes)> on_writes;
  // An entry that XRANGE tells of, as its fields.
  std::function<void(const Words& fields)> on_ranged;

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
  // All keys, those past their time included.
  const std::map<std::string, Value>& keys() const { return keys_; }
  // Another moment's keys: for a server that lost the writes since.
  void replace_keys(std::map<std::string, Value> keys) { keys_ = std::move(keys); }

 private:
  Reply run(const Words& words);
  Reply evaluate(const Words& words);
  static int call_from_lua(lua_State* lua);
  void push(const Reply& reply);
  Reply take(int index);

  Reply get(const Words& words);
  Reply set(const Words& words);
  Reply xadd(const Words& words);
  Reply xrange(const Words& words);
  Reply range_by_score(const Words& words);
  template <class T>
  T* find(const std::string& key);
  template <class T>
  T& make(const std::string& key);

  std::function<int64_t()> clock_ms_;
  std::map<std::string, Value> keys_;
  std::map<std::string, std::string> scripts_;  // by name
  std::map<std::string, int> compiled_;         // by name: a reference of Lua's registry
  std::vector<Words> writes_;
  lua_State* lua_;
};

// The name that SCRIPT LOAD gives: 40 hex digits, as huntd wants them. It is not the SHA-1; nobody
// computes it but the server.
std::string script_name(std::string_view text);

}  // namespace huntd::sim
