// SPDX-License-Identifier: Apache-2.0
#include "huntctl/held_removal.h"

#include <string>

#include "wire/generation.h"

namespace huntd::huntctl {
namespace {

// Deletes a `held` hash whose generation is not above the floor. (Numbers of 64 bits are compared
// in halves: a Lua number is exact up to 53 bits.)
//   KEYS   held
//   ARGV   floor, 16 hex digits
//   reply  1 deleted, 0 not
constexpr const char* delete_held = R"lua(
local present = string.sub(redis.call('HGET', KEYS[1], '#gen') or '0000000000000000', 1, 16)
local function halves(text)
  return tonumber(string.sub(text, 1, 8), 16), tonumber(string.sub(text, 9), 16)
end
local high, low = halves(present)
local floor_high, floor_low = halves(ARGV[1])
-- A hash whose field is malformed is deleted too.
if not high or not low then return redis.call('UNLINK', KEYS[1]) end
if high > floor_high or (high == floor_high and low > floor_low) then return 0 end
return redis.call('UNLINK', KEYS[1])
)lua";

}  // namespace

Result<uint64_t> delete_held_up_to(RedisClient& redis, const Keys& held, uint64_t floor) {
  Result<std::string> const script = load_script(redis, delete_held);
  if (!script) return script.error();
  std::string const floor_text = generation_text(floor);
  uint64_t deleted = 0;
  Result<void> const done = each_reply(
      redis, held.size(),
      [&](size_t i) {
        redis.append({"EVALSHA", *script, "1", held[i], floor_text});
      },
      [&](size_t, const redisReply& reply) -> Result<void> {
        deleted += static_cast<uint64_t>(reply.integer);
        return {};
      });
  if (!done) return done.error();
  return deleted;
}

}  // namespace huntd::huntctl
