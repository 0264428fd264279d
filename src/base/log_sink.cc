// SPDX-License-Identifier: Apache-2.0
#include "base/log_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/journal.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd::log {
namespace {

// Moves `from` to the number `to`, which keeps its FD_CLOEXEC.
void replace(int to, int from) {
  int const flags = fcntl(to, F_GETFD);
  dup3(from, to, flags > 0 && (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
  close(from);
}

// Returns as write(2) of a non-blocking descriptor.
ssize_t write_if_room(int descriptor, std::string_view bytes) {
  iovec part{const_cast<char*>(bytes.data()), bytes.size()};
  ssize_t const written = pwritev2(descriptor, &part, 1, -1, RWF_NOWAIT);
  if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return written;
  pollfd room{descriptor, POLLOUT, 0};
  if (poll(&room, 1, 0) <= 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(descriptor, bytes.data(), bytes.size());
}

}  // namespace

Way stop_waiting(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0) {
    int const null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0 && null != descriptor) replace(descriptor, null);
    return Way::direct;
  }
  if (S_ISSOCK(status.st_mode)) return Way::socket;
  if (!S_ISFIFO(status.st_mode) && !S_ISCHR(status.st_mode)) return Way::direct;
  int const own = open(fmt::format("/proc/self/fd/{}", descriptor).c_str(),
                       O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (own < 0) return Way::ask;
  replace(descriptor, own);
  return Way::direct;
}

bool Sink::use_journal(const char* path) {
  int const descriptor = connect_journal(path);
  if (descriptor < 0) return false;
  descriptor_ = descriptor;
  journal_ = path;
  way_ = Way::socket;
  return true;
}

void Sink::write(std::string_view text) {
  std::lock_guard lock(mutex_);
  if (way_ == Way::wait) {
    put(text);  // a failed write of the log cannot be reported anywhere; the program continues
    return;
  }
  if (!kept_.empty()) write_kept();
  while (!text.empty()) {
    size_t const line_break = text.find('\n');
    size_t const bytes = line_break == std::string_view::npos ? text.size() : line_break + 1;
    keep(std::string(text.substr(0, bytes)));
    write_kept();
    text.remove_prefix(bytes);
  }
  behind_.store(!kept_.empty() || unreported_ > 0, std::memory_order_relaxed);
}

void Sink::write_entry(std::string entry) {
  std::lock_guard lock(mutex_);
  if (!kept_.empty()) write_kept();
  keep(std::move(entry));
  write_kept();
  behind_.store(!kept_.empty() || unreported_ > 0, std::memory_order_relaxed);
}

void Sink::flush(uint64_t now_ns) {
  if (!behind()) return;
  std::lock_guard lock(mutex_);
  if (now_ns - tried_ns_ < retry_every_ns) return;
  tried_ns_ = now_ns;
  write_kept();
  if (kept_.empty() && unreported_ > 0) {
    report_dropped();
    write_kept();
  }
  behind_.store(!kept_.empty() || unreported_ > 0, std::memory_order_relaxed);
}

void Sink::await_room(int timeout_ms) {
  if (!behind()) return;
  pollfd room{descriptor_, POLLOUT, 0};
  poll(&room, 1, timeout_ms);
  std::lock_guard lock(mutex_);
  write_kept();
  behind_.store(!kept_.empty() || unreported_ > 0, std::memory_order_relaxed);
}

void Sink::count_dropped() {
  std::lock_guard lock(mutex_);
  ++unreported_;
  dropped_.fetch_add(1, std::memory_order_relaxed);
  behind_.store(true, std::memory_order_relaxed);
}

void Sink::after_fork_in_child() {
  kept_.clear();
  kept_bytes_ = 0;
  unreported_ = 0;
  dropped_.store(0, std::memory_order_relaxed);
  behind_.store(false, std::memory_order_relaxed);
  mutex_.unlock();
}

// Appends an entry, or drops it.
void Sink::keep(std::string entry) {
  size_t const room =
      limits::log_kept_bytes_max - std::min(limits::log_kept_bytes_max, kept_bytes_);
  size_t const notice_bytes = unreported_ > 0 ? limits::log_line_bytes_max : 0;
  if (notice_bytes + entry.size() > room) {
    ++unreported_;
    dropped_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  if (unreported_ > 0) report_dropped();
  kept_bytes_ += entry.size();
  kept_.push_back(std::move(entry));
}

void Sink::report_dropped() {
  std::string const message = fmt::format("{} log lines were dropped", unreported_);
  constexpr const char* reason = "the log was not read, or its disk was full";
  kept_.push_back(journal_ != nullptr
                      ? journal_entry_of(Level::warning, message, {{"reason", reason}})
                      : line_of(Level::warning, message, {{"reason", reason}}));
  kept_bytes_ += kept_.back().size();
  unreported_ = 0;
}

// One by one: a pipe takes up to PIPE_BUF bytes at once or none of them.
void Sink::write_kept() {
  while (!kept_.empty()) {
    std::string& first = kept_.front();
    int64_t const wrote = put(first);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    kept_bytes_ -= static_cast<size_t>(wrote);
    if (static_cast<size_t>(wrote) < first.size())
      first.erase(0, static_cast<size_t>(wrote));
    else
      kept_.pop_front();
  }
}

// Returns as write(2).
int64_t Sink::put(std::string_view bytes) const {
  switch (way_) {
    case Way::socket:
      return send_to_socket(bytes);
    case Way::ask:
      return write_if_room(descriptor_, bytes);
    case Way::wait:
    case Way::direct:
      break;
  }
  return ::write(descriptor_, bytes.data(), bytes.size());
}

// The journal's socket may have been made again: the next datagram is then rejected.
int64_t Sink::send_to_socket(std::string_view bytes) const {
  constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
  int64_t const sent = send(descriptor_, bytes.data(), bytes.size(), flags);
  if (sent >= 0 || journal_ == nullptr || errno == EAGAIN || errno == EINTR) return sent;
  if (!reconnect_journal(descriptor_, journal_)) return -1;
  return send(descriptor_, bytes.data(), bytes.size(), flags);
}

}  // namespace huntd::log
