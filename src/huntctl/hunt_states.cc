// SPDX-License-Identifier: Apache-2.0
#include "huntctl/hunt_states.h"

#include <fmt/format.h>

#include <algorithm>

#include "huntctl/redis_walk.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

constexpr uint64_t random_bits = 16;  // of a generation

// Replaces the state of a hunt.
//   KEYS   hunts
//   ARGV   hunt_id, expected text ('' for none), new text
//   reply  1 written, 0 another text was there
constexpr const char* replace_state = R"lua(
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
)lua";

Error malformed(std::string_view hunt_id, std::string_view text) {
  return Error{fmt::format("redis: the field {} of {} is malformed: {}", hunt_id, keys::hunts,
                           text.substr(0, 80))};
}

}  // namespace

Result<std::map<std::string, HuntState>> read_hunt_states(RedisClient& redis) {
  Result<RedisReply> const fields = redis.execute({"HGETALL", keys::hunts});
  if (!fields) return fields.error();
  std::map<std::string, HuntState> states;
  for (const auto& [hunt_id, text] : pairs_of(**fields)) {
    std::optional<HuntState> const state = read_hunt_state(text);
    if (!state) return malformed(hunt_id, text);
    states[hunt_id] = *state;
  }
  return states;
}

Result<HuntState> read_hunt_state_of(RedisClient& redis, std::string_view hunt_id) {
  Result<RedisReply> const field = redis.execute({"HGET", keys::hunts, hunt_id});
  if (!field) return field.error();
  if ((*field)->type == REDIS_REPLY_NIL) return HuntState();
  std::optional<HuntState> const state = read_hunt_state(text_of(field->get()));
  if (!state) return malformed(hunt_id, text_of(field->get()));
  return *state;
}

Result<void> write_hunt_state_of(RedisClient& redis, std::string_view hunt_id,
                                 const HuntState& expected, const HuntState& next) {
  Result<RedisReply> const present = redis.execute({"HGET", keys::hunts, hunt_id});
  if (!present) return present.error();
  std::string const text(text_of(present->get()));
  std::optional<HuntState> const state = text.empty() ? HuntState() : read_hunt_state(text);
  Result<std::string> const script = load_script(redis, replace_state);
  if (!script) return script.error();
  Error const changed{fmt::format(
      "the state of {} was changed by another huntctl meanwhile: run the command again", hunt_id)};
  if (!state || *state != expected) return changed;
  Result<RedisReply> const written =
      redis.execute({"EVALSHA", *script, "1", keys::hunts, hunt_id, text, write_hunt_state(next)});
  if (!written) return written.error();
  if ((*written)->integer != 1) return changed;
  return {};
}

HuntState closed_state(const HuntState& state, int64_t now_ms) {
  if (state.closed && (state.closed_at_ms > 0 || purge_unfinished(state))) return state;
  return HuntState{.closed = true, .floor = state.floor, .closed_at_ms = now_ms};
}

Result<HuntState> opened_state(const HuntState& state) {
  if (purge_unfinished(state))
    return Error{"a purge of it has not finished: run huntctl hunt purge again first"};
  return HuntState{.closed = false, .floor = state.floor, .closed_at_ms = 0};
}

uint64_t floor_at(int64_t now_ms, uint64_t newest) {
  uint64_t const now = static_cast<uint64_t>(std::max<int64_t>(now_ms, 1)) << random_bits;
  return std::max(now - 1, newest);
}

int64_t generation_ms(uint64_t generation) {
  return static_cast<int64_t>(generation >> random_bits);
}

}  // namespace huntd::huntctl
