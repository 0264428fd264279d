// SPDX-License-Identifier: Apache-2.0
#include "redis_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <lua.hpp>
#include <optional>

#include "base/check.h"
#include "base/hash.h"

namespace huntd::server::sim {
namespace {

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
  return text;
}

std::string id_text(RedisStore::StreamId id) { return fmt::format("{}-{}", id.first, id.second); }

// "-", "+", "MS" or "MS-SEQ".
RedisStore::StreamId read_id(const std::string& text, uint64_t missing_seq) {
  if (text == "-") return {0, 0};
  if (text == "+") return {UINT64_MAX, UINT64_MAX};
  char* end = nullptr;
  uint64_t const first = std::strtoull(text.c_str(), &end, 10);
  return {first, *end == '-' ? std::strtoull(end + 1, nullptr, 10) : missing_seq};
}

double read_score(const std::string& text) {
  if (text == "-inf") return -HUGE_VAL;
  if (text == "+inf") return HUGE_VAL;
  return std::strtod(text.c_str(), nullptr);
}

std::optional<int64_t> read_integer(const std::string& text) {
  char* end = nullptr;
  int64_t const value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0') return std::nullopt;
  return value;
}

std::optional<int64_t> add(int64_t a, int64_t b) {
  int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

Reply wrong_arguments() { return Reply::error("ERR wrong number of arguments or syntax"); }

}  // namespace

std::string script_name(std::string_view text) {
  return std::string(hash128_hex(text)) + "00000000";
}

std::string Reply::bytes() const {
  switch (kind) {
    case Kind::status:
      return "+" + text + "\r\n";
    case Kind::error:
      return "-" + text + "\r\n";
    case Kind::number:
      return fmt::format(":{}\r\n", number);
    case Kind::text:
      return fmt::format("${}\r\n{}\r\n", text.size(), text);
    case Kind::nil:
      return "$-1\r\n";
    case Kind::array:
      break;
  }
  std::string all = fmt::format("*{}\r\n", parts.size());
  for (const Reply& part : parts) all += part.bytes();
  return all;
}

RedisStore::RedisStore(std::function<int64_t()> clock_ms)
    : clock_ms_(std::move(clock_ms)), lua_(luaL_newstate()) {
  CHECK(lua_ != nullptr);
  luaL_openlibs(lua_);
  lua_newtable(lua_);
  lua_pushlightuserdata(lua_, this);
  lua_pushcclosure(lua_, &RedisStore::call_from_lua, 1);
  lua_setfield(lua_, -2, "call");
  lua_pushlightuserdata(lua_, this);
  lua_pushcclosure(lua_, &RedisStore::pcall_from_lua, 1);
  lua_setfield(lua_, -2, "pcall");
  lua_pushlightuserdata(lua_, this);
  lua_pushcclosure(lua_, &RedisStore::acl_check_from_lua, 1);
  lua_setfield(lua_, -2, "acl_check_cmd");
  lua_setglobal(lua_, "redis");
}

RedisStore::~RedisStore() { lua_close(lua_); }

Reply RedisStore::execute(const Words& words) {
  writes_.clear();
  Reply reply = run(words);
  if (!writes_.empty() && on_writes) on_writes(writes_);
  return reply;
}

Reply RedisStore::execute_as_operator(const Words& words) {
  std::string forbidden = std::exchange(forbidden_, "");
  Reply reply = execute(words);
  forbidden_ = std::move(forbidden);
  return reply;
}

template <class T>
T* RedisStore::find(const std::string& key) {
  auto found = keys_.find(key);
  if (found == keys_.end()) return nullptr;
  if (has_expired(found->second)) {
    lose_key(key);
    return nullptr;
  }
  T* value = std::get_if<T>(&found->second.is);
  wrong_type_ = wrong_type_ || value == nullptr;
  return value;
}

template <class T>
T& RedisStore::make(const std::string& key) {
  if (T* value = find<T>(key)) return *value;
  if (wrong_type_) {
    static T unused;
    unused = T();
    return unused;
  }
  keys_[key] = {T(), -1};
  return std::get<T>(keys_[key].is);
}

void RedisStore::lose_key(const std::string& key) {
  if (on_gone) on_gone(key);
  keys_.erase(key);
}

void RedisStore::lose_all() {
  while (!keys_.empty()) lose_key(std::string(keys_.begin()->first));
}

void RedisStore::set_identity(std::string run_id, std::string replication_id) {
  run_id_ = std::move(run_id);
  replication_id_ = std::move(replication_id);
}

void RedisStore::reject_in_script(std::string prefix, uint64_t allowed, std::string error) {
  rejected_prefix_ = std::move(prefix);
  allowed_ = allowed;
  rejection_ = std::move(error);
}

// --- commands ------------------------------------------------------------------------------------

const std::vector<RedisStore::Command>& RedisStore::commands() {
  static const std::vector<Command> table = {
      {"DEL", 2, true, &RedisStore::del},
      {"ECHO", 2, false, &RedisStore::echo},
      {"EVALSHA", 3, true, &RedisStore::evaluate},
      {"FLUSHALL", 1, true, &RedisStore::flushall},
      {"GET", 2, false, &RedisStore::get},
      {"HDEL", 3, true, &RedisStore::hdel},
      {"HEXISTS", 3, false, &RedisStore::hexists},
      {"HGET", 3, false, &RedisStore::hget},
      {"HGETALL", 2, false, &RedisStore::hgetall},
      {"HINCRBY", 4, true, &RedisStore::hincrby},
      {"HKEYS", 2, false, &RedisStore::hkeys},
      {"HLEN", 2, false, &RedisStore::hlen},
      {"HMGET", 3, false, &RedisStore::hmget},
      {"HSCAN", 3, false, &RedisStore::hscan},
      {"HSET", 4, true, &RedisStore::hset},
      {"INFO", 1, false, &RedisStore::info},
      {"HSETNX", 4, true, &RedisStore::hsetnx},
      {"PEXPIRE", 3, true, &RedisStore::pexpire},
      {"PTTL", 2, false, &RedisStore::pttl},
      {"SADD", 3, true, &RedisStore::sadd},
      {"SCARD", 2, false, &RedisStore::scard},
      {"SCRIPT", 2, false, &RedisStore::script},
      {"SET", 3, true, &RedisStore::set},
      {"SISMEMBER", 3, false, &RedisStore::sismember},
      {"SMEMBERS", 2, false, &RedisStore::smembers},
      {"SREM", 3, true, &RedisStore::srem},
      {"SSCAN", 3, false, &RedisStore::sscan},
      {"TIME", 1, false, &RedisStore::time},
      {"XADD", 5, true, &RedisStore::xadd},
      {"XDEL", 3, true, &RedisStore::xdel},
      {"XLEN", 2, false, &RedisStore::xlen},
      {"XRANGE", 6, false, &RedisStore::xrange},
      {"ZADD", 4, true, &RedisStore::zadd},
      {"ZRANGEBYSCORE", 7, false, &RedisStore::zrangebyscore},
      {"ZREM", 3, true, &RedisStore::zrem},
      {"ZSCORE", 3, false, &RedisStore::zscore},
  };
  return table;
}

const RedisStore::Command* RedisStore::find_command(std::string_view name) {
  for (const Command& command : commands())
    if (command.name == name) return &command;
  return nullptr;
}

bool RedisStore::writes(std::string_view command) {
  const Command* const found = find_command(command);
  return found != nullptr && found->writes;
}

Reply RedisStore::run(const Words& words) {
  if (words.empty()) return wrong_arguments();
  const Command* const command = find_command(upper(words[0]));
  if (command == nullptr) return Reply::error("ERR unknown command '" + words[0] + "'");
  if (words.size() < command->words_min) return wrong_arguments();
  if (command->name == forbidden_)
    return Reply::error(in_script_ ? forbidden_in_scripts_
                                   : "NOPERM User default has no permissions to run the '" +
                                         words[0] + "' command");
  if (in_script_ && rejecting_ && command->writes && allowed_-- == 0) {
    rejected_prefix_.clear();
    rejecting_ = false;
    return Reply::error(rejection_);
  }
  size_t const writes_before = writes_.size();
  if (command->writes && command->name != "EVALSHA") writes_.push_back(words);
  wrong_type_ = false;
  Reply reply = (this->*command->run)(words);
  if (wrong_type_)
    reply = Reply::error("WRONGTYPE Operation against a key holding the wrong kind of value");
  wrong_type_ = false;
  if (reply.kind == Reply::Kind::error && command->name != "EVALSHA") writes_.resize(writes_before);
  return reply;
}

void RedisStore::forbid(std::string command, std::string in_scripts) {
  forbidden_ = std::move(command);
  forbidden_in_scripts_ = std::move(in_scripts);
}

Reply RedisStore::info(const Words&) {
  return Reply::of(fmt::format(
      "# Server\r\nredis_version:7.0.15\r\nrun_id:{}\r\n# Memory\r\nused_memory:{}\r\n"
      "maxmemory:{}\r\nmaxmemory_policy:{}\r\n# Persistence\r\naof_enabled:1\r\n"
      "# Replication\r\nrole:{}\r\nmaster_replid:{}\r\n",
      run_id_, used_bytes_, max_bytes, policy_,
      replica_ ? "slave\r\nmaster_host:redis\r\nmaster_port:6379" : "master", replication_id_));
}

Reply RedisStore::del(const Words& words) {
  int64_t removed = 0;
  for (size_t i = 1; i < words.size(); ++i) {
    find<std::string>(words[i]);  // expires it
    removed += static_cast<int64_t>(keys_.erase(words[i]));
  }
  wrong_type_ = false;
  return Reply::of(removed);
}

Reply RedisStore::flushall(const Words&) {
  keys_.clear();
  return Reply::ok();
}

Reply RedisStore::script(const Words& words) {
  if (upper(words[1]) == "FLUSH") {
    clear_scripts();
    return Reply::ok();
  }
  if (upper(words[1]) != "LOAD" || words.size() != 3) return wrong_arguments();
  std::string const name = script_name(words[2]);
  scripts_[name] = words[2];
  return Reply::of(name);
}

Reply RedisStore::time(const Words&) {
  int64_t const now_ms = clock_ms_();
  return Reply::array({Reply::of(fmt::format("{}", now_ms / 1000)),
                       Reply::of(fmt::format("{}", now_ms % 1000 * 1000))});
}

Reply RedisStore::echo(const Words& words) { return Reply::of(words[1]); }

Reply RedisStore::pttl(const Words& words) {
  auto const found = keys_.find(words[1]);
  if (found == keys_.end()) return Reply::of(int64_t{-2});
  int64_t const at_ms = found->second.expires_at_ms;
  if (at_ms < 0) return Reply::of(int64_t{-1});
  return Reply::of(at_ms > clock_ms_() ? at_ms - clock_ms_() : int64_t{-2});
}

Reply RedisStore::pexpire(const Words& words) {
  auto const found = keys_.find(words[1]);
  if (found == keys_.end() || has_expired(found->second)) return Reply::of(int64_t{0});
  int64_t const ttl_ms = read_integer(words[2]).value_or(0);
  if (ttl_ms <= 0)
    keys_.erase(found);
  else
    found->second.expires_at_ms = clock_ms_() + ttl_ms;
  return Reply::of(int64_t{1});
}

Reply RedisStore::hget(const Words& words) {
  Hash* hash = find<Hash>(words[1]);
  auto const field = hash == nullptr ? Hash::iterator() : hash->find(words[2]);
  return hash == nullptr || field == hash->end() ? Reply() : Reply::of(field->second);
}

Reply RedisStore::hgetall(const Words& words) {
  std::vector<Reply> all;
  if (Hash* hash = find<Hash>(words[1]))
    for (const auto& [field, value] : *hash) {
      all.push_back(Reply::of(field));
      all.push_back(Reply::of(value));
    }
  return Reply::array(std::move(all));
}

Reply RedisStore::hkeys(const Words& words) {
  std::vector<Reply> all;
  if (Hash* hash = find<Hash>(words[1]))
    for (const auto& [field, value] : *hash) all.push_back(Reply::of(field));
  return Reply::array(std::move(all));
}

Reply RedisStore::hlen(const Words& words) {
  Hash* hash = find<Hash>(words[1]);
  return Reply::of(hash == nullptr ? int64_t{0} : static_cast<int64_t>(hash->size()));
}

Reply RedisStore::hexists(const Words& words) {
  Hash* hash = find<Hash>(words[1]);
  return Reply::of(int64_t{hash != nullptr && hash->count(words[2]) > 0 ? 1 : 0});
}

Reply RedisStore::hmget(const Words& words) {
  Hash* hash = find<Hash>(words[1]);
  std::vector<Reply> values;
  for (size_t i = 2; i < words.size(); ++i) {
    bool const has = hash != nullptr && hash->count(words[i]) > 0;
    values.push_back(has ? Reply::of(hash->at(words[i])) : Reply());
  }
  return Reply::array(std::move(values));
}

// All fields at once, as Redis does for a hash that is small, or with a COUNT that is large.
Reply RedisStore::hscan(const Words& words) {
  if (words[2] != "0") return Reply::error("ERR invalid cursor");
  Reply all = hgetall(words);
  return Reply::array({Reply::of(std::string("0")), std::move(all)});
}

Reply RedisStore::hset(const Words& words) {
  int64_t added = 0;
  for (size_t i = 2; i + 1 < words.size(); i += 2)
    added += make<Hash>(words[1]).insert_or_assign(words[i], words[i + 1]).second ? 1 : 0;
  return Reply::of(added);
}

Reply RedisStore::hsetnx(const Words& words) {
  bool const added = make<Hash>(words[1]).emplace(words[2], words[3]).second;
  return Reply::of(int64_t{added ? 1 : 0});
}

Reply RedisStore::hincrby(const Words& words) {
  Hash& hash = make<Hash>(words[1]);
  auto const field = hash.find(words[2]);
  std::optional<int64_t> const before = read_integer(field == hash.end() ? "0" : field->second);
  if (!before) return Reply::error("ERR hash value is not an integer");
  std::optional<int64_t> const sum = add(*before, read_integer(words[3]).value_or(0));
  if (!sum) return Reply::error("ERR increment or decrement would overflow");
  hash[words[2]] = fmt::format("{}", *sum);
  return Reply::of(*sum);
}

Reply RedisStore::hdel(const Words& words) {
  Hash* hash = find<Hash>(words[1]);
  int64_t removed = 0;
  for (size_t i = 2; hash != nullptr && i < words.size(); ++i)
    removed += static_cast<int64_t>(hash->erase(words[i]));
  if (hash != nullptr && hash->empty()) keys_.erase(words[1]);
  return Reply::of(removed);
}

Reply RedisStore::xlen(const Words& words) {
  Stream* stream = find<Stream>(words[1]);
  return Reply::of(stream == nullptr ? int64_t{0} : static_cast<int64_t>(stream->entries.size()));
}

Reply RedisStore::xdel(const Words& words) {
  int64_t removed = 0;
  Stream* stream = find<Stream>(words[1]);
  for (size_t i = 2; stream != nullptr && i < words.size(); ++i)
    removed += static_cast<int64_t>(stream->entries.erase(read_id(words[i], 0)));
  return Reply::of(removed);
}

Reply RedisStore::sadd(const Words& words) {
  int64_t added = 0;
  for (size_t i = 2; i < words.size(); ++i)
    added += make<Set>(words[1]).insert(words[i]).second ? 1 : 0;
  return Reply::of(added);
}

Reply RedisStore::scard(const Words& words) {
  Set* set = find<Set>(words[1]);
  return Reply::of(set == nullptr ? int64_t{0} : static_cast<int64_t>(set->size()));
}

Reply RedisStore::sismember(const Words& words) {
  Set* set = find<Set>(words[1]);
  return Reply::of(int64_t{set != nullptr && set->count(words[2]) > 0 ? 1 : 0});
}

Reply RedisStore::srem(const Words& words) {
  Set* set = find<Set>(words[1]);
  int64_t removed = 0;
  for (size_t i = 2; set != nullptr && i < words.size(); ++i)
    removed += static_cast<int64_t>(set->erase(words[i]));
  if (set != nullptr && set->empty()) keys_.erase(words[1]);
  return Reply::of(removed);
}

// As of HSCAN.
Reply RedisStore::sscan(const Words& words) {
  if (words[2] != "0") return Reply::error("ERR invalid cursor");
  Reply all = smembers(words);
  return Reply::array({Reply::of(std::string("0")), std::move(all)});
}

Reply RedisStore::smembers(const Words& words) {
  std::vector<Reply> all;
  if (Set* set = find<Set>(words[1]))
    for (const std::string& member : *set) all.push_back(Reply::of(member));
  return Reply::array(std::move(all));
}

Reply RedisStore::zadd(const Words& words) {
  bool const added =
      make<SortedSet>(words[1]).insert_or_assign(words[3], read_score(words[2])).second;
  return Reply::of(int64_t{added ? 1 : 0});
}

Reply RedisStore::zscore(const Words& words) {
  SortedSet* set = find<SortedSet>(words[1]);
  auto const member = set == nullptr ? SortedSet::iterator() : set->find(words[2]);
  if (set == nullptr || member == set->end()) return Reply();
  return Reply::of(fmt::format("{:.17g}", member->second));
}

Reply RedisStore::zrem(const Words& words) {
  SortedSet* set = find<SortedSet>(words[1]);
  int64_t const removed = set == nullptr ? 0 : static_cast<int64_t>(set->erase(words[2]));
  if (set != nullptr && set->empty()) keys_.erase(words[1]);
  return Reply::of(removed);
}

Reply RedisStore::get(const Words& words) {
  std::string* text = find<std::string>(words[1]);
  return text == nullptr ? Reply() : Reply::of(*text);
}

Reply RedisStore::set(const Words& words) {
  if (words.size() == 4) {
    bool const if_new = upper(words[3]) == "NX";
    if (!if_new && upper(words[3]) != "XX") return wrong_arguments();
    auto const found = keys_.find(words[1]);
    bool const exists = found != keys_.end() && !has_expired(found->second);
    if (exists == if_new) return {};
  } else if (words.size() != 3 && words.size() != 5) {
    return wrong_arguments();
  }
  int64_t expires_at_ms = -1;
  if (words.size() == 5) {
    std::optional<int64_t> const ttl_ms = read_integer(words[4]);
    if (upper(words[3]) != "PX") return wrong_arguments();
    if (!ttl_ms || *ttl_ms <= 0) return Reply::error("ERR invalid expire time in 'set' command");
    expires_at_ms = clock_ms_() + *ttl_ms;
  }
  keys_[words[1]] = {words[2], expires_at_ms};
  return Reply::ok();
}

Reply RedisStore::xadd(const Words& words) {
  if (words.size() < 5 || words[2] != "*") return wrong_arguments();
  Stream& stream = make<Stream>(words[1]);
  uint64_t const now_ms = static_cast<uint64_t>(clock_ms_());
  if (stream.last == StreamId{UINT64_MAX, UINT64_MAX})
    return Reply::error("ERR The stream has exhausted the last possible ID");
  StreamId const id = now_ms > stream.last.first
                          ? StreamId{now_ms, 0}
                          : StreamId{stream.last.first, stream.last.second + 1};
  stream.entries[id] = Words(words.begin() + 3, words.end());
  stream.last = id;
  return Reply::of(id_text(id));
}

Reply RedisStore::xrange(const Words& words) {
  if (words.size() != 6 || upper(words[4]) != "COUNT") return wrong_arguments();
  StreamId const from = read_id(words[2], 0);
  StreamId const to = read_id(words[3], UINT64_MAX);
  int64_t const count_max = read_integer(words[5]).value_or(0);
  std::vector<Reply> found;
  if (Stream* stream = find<Stream>(words[1]))
    for (auto at = stream->entries.lower_bound(from);
         at != stream->entries.end() && at->first <= to; ++at) {
      if (static_cast<int64_t>(found.size()) >= count_max) break;
      if (on_ranged) on_ranged(at->second);
      std::vector<Reply> fields;
      for (const std::string& field : at->second) fields.push_back(Reply::of(field));
      found.push_back(
          Reply::array({Reply::of(id_text(at->first)), Reply::array(std::move(fields))}));
    }
  return Reply::array(std::move(found));
}

Reply RedisStore::zrangebyscore(const Words& words) {
  if (words.size() != 7 || upper(words[4]) != "LIMIT") return wrong_arguments();
  double const from = read_score(words[2]);
  double const to = read_score(words[3]);
  std::vector<std::pair<double, std::string>> in_range;
  if (SortedSet* set = find<SortedSet>(words[1]))
    for (const auto& [member, score] : *set)
      if (score >= from && score <= to) in_range.emplace_back(score, member);
  std::sort(in_range.begin(), in_range.end());
  size_t const first = static_cast<size_t>(read_integer(words[5]).value_or(0));
  size_t const count_max = static_cast<size_t>(read_integer(words[6]).value_or(0));
  std::vector<Reply> found;
  for (size_t i = first; i < in_range.size() && found.size() < count_max; ++i)
    found.push_back(Reply::of(in_range[i].second));
  return Reply::array(std::move(found));
}

// --- scripts -------------------------------------------------------------------------------------

Reply RedisStore::evaluate(const Words& words) {
  if (words.size() < 3) return wrong_arguments();
  auto const script = scripts_.find(words[1]);
  if (script == scripts_.end())
    return Reply::error("NOSCRIPT No matching script. Please use EVAL.");
  size_t const key_count = static_cast<size_t>(read_integer(words[2]).value_or(0));
  if (3 + key_count > words.size()) return wrong_arguments();
  auto compiled = compiled_.find(words[1]);
  if (compiled == compiled_.end()) {
    if (luaL_loadbuffer(lua_, script->second.data(), script->second.size(), "@user_script") != 0) {
      std::string const reason = lua_tostring(lua_, -1);
      lua_pop(lua_, 1);
      return Reply::error("ERR Error compiling script: " + reason);
    }
    compiled = compiled_.emplace(words[1], luaL_ref(lua_, LUA_REGISTRYINDEX)).first;
  }
  auto const set_table = [this](const char* name, auto begin, auto end) {
    lua_newtable(lua_);
    int at = 0;
    for (auto word = begin; word != end; ++word) {
      lua_pushlstring(lua_, word->data(), word->size());
      lua_rawseti(lua_, -2, ++at);
    }
    lua_setglobal(lua_, name);
  };
  auto const arguments = words.begin() + 3 + static_cast<std::ptrdiff_t>(key_count);
  set_table("KEYS", words.begin() + 3, arguments);
  set_table("ARGV", arguments, words.end());
  lua_rawgeti(lua_, LUA_REGISTRYINDEX, compiled->second);
  in_script_ = true;
  rejecting_ = !rejected_prefix_.empty() && key_count > 0 && words[3].starts_with(rejected_prefix_);
  Reply reply;
  if (lua_pcall(lua_, 0, 1, 0) != 0) {
    size_t length = 0;
    const char* reason = lua_tolstring(lua_, -1, &length);
    reply = Reply::error(reason == nullptr ? "ERR script failed" : std::string(reason, length));
  } else {
    reply = take(-1);
  }
  in_script_ = rejecting_ = false;
  lua_pop(lua_, 1);
  return reply;
}

// The command of redis.call or redis.pcall.
Reply RedisStore::run_from_lua(lua_State* lua) {
  Words words;
  for (int i = 1; i <= lua_gettop(lua); ++i) {
    size_t length = 0;
    const char* text = lua_tolstring(lua, i, &length);
    if (text == nullptr) return Reply::error("ERR redis.call takes strings and numbers");
    words.emplace_back(text, length);
  }
  return run(words);
}

int RedisStore::call_from_lua(lua_State* lua) {
  auto* store = static_cast<RedisStore*>(lua_touserdata(lua, lua_upvalueindex(1)));
  {
    Reply const reply = store->run_from_lua(lua);
    if (reply.kind != Reply::Kind::error) {
      store->push(reply);
      return 1;
    }
    lua_pushlstring(lua, reply.text.data(), reply.text.size());
  }
  return lua_error(lua);
}

int RedisStore::pcall_from_lua(lua_State* lua) {
  auto* store = static_cast<RedisStore*>(lua_touserdata(lua, lua_upvalueindex(1)));
  store->push(store->run_from_lua(lua));
  return 1;
}

// Whether the user may execute the command.
int RedisStore::acl_check_from_lua(lua_State* lua) {
  auto* store = static_cast<RedisStore*>(lua_touserdata(lua, lua_upvalueindex(1)));
  const char* const name = lua_tostring(lua, 1);
  const Command* const command = name == nullptr ? nullptr : find_command(upper(name));
  if (command == nullptr) {
    lua_pushstring(lua, "ERR Invalid command passed to redis.acl_check_cmd()");
    return lua_error(lua);
  }
  lua_pushboolean(lua, command->name != store->forbidden_ ? 1 : 0);
  return 1;
}

// Converts a reply to a Lua value, as redis.io/docs/interact/programmability/lua-api has it.
void RedisStore::push(const Reply& reply) {
  switch (reply.kind) {
    case Reply::Kind::number:
      lua_pushnumber(lua_, static_cast<lua_Number>(reply.number));
      return;
    case Reply::Kind::text:
      lua_pushlstring(lua_, reply.text.data(), reply.text.size());
      return;
    case Reply::Kind::nil:
      lua_pushboolean(lua_, 0);
      return;
    case Reply::Kind::status:
    case Reply::Kind::error:
      lua_newtable(lua_);
      lua_pushlstring(lua_, reply.text.data(), reply.text.size());
      lua_setfield(lua_, -2, reply.kind == Reply::Kind::status ? "ok" : "err");
      return;
    case Reply::Kind::array:
      lua_newtable(lua_);
      for (size_t i = 0; i < reply.parts.size(); ++i) {
        push(reply.parts[i]);
        lua_rawseti(lua_, -2, static_cast<int>(i + 1));
      }
      return;
  }
}

// Converts a Lua value to a reply: a number loses its fraction, true is 1, false is nil, a table
// ends at its first nil.
Reply RedisStore::take(int index) {
  switch (lua_type(lua_, index)) {
    case LUA_TSTRING: {
      size_t length = 0;
      const char* text = lua_tolstring(lua_, index, &length);
      return Reply::of(std::string(text, length));
    }
    case LUA_TNUMBER:
      return Reply::of(static_cast<int64_t>(lua_tonumber(lua_, index)));
    case LUA_TBOOLEAN:
      return lua_toboolean(lua_, index) != 0 ? Reply::of(int64_t{1}) : Reply();
    case LUA_TTABLE:
      break;
    default:
      return Reply();
  }
  lua_pushvalue(lua_, index);
  std::vector<Reply> parts;
  for (int i = 1;; ++i) {
    lua_rawgeti(lua_, -1, i);
    if (lua_isnil(lua_, -1)) {
      lua_pop(lua_, 1);
      break;
    }
    parts.push_back(take(-1));
    lua_pop(lua_, 1);
  }
  lua_getfield(lua_, -1, "ok");
  bool const is_status = lua_isstring(lua_, -1) != 0;
  Reply status{Reply::Kind::status, 0, is_status ? lua_tostring(lua_, -1) : "", {}};
  lua_pop(lua_, 2);
  return is_status ? status : Reply::array(std::move(parts));
}

}  // namespace huntd::server::sim
