// SPDX-License-Identifier: Apache-2.0
// The hash `hunts` in Redis: which hunts are closed, and the floor of each (wire/generation.h).
//
// A purge writes a closed hunt without the time of its closing when it sets the floor, and with it
// when it has deleted everything. So that state without a time and with a floor says that a purge
// has not finished.
#pragma once
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "drivers/redis_client.h"
#include "wire/generation.h"

namespace huntd::huntctl {

inline bool purge_unfinished(const HuntState& state) {
  return state.closed && state.floor > 0 && state.closed_at_ms == 0;
}

// The state of every hunt that was ever closed or purged.
Result<std::map<std::string, HuntState>> read_hunt_states(RedisClient& redis);
// An open hunt without a floor if there is no field.
Result<HuntState> read_hunt_state_of(RedisClient& redis, std::string_view hunt_id);
// Writes `next` if the hunt's state is still `expected`; otherwise an error.
Result<void> write_hunt_state_of(RedisClient& redis, std::string_view hunt_id,
                                 const HuntState& expected, const HuntState& next);

// The state after `huntctl hunt close`. A hunt that is closed keeps its state.
HuntState closed_state(const HuntState& state, int64_t now_ms);
// The state after `huntctl hunt open`. The error says why it stays closed.
Result<HuntState> opened_state(const HuntState& state);

// The floor of a purge that is decided at `now_ms` by Redis' clock: every generation that was
// started before is up to it, and so are those of which `newest` is the greatest.
uint64_t floor_at(int64_t now_ms, uint64_t newest);
// When a generation was started, in ms since the epoch.
int64_t generation_ms(uint64_t generation);

}  // namespace huntd::huntctl
