// A record on its way to the event log.
#pragma once
#include "base/pool.h"

namespace huntd {

struct Record {
  Text key;    // hunter_id: it decides the partition, so one hunter's events stay in order
  Text value;  // JSON (docs/formats/loot-event.md)
};

}  // namespace huntd
