// SPDX-License-Identifier: Apache-2.0
// The reloads of the parent, one after the other: starts the check of each, and publishes its
// result in the shared memory, in the log and to systemd.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "huntd/child.h"
#include "huntd/preparation.h"
#include "huntd/prepare.h"
#include "metrics/reload_status.h"

namespace huntd::server {

class Reload {
 public:
  // `in_use` and `shared` outlive this object.
  Reload(std::string config_path, const Prepared& in_use, SharedReload& shared)
      : config_path_(std::move(config_path)), in_use_(in_use), shared_(shared) {}

  // Before the first reload: publishes which scripts the start serves.
  void note_start();
  // After READY=1 was sent to systemd: from now on, a reload is reported to it.
  void note_ready() { ready_ = true; }

  // SIGHUP: starts a check. During a check, one more follows it, for any number of requests.
  void request();
  // Starts the check of other scripts. The error says that another check runs.
  Result<void> request(ScriptsOrder order);
  // Whether the check that runs is that of an order.
  const std::optional<ScriptsOrder>& order() const { return order_; }
  const std::string& progress() const { return check_.progress(); }
  // Why the newest check was rejected; empty if it was not.
  const std::string& error() const { return status_.error; }
  // -1 if no check runs; else readable when step() has something to do.
  int descriptor() const { return check_.descriptor(); }
  // Goes on without waiting. If a check has passed, `apply` is called once with its content; it
  // may still reject it. Returns true if a reload was applied.
  bool step(uint64_t now_ns, const std::function<Result<void>(ReloadContent)>& apply);
  // The parent has collected this child; it may be another one.
  void on_end(const EndedChild& child) { check_.on_end(child); }
  // Kills the check; there is no further one.
  void stop();

  // One line for STATUS= of systemd: that of the host, else why it is not ready and which scripts are
  // served.
  std::string service_status() const;
  // What the service does if that is not just to serve; empty: it serves.
  void set_host_status(std::string text) { host_status_ = std::move(text); }
  // Why the host is not ready, in one line; empty: it is. Informs systemd if that has changed.
  void set_trouble(std::string text);

 private:
  void start_check();
  void show_progress(uint64_t now_ns);
  void finish(const Result<void>& result);

  std::string const config_path_;
  const Prepared& in_use_;
  SharedReload& shared_;
  Preparation check_;
  ReloadStatus status_;
  bool again_ = false;  // a request came during the check
  std::optional<ScriptsOrder> order_;
  bool ready_ = false;
  uint64_t shown_at_ns_ = 0;
  std::string shown_;
  std::string host_status_;
  std::string trouble_;
};

}  // namespace huntd::server
