// SPDX-License-Identifier: Apache-2.0
// Generates the load: opens the connections, sends the requests that are due, waits for the last
// responses. One thread, one ring; one tick of the loop is one system call.
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

// Figures of the generator itself.
struct Account {
  uint64_t connects_failed = 0;
  uint64_t resets = 0;  // connections that the server closed without Connection: close
  uint64_t reconnects = 0;
  uint64_t repeated = 0;      // requests that met the close of their connection (--repeat-closed)
  uint64_t ticks = 0;         // in the measured time
  double cpu_s = 0;           // in the measured time
  double measured_s = 0;      // its actual length
  int64_t started_at_ms = 0;  // of the measured time, since the Unix epoch
};

class Generator final : private ConnectionUser {
 public:
  explicit Generator(const Options& options);

  // The whole run. The error says why it could not start: no ring, or no connection.
  Result<void> run();

  const Tally& tally() const { return tally_; }
  const Account& account() const { return account_; }

 private:
  enum class Phase { connecting, warm_up, measured, draining };

  // The parts of the run, in this order.
  Result<void> open_connections();
  void load();
  void drain();
  void abandon_rest();

  void begin_measuring(uint64_t now_ns);
  void end_measuring(uint64_t now_ns);
  void send_due(uint64_t now_ns);
  void send(Connection& connection, uint64_t due_ns);
  void connect(Connection& connection);
  void reconnect_due(uint64_t now_ns);
  // Sleeps until tick_ns_ after the last tick. Requests and responses of that time share one
  // wake-up, which costs more than everything else.
  void pace();
  // Submits, waits until `until_ns` at most, handles completions.
  void tick(uint64_t until_ns);
  void report(uint64_t now_ns);
  uint64_t outstanding() const;

  void on_open(Connection& connection) override;
  void on_free(Connection& connection) override;
  void on_response(Connection& connection, const Response& response) override;
  void on_lost(Connection& connection, Ended reason) override;
  void on_ended(Connection& connection, Ended reason, int error) override;

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
  std::vector<uint64_t> sent_count_;    // by connection
  std::vector<bool> repeats_;           // by connection: its last request is to be sent again
  std::vector<uint64_t> to_be_late_;    // due times of this tick's sends on free connections
  std::deque<Retry> retries_;           // ordered by at_ns
  uint32_t open_ = 0;                   // open connections
  uint32_t connecting_ = 0;             // connects in the kernel
  int last_error_ = 0;                  // of the last failed connect
  std::deque<Connection> connections_;  // a deque, so that they never move
  server::Ring ring_;                   // destroyed first
};

}  // namespace huntd::load
