// SPDX-License-Identifier: Apache-2.0
// The steps of `huntctl forget`, which deletes everything of one hunter (decision 30). Each may be
// interrupted and repeated.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "drivers/pg_link.h"
#include "drivers/redis_client.h"

namespace huntd::huntctl {

struct HunterSurvey {
  // Redis
  uint64_t hunts = 0;
  uint64_t loot = 0;
  uint64_t responses = 0;
  uint64_t newest_generation = 0;  // also of the rows
  // PostgreSQL
  uint64_t rows = 0;
  uint64_t past_rows = 0;
  uint64_t waiting_events = 0;
  uint64_t dead_letters = 0;
  // What is under way, and would come back or be lost.
  uint64_t outbox_events = 0;
  uint64_t unsettled = 0;  // responses of requests whose units of a supply are not settled
  uint64_t reserved = 0;   // units of supplies

  bool empty() const {
    return hunts + responses + rows + past_rows + waiting_events + dead_letters == 0 &&
           outbox_events == 0;
  }
};

Result<HunterSurvey> survey_hunter(RedisClient& redis, PgLink& postgres,
                                   std::string_view hunter_id);

// Why the hunter cannot be deleted yet; empty if nothing is under way.
std::vector<std::string> reasons_to_wait(const HunterSurvey& survey);

// Raises the floor of the hunter, to the greatest generation of the rows at least, and deletes all
// rows of the hunter, in one transaction. Returns the floor.
Result<uint64_t> delete_rows_of_hunter(PgLink& postgres, std::string_view hunter_id,
                                       uint64_t floor);

// Deletes the hunter's keys, except loot of generations above the floor. Returns how many there
// were.
Result<uint64_t> delete_keys_of_hunter(RedisClient& redis, std::string_view hunter_id,
                                       uint64_t floor);

}  // namespace huntd::huntctl
