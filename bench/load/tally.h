// What came of the requests: counts and latencies.
#pragma once
#include <array>
#include <cstdint>
#include <memory>

#include "stats/histogram.h"

namespace huntd::load {

struct Counts {
  uint64_t sent = 0;
  uint64_t answered = 0;
  uint64_t ok = 0;        // 200
  uint64_t rejected = 0;  // 422: the hunt said no, which is no error
  uint64_t refused = 0;   // 503
  uint64_t broken = 0;    // their connection ended before the answer
  uint64_t unparseable = 0;
  uint64_t unanswered = 0;  // still waited for at the end
  uint64_t events = 0;      // loot told in answers 200
  std::array<uint64_t, 600> statuses{};

  // Everything that was asked for and was not a 200 or a hunt's own no.
  uint64_t errors() const { return answered - ok - rejected + broken + unparseable + unanswered; }
};

// Why a request will have no answer.
enum class Loss { broken, unparseable, unanswered };

class Tally {
 public:
  Tally();

  // Requests due before `measured_from_ns` are the warm-up: counted, not measured. A request that
  // gets no answer enters the histogram with what it waited, `timeout_ns` at least.
  void start(uint64_t measured_from_ns, uint64_t measured_to_ns, uint64_t timeout_ns);

  void sent(uint64_t due_ns);
  void answered(uint64_t due_ns, uint64_t now_ns, int status, uint64_t events);
  void lost(uint64_t due_ns, uint64_t now_ns, Loss why);
  // A request whose connection was free when it came due went out at `now_ns`.
  void late(uint64_t due_ns, uint64_t now_ns);

  const Counts& measured() const { return measured_; }
  const Counts& whole() const { return whole_; }
  uint64_t answered_in_time() const { return answered_in_time_; }
  uint64_t ok_in_time() const { return ok_in_time_; }
  const Histogram& all() const { return *all_; }
  const Histogram& admitted() const { return *admitted_; }
  const Histogram& refused() const { return *refused_; }
  const Histogram& lateness() const { return *late_; }
  // The latencies since the last call, the warm-up's too.
  HistogramSnapshot take_recent();

 private:
  bool is_measured(uint64_t due_ns) const { return due_ns >= measured_from_ns_; }

  uint64_t measured_from_ns_ = 0;
  uint64_t measured_to_ns_ = 0;
  uint64_t timeout_ns_ = 0;
  uint64_t answered_in_time_ = 0;  // answers that came within the measured time
  uint64_t ok_in_time_ = 0;
  Counts measured_;
  Counts whole_;
  std::unique_ptr<Histogram> all_, admitted_, refused_, late_, recent_;
};

}  // namespace huntd::load
