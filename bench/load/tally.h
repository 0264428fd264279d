// SPDX-License-Identifier: Apache-2.0
// The results of requests: counts and latencies.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "metrics/histogram.h"

namespace huntd::load {

struct Counts {
  uint64_t sent = 0;
  uint64_t answered = 0;
  uint64_t ok = 0;           // 200
  uint64_t rejected = 0;     // 422: rejected by the script; not an error
  uint64_t unavailable = 0;  // 503, 424
  uint64_t broken = 0;       // the connection ended before the response
  uint64_t unparseable = 0;
  uint64_t unanswered = 0;  // no response at the end of the run
  uint64_t events = 0;      // awards in the responses 200
  std::array<uint64_t, 600> statuses{};

  // All requests without a 200 or a 422.
  uint64_t errors() const { return answered - ok - rejected + broken + unparseable + unanswered; }
};

// Why a request has no response.
enum class Loss { broken, unparseable, unanswered };

class Tally {
 public:
  Tally();

  // Requests due before `measured_from_ns` are the warm-up: counted, not measured. A request
  // without a response is in the histogram with the time that it waited, at least `timeout_ns`.
  void start(uint64_t measured_from_ns, uint64_t measured_to_ns, uint64_t timeout_ns);

  void sent(uint64_t due_ns);
  void answered(uint64_t due_ns, uint64_t now_ns, int status, uint64_t events);
  void lost(uint64_t due_ns, uint64_t now_ns, Loss reason);
  // A request whose connection was free at its due time is sent at `now_ns`.
  void late(uint64_t due_ns, uint64_t now_ns);

  const Counts& measured() const { return measured_; }
  const Counts& whole() const { return whole_; }
  uint64_t answered_in_time() const { return answered_in_time_; }
  uint64_t ok_in_time() const { return ok_in_time_; }
  const Histogram& all() const { return *all_; }
  const Histogram& admitted() const { return *admitted_; }
  const Histogram& unavailable() const { return *unavailable_; }
  const Histogram& lateness() const { return *late_; }
  // The latencies since the last call, with those of the warm-up.
  HistogramSnapshot take_recent();

 private:
  bool is_measured(uint64_t due_ns) const { return due_ns >= measured_from_ns_; }

  uint64_t measured_from_ns_ = 0;
  uint64_t measured_to_ns_ = 0;
  uint64_t timeout_ns_ = 0;
  uint64_t answered_in_time_ = 0;  // responses that arrived within the measured time
  uint64_t ok_in_time_ = 0;
  Counts measured_;
  Counts whole_;
  std::unique_ptr<Histogram> all_, admitted_, unavailable_, late_, recent_;
};

}  // namespace huntd::load
