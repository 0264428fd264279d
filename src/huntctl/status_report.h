// SPDX-License-Identifier: Apache-2.0
// The content of /status.json (docs/formats/admin-json.md), and the rates between two of them.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd::huntctl {

// By the names of /metrics, without the label `core`: "huntd_hunts_total{outcome=\"ok\"}".
using Numbers = std::map<std::string, uint64_t, std::less<>>;
using Rates = std::map<std::string, double, std::less<>>;  // per second

struct CoreStatus {
  uint64_t core = 0;
  std::string state;
  uint64_t pid = 0;
  uint64_t cpu = 0;
  int64_t started_at_ms = 0;
  uint64_t restarts = 0;
  std::string bundle;
  std::string redis_server;
  std::string redis_address;
  std::string redis_reason;  // why Redis, or a node of a cluster, can't be used
  std::string kafka_reason;  // why Kafka takes no events
  Numbers counters;
  Numbers gauges;

  uint64_t gauge(std::string_view name) const;  // 0 if there is none
  uint64_t hunts() const;
};

struct Status {
  std::string version;
  int64_t started_at_ms = 0;
  int64_t taken_at_ms = 0;
  uint64_t pid = 0;  // of the parent
  struct {
    bool runs = false;
    bool of_start = false;  // the result is that of the start
    std::string result;     // of the newest one
    int64_t at_ms = 0;
    std::string error;
    std::string progress;
    bool serves_saved = false;
    std::vector<std::string> waiting_keys;  // of the config, until a restart
    std::string save_error;                 // why the scripts in use are not saved
  } reload;
  std::vector<CoreStatus> cores;
};

// The error says whether a member is missing or has another type.
Result<Status> read_status(std::string_view json);

// What is not as it should be although huntd is ready: no hunter notices it, or only some do. A sentence
// each.
std::vector<std::string> degradations(const Status& now);

// How fast the counters grow.
struct Activity {
  double seconds = 0;        // that it covers; 0: no rates are known
  std::vector<Rates> cores;  // as Status::cores; empty if no rates are known
  Rates all;                 // the sum of the cores
};

// What huntd did from `before` to `now`; if it was started in between, since that start. Counters
// are those of huntd, so a core that was started again keeps its own.
Activity activity_between(const Status& before, const Status& now);

// The sum of `metric` over the values of its labels; 0 if there is none.
double rate_of(const Rates& rates, std::string_view metric);

}  // namespace huntd::huntctl
