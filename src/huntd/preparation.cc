// SPDX-License-Identifier: Apache-2.0
#include "huntd/preparation.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/scm_rights.h"
#include "core/control.h"
#include "wire/message_codec.h"

namespace huntd::server {
namespace {

// A packet of the check process: its kind, then for `progress` a text. A report comes with the
// descriptor of a memfd that holds it and, without an error, that of the bundle.
enum class Packet : uint8_t { progress = 1, report = 2 };

constexpr size_t packet_bytes_max = 512;
constexpr int packets_per_call_max = 64;
constexpr int64_t progress_every_ms = 200;
// The process ends the check of scripts by itself at the deadline, and its report has the better
// words. What it cannot end (a file system, a resolver) is ended by the parent, this much later.
constexpr int64_t report_grace_ms = 1000;

void append_texts(WireWriter<std::string>& writer, const std::vector<std::string>& texts) {
  writer.number(static_cast<uint32_t>(texts.size()));
  for (const std::string& text : texts) writer.text(text);
}

std::vector<std::string> read_texts(WireReader& reader) {
  std::vector<std::string> texts(reader.number<uint32_t>());
  for (std::string& text : texts) text = reader.text();
  return texts;
}

// Whole lines of at most limits::check_error_bytes_max.
std::string bounded(const std::string& error) {
  if (error.size() <= limits::check_error_bytes_max) return error;
  size_t const line_end = error.rfind('\n', limits::check_error_bytes_max);
  size_t const kept = line_end == std::string::npos ? limits::check_error_bytes_max : line_end;
  return error.substr(0, kept) + "\n[truncated: `huntd -t` shows all]";
}

// --- in the check process ---

class Reporter {
 public:
  explicit Reporter(int socket) : socket_(socket) {}

  // A parent that is slow misses it.
  void progress(const std::string& text, bool at_once) {
    int64_t const now_ms = monotonic_ms();
    if (!at_once && now_ms < next_ms_) return;
    next_ms_ = now_ms + progress_every_ms;
    std::string packet(1, static_cast<char>(Packet::progress));
    packet.append(text, 0, packet_bytes_max - 1);
    send(socket_, packet.data(), packet.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  // `bundle` -1: none. Returns false if it cannot be sent: then the parent reads how this ends.
  bool report(const std::string& content, int bundle) const {
    UniqueFd const memory(memfd_create("huntd-report", MFD_CLOEXEC));
    if (!memory.valid() || content.size() > limits::check_report_bytes_max ||
        write(memory.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()))
      return false;
    char kind = static_cast<char>(Packet::report);
    iovec iov{&kind, sizeof kind};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    DescriptorRoom<2> room;
    int const descriptors[] = {memory.get(), bundle};
    attach_descriptors(header, room, descriptors, bundle >= 0 ? 2 : 1);
    return sendmsg(socket_, &header, MSG_NOSIGNAL) == sizeof kind;
  }

 private:
  int const socket_;
  int64_t next_ms_ = 0;
};

// What a report begins with.
enum class Found : uint8_t { error, everything, scripts };

void append_skipped(WireWriter<std::string>& writer, std::vector<std::string> skipped) {
  if (size_t const all = skipped.size(); all > limits::check_warnings_max) {
    skipped.resize(limits::check_warnings_max);
    skipped.push_back(fmt::format("and {} more files", all - limits::check_warnings_max));
  }
  append_texts(writer, skipped);
}

std::string content_of(const Result<Prepared>& next, const Prepared& running, bool scripts_only) {
  std::string content;
  WireWriter writer(content);
  writer.number(!next ? Found::error : scripts_only ? Found::scripts : Found::everything);
  if (!next) {
    writer.text(bounded(next.error().message));
    return content;
  }
  append_skipped(writer, next->skipped_files);
  writer.text(next->odds);
  if (scripts_only) return content;
  writer.text(next->config_text);
  append_value(writer, next->redis_logins);
  append_value(writer, next->secrets);
  append_texts(writer, keys_that_wait_for_restart(running.config, next->config));
  return content;
}

[[noreturn]] void run_check(const std::string& config_path, const Prepared& running, int socket,
                            const ScriptsOrder* order, int64_t end_at_ms) {
  close_all_but({socket, running.worker->descriptor(), running.bundle.descriptor(),
                 order == nullptr ? -1 : order->sources.get()});
  log::set_origin("process=check");
  Reporter reporter(socket);
  PrepareOptions options;
  options.running = running.worker;
  if (running.history.deployed) options.deployed = &running.bundle;
  options.end_at_ms = end_at_ms;
  options.progress = [&reporter](const std::string& text, bool at_once) {
    reporter.progress(text, at_once);
  };
  Result<Prepared> const next = order == nullptr ? prepare(config_path, options)
                                                 : prepare_scripts_of(*order, running, options);
  bool const sent = reporter.report(content_of(next, running, order != nullptr),
                                    next ? next->bundle.descriptor() : -1);
  _exit(sent ? EXIT_SUCCESS : EXIT_FAILURE);
}

// --- in the parent ---

// Takes the descriptors that came with a packet.
void take_descriptors(msghdr& header, UniqueFd& first, UniqueFd& second) {
  for (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t const count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    int numbers[2] = {-1, -1};
    std::memcpy(numbers, CMSG_DATA(c), std::min<size_t>(count, 2) * sizeof(int));
    first.reset(numbers[0]);
    second.reset(numbers[1]);
  }
}

Result<std::string> read_memory(int descriptor) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return Error{std::string("fstat: ") + std::strerror(errno)};
  auto const size = static_cast<size_t>(status.st_size);
  CHECK(size <= limits::check_report_bytes_max);
  std::string bytes(size, '\0');
  if (pread(descriptor, bytes.data(), size, 0) != static_cast<ssize_t>(size))
    return Error{std::string("pread: ") + std::strerror(errno)};
  return bytes;
}

}  // namespace

Result<void> Preparation::start(const std::string& config_path, const Prepared& running,
                                const ScriptsOrder* order) {
  CHECK(!active_);
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return Error{fmt::format("the check cannot be started: socketpair: {}", std::strerror(errno))};
  UniqueFd ours(pair[0]);
  UniqueFd const theirs(pair[1]);
  deadline_ms_ = running.config.hunts.check_deadline_ms;
  int64_t const end_at_ms = monotonic_ms() + deadline_ms_;
  pid_t const parent_pid = getpid();
  pid_t const pid = fork();
  if (pid < 0)
    return Error{fmt::format("the check cannot be started: fork: {}", std::strerror(errno))};
  if (pid == 0) {
    begin_child(parent_pid, "huntd-check", false);
    run_check(config_path, running, theirs.get(), order, end_at_ms);
  }
  active_ = true;
  pid_ = pid;
  socket_ = std::move(ours);
  report_.reset();
  bundle_.reset();
  config_path_ = config_path;
  progress_ = "starting";
  end_reason_.clear();
  deadline_at_ms_ = end_at_ms + report_grace_ms;
  return {};
}

void Preparation::take_packets() {
  for (int i = 0; i < packets_per_call_max && socket_.valid(); ++i) {
    char packet[packet_bytes_max];
    iovec iov{packet, sizeof packet};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    DescriptorRoom<2> room;
    header.msg_control = room.bytes;
    header.msg_controllen = sizeof room.bytes;
    ssize_t const length = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (length < 0) return;
    // The process has closed its end: SIGCHLD follows.
    if (length == 0) return socket_.reset();
    if (packet[0] == static_cast<char>(Packet::report))
      take_descriptors(header, report_, bundle_);
    else
      progress_.assign(packet + 1, static_cast<size_t>(length) - 1);
  }
}

std::optional<Result<ReloadContent>> Preparation::receive(int64_t now_ms) {
  if (!active_) return std::nullopt;
  take_packets();
  if (report_.valid()) {
    Result<ReloadContent> content = read_report();
    if (content) {
      Result<Bundle> bundle = open_bundle(bundle_.release());
      if (bundle)
        content->bundle = std::move(*bundle);
      else
        content = bundle.error();
    }
    kill();
    return content;
  }
  if (!end_reason_.empty()) {
    std::string const reason = end_reason_;
    kill();
    return Error{
        fmt::format("the check process ended without a result ({}); it was {}", reason, progress_)};
  }
  if (now_ms < deadline_at_ms_) return std::nullopt;
  kill();
  return Error{
      fmt::format("the check did not end within {} ms (hunts.check_deadline_ms); it was {}",
                  deadline_ms_, progress_)};
}

// Without the bundle.
Result<ReloadContent> Preparation::read_report() const {
  Result<std::string> const bytes = read_memory(report_.get());
  if (!bytes) return bytes.error();
  WireReader reader(*bytes);
  auto const found = reader.number<Found>();
  if (found == Found::error) return Error{std::string(reader.text())};
  ReloadContent content;
  content.skipped_files = read_texts(reader);
  content.odds = reader.text();
  content.scripts_only = found == Found::scripts;
  if (content.scripts_only) return content;
  // The check process has parsed the same text.
  Result<Config> config = parse_config(std::string(reader.text()), config_path_);
  if (!config) return config.error();
  content.config = std::move(*config);
  content.redis_logins = read_redis_logins(reader);
  content.secrets = read_secrets(reader);
  content.waiting_keys = read_texts(reader);
  return content;
}

void Preparation::on_end(const EndedChild& child) {
  if (child.pid != pid_) return;
  pid_ = -1;
  end_reason_ = child.reason;
}

void Preparation::kill() {
  // Until on_end() the pid is that of our child, which may have ended.
  if (pid_ > 0) ::kill(pid_, SIGKILL);
  pid_ = -1;
  active_ = false;
  socket_.reset();
  report_.reset();
  bundle_.reset();
}

}  // namespace huntd::server
