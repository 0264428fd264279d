// The load itself: opens the connections, sends what is due, waits for the last answers. One
// thread, one ring; a turn of the loop is one system call.
#pragma once
#include <deque>
#include <string>
#include <vector>

#include "base/result.h"
#include "connection.h"
#include "options.h"
#include "progress.h"
#include "requests.h"
#include "schedule.h"
#include "tally.h"

namespace huntd::load {

// What the generator did on its own account.
struct Account {
  uint64_t connects_failed = 0;
  uint64_t resets = 0;  // connections that the server ended without saying so
  uint64_t reconnects = 0;
  uint64_t ticks = 0;         // of the measured time, like what follows
  double cpu_s = 0;           // of the measured time
  double measured_s = 0;      // its length as it was
  int64_t started_at_ms = 0;  // of the measured time, since the epoch
};

class Generator final : private ConnectionUser {
 public:
  explicit Generator(const Options& options);

  // The whole run. The error says why there was none: no ring, nobody at the address.
  Result<void> run();

  const Tally& tally() const { return tally_; }
  const Account& account() const { return account_; }

 private:
  enum class Phase { connecting, warm_up, measured, draining };

  // The run's parts, in this order.
  Result<void> open_connections();
  void load();
  void drain();
  void give_up();

  void begin_measuring(uint64_t now_ns);
  void end_measuring(uint64_t now_ns);
  void send_due(uint64_t now_ns);
  void send(Connection& connection, uint64_t due_ns);
  void connect(Connection& connection);
  void reconnect_due(uint64_t now_ns);
  // Sleeps while the last turn is younger than tick_ns_: what comes due or comes back meanwhile
  // shares one wake-up, which costs more than all else.
  void rest();
  // One turn: submits, waits until `until_ns` at most, handles what came.
  void tick(uint64_t until_ns);
  void report(uint64_t now_ns);
  uint64_t outstanding() const;

  void on_open(Connection& connection) override;
  void on_free(Connection& connection) override;
  void on_answer(Connection& connection, const Answer& answer) override;
  void on_lost(Connection& connection, Ended why) override;
  void on_ended(Connection& connection, Ended why, int error) override;

  struct Retry {
    uint64_t at_ns;
    Connection* connection;
  };
  struct Reports {
    uint64_t start_ns = 0;
    uint64_t last_ns = 0;
    uint64_t next_ns = UINT64_MAX;
    void start(uint64_t now_ns) { *this = {now_ns, now_ns, now_ns + 1'000'000'000}; }
  };

  const Options& options_;
  Phase phase_ = Phase::connecting;
  uint64_t warmup_ns_;
  uint64_t measured_ns_;
  uint64_t timeout_ns_;
  uint64_t tick_ns_;
  uint64_t ticked_ns_ = 0;
  uint64_t end_ns_ = 0;  // no request is due from here on
  Address peer_;
  Requests requests_;
  Schedule schedule_;
  Tally tally_;
  Account account_;
  Progress progress_;
  Reports reports_;
  std::vector<uint64_t> sent_count_;    // of each connection
  std::vector<uint64_t> to_be_late_;    // due times of this turn's sends on free connections
  std::deque<Retry> retries_;           // in the order of at_ns
  uint32_t open_ = 0;                   // connections open now
  uint32_t connecting_ = 0;             // connects in the kernel
  int last_error_ = 0;                  // of a connect
  std::deque<Connection> connections_;  // a deque: they never move
  uring::Ring ring_;                    // the first to go
};

}  // namespace huntd::load
