// SPDX-License-Identifier: Apache-2.0
#include "huntd/reload.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "base/clock.h"
#include "base/log.h"
#include "base/sd_notify.h"

namespace huntd::server {
namespace {

constexpr uint64_t show_every_ns = 1'000'000'000;
constexpr size_t lines_logged_max = 50;
constexpr size_t status_bytes_max = 240;  // of STATUS=, which systemctl shows in one line

std::string first_line(const std::string& text) {
  std::string line = text.substr(0, std::min(text.find('\n'), status_bytes_max));
  // systemd takes UTF-8 only, and a cut can split a character.
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return line;
}

// A script can put any byte into its error, and huntctl shows the text in terminals.
std::string printable(std::string text) {
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char c) { return (c < 0x20 && c != '\n') || c == 0x7f; }, '?');
  return text;
}

// One log line per problem.
void log_problems(std::string_view message, std::string_view error) {
  for (size_t lines = 0; !error.empty(); ++lines) {
    if (lines == lines_logged_max) {
      auto const more = std::count(error.begin(), error.end(), '\n') + 1;
      return log::error(message, {{"error", fmt::format("and {} more lines", more)},
                                  {"hint", "`huntd -t` shows all"}});
    }
    size_t const end = std::min(error.find('\n'), error.size());
    log::error(message, {{"error", error.substr(0, end)}});
    error.remove_prefix(std::min(end + 1, error.size()));
  }
}

}  // namespace

void Reload::note_start() {
  status_.bundle = in_use_.bundle.name();
  if (!in_use_.scripts_error.empty()) {
    status_.result = ReloadResult::rejected;
    status_.at_ms = wall_ms();
    status_.serves_saved = true;
    status_.error = printable(in_use_.scripts_error);
    log_problems("hunts.dir has an error, so huntd serves the saved scripts", status_.error);
    log::error("huntd serves the saved scripts", {{"bundle", status_.bundle},
                                                  {"dir", state_dir_of(in_use_.config)},
                                                  {"hint", "fix the scripts and reload"}});
  }
  shared_.set(status_);
}

void Reload::request() {
  if (check_.active()) {
    again_ = true;
    log::info("one more reload follows the check that runs");
    return;
  }
  start_check();
}

Result<void> Reload::request(ScriptsOrder order) {
  if (order_)
    return Error{fmt::format("a {} by {} is being checked; try again after it",
                             order_->request.kind == DeployRequest::Kind::deploy
                                 ? "deploy of " + order_->request.from
                                 : "change of the scripts",
                             order_->request.by)};
  if (check_.active()) return Error{"a reload is being checked; try again after it"};
  order_ = std::move(order);
  start_check();
  return {};
}

void Reload::start_check() {
  again_ = false;
  ++status_.started;
  shared_.set(status_);
  if (ready_)
    systemd::notify(fmt::format("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=checking a reload",
                                monotonic_ns() / 1000));
  shown_at_ns_ = monotonic_ns();
  shown_.clear();
  Result<void> const started = check_.start(config_path_, in_use_, order_ ? &*order_ : nullptr);
  if (!started) finish(started);
}

bool Reload::step(uint64_t now_ns, const std::function<Result<void>(ReloadContent)>& apply) {
  if (!check_.active()) return false;
  std::optional<Result<ReloadContent>> found =
      check_.receive(static_cast<int64_t>(now_ns / ns_per_ms));
  if (!found) {
    show_progress(now_ns);
    return false;
  }
  std::optional<std::vector<std::string>> waiting_keys;
  if (*found && !(**found).scripts_only) waiting_keys = (**found).waiting_keys;
  Result<void> const result = *found ? apply(std::move(**found)) : Result<void>(found->error());
  if (result && waiting_keys) status_.waiting_keys = std::move(*waiting_keys);
  finish(result);
  if (again_) start_check();
  return static_cast<bool>(result);
}

// At most once per second.
void Reload::show_progress(uint64_t now_ns) {
  if (now_ns - shown_at_ns_ < show_every_ns || check_.progress() == shown_) return;
  shown_at_ns_ = now_ns;
  shown_ = check_.progress();
  shared_.set_progress(shown_);
  log::info("a reload is being checked", {{"step", shown_}});
  if (ready_) systemd::notify("STATUS=reload: " + first_line(shown_));
}

void Reload::finish(const Result<void>& result) {
  const char* const rejection = order_
                                    ? "a change of the scripts was rejected, keeping those in use"
                                    : "reload failed, keeping the previous configuration";
  order_.reset();
  status_.finished = status_.started;
  status_.at_ms = wall_ms();
  if (result) {
    ++status_.applied;
    status_.result = ReloadResult::applied;
    status_.serves_saved = false;
    status_.bundle = in_use_.bundle.name();
    status_.error.clear();
  } else {
    ++status_.rejected;
    status_.result = ReloadResult::rejected;
    status_.error = printable(result.error().message);
    log_problems(rejection, status_.error);
  }
  // First systemd: `huntctl reload`, which it waits for, ends when it reads the status.
  if (ready_) systemd::notify("READY=1\nSTATUS=" + service_status());
  shared_.set_progress("");
  shared_.set(status_);
}

void Reload::stop() {
  again_ = false;
  check_.kill();
}

void Reload::set_trouble(std::string text) {
  if (text == trouble_) return;
  trouble_ = std::move(text);
  if (ready_ && !check_.active()) systemd::notify("STATUS=" + service_status());
}

std::string Reload::service_status() const {
  if (!host_status_.empty()) return host_status_;
  std::string const trouble = trouble_.empty() ? "" : "not ready: " + first_line(trouble_);
  if (status_.result != ReloadResult::rejected) {
    if (!trouble.empty()) return trouble;
    return in_use_.history.deployed ? "serving the deployed bundle " + in_use_.history.live
                                    : "serving";
  }
  return (trouble.empty() ? "" : trouble + "; ") +
         fmt::format("serving the {} scripts; {} was rejected: {}",
                     status_.serves_saved ? "saved" : "previous",
                     status_.finished == 0 ? "hunts.dir" : "the newest reload",
                     first_line(status_.error));
}

}  // namespace huntd::server
