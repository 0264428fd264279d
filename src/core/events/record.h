// SPDX-License-Identifier: Apache-2.0
// A record for the event log.
#pragma once
#include "base/pool.h"

namespace huntd::server {

struct Record {
  PoolString key;    // hunter_id; decides the partition, so a hunter's events stay in order
  PoolString value;  // JSON (docs/formats/loot-event.md)
};

}  // namespace huntd::server
