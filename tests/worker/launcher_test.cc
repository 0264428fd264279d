// SPDX-License-Identifier: Apache-2.0
#include "worker/launcher.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace {

using huntd::UniqueFd;

std::vector<pid_t> children;
std::vector<pid_t> killed;  // by the launcher

// A launcher_call without a gate, which records kills.
long plain_call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e) {
  if (number == SYS_kill) killed.push_back(static_cast<pid_t>(a));
  return syscall(number, a, b, c, d, e, 0);
}

// Starts a child. Its "hunter_id" says what it does: "stay"; "read", exit with the size of the
// first packet on its socket, 0 if there is none; or exit with that status.
int fork_child(launcher*, const spawner_request* request, const char* hunter_id, const char*,
               launch* launch) {
  std::string const task(hunter_id, request->hunter_bytes);
  if (task == "fail") return EAGAIN;
  launch->started_at_ns = 7;
  launch->pid = fork();
  if (launch->pid == 0) {
    if (task == "stay")
      for (;;) pause();
    char packet[64];
    if (task == "read")
      _exit(static_cast<int>(
          std::max<ssize_t>(recv(launch->pair[1], packet, sizeof packet, MSG_DONTWAIT), 0)));
    _exit(std::stoi(task));
  }
  children.push_back(launch->pid);
  return 0;
}

// The core's side of a launcher that runs in this thread.
class Core {
 public:
  Core() {
    launcher_->call = plain_call;
    launcher_->start = fork_child;
    launcher_->bundle = -1;
    killed.clear();
    children.clear();
  }
  void request(uint32_t kind, uint32_t slot, uint32_t run, const std::string& hunter_id = "",
               uint32_t new_socket = 1) {
    spawner_request const request{
        kind, slot, run, new_socket, static_cast<uint32_t>(hunter_id.size()), 0};
    packet_.append(reinterpret_cast<const char*>(&request), sizeof request);
    packet_ += hunter_id;
  }
  // Runs the launcher on the requests so far, as one packet. Its reports are in `reports`.
  void run() {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    ours_ = UniqueFd(pair[0]);
    theirs_ = UniqueFd(pair[1]);
    launcher_->core_socket = theirs_.get();
    launcher_->core_gone = 0;
    ssize_t const bytes = static_cast<ssize_t>(packet_.size());
    REQUIRE(send(ours_.get(), packet_.data(), packet_.size(), 0) == bytes);
    packet_.clear();
    shutdown(ours_.get(), SHUT_WR);
    launcher_run(launcher_.get());
    read_packets();
  }
  void end() { launcher_end(launcher_.get()); }
  // Waits for the children that are left. Their ends are in `reports`.
  void collect() {
    launcher_collect(launcher_.get(), 0);
    read_packets();
    for (unsigned i = 0; i < launcher_->report_count; ++i) reports.push_back(launcher_->reports[i]);
    launcher_->report_count = 0;
  }
  // The reports of one kind.
  std::vector<spawner_report> of_kind(uint32_t kind) const {
    std::vector<spawner_report> found;
    std::copy_if(reports.begin(), reports.end(), std::back_inserter(found),
                 [kind](const spawner_report& report) { return report.kind == kind; });
    return found;
  }

  std::vector<spawner_report> reports;
  std::vector<UniqueFd> sockets;  // that came with them
  size_t packets = 0;

 private:
  void read_packets() {
    while (read_packet()) {
    }
  }

  bool read_packet() {
    spawner_report packet[launcher_reports_max];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec iov{packet, sizeof packet};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t const got = recvmsg(ours_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got <= 0) return false;
    ++packets;
    reports.insert(reports.end(), packet, packet + static_cast<size_t>(got) / sizeof packet[0]);
    if (cmsghdr* const c = CMSG_FIRSTHDR(&header); c != nullptr) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
      sockets.emplace_back(descriptor);
    }
    return true;
  }

  std::unique_ptr<launcher> launcher_ = std::make_unique<launcher>();
  UniqueFd ours_;  // kept until the next run(): collect() reports too
  UniqueFd theirs_;
  std::string packet_;
};

}  // namespace

TEST_CASE("each start is reported in order, a failed one with its errno") {
  Core core;
  core.request(SPAWNER_START, 3, 1, "0");
  core.request(SPAWNER_START, 1, 5, "fail");
  core.request(SPAWNER_START, 2, 1, "0");
  core.run();
  core.collect();
  std::vector<spawner_report> const started = core.of_kind(SPAWNER_STARTED);
  REQUIRE(started.size() == 3);
  CHECK(started[0].slot == 3);
  CHECK(started[0].run == 1);
  CHECK(started[0].started_at_ns == 7);
  CHECK(started[1].slot == 1);
  CHECK(started[1].run == 5);
  CHECK(started[1].spawn_errno == EAGAIN);
  CHECK(started[2].slot == 2);
  CHECK(core.of_kind(SPAWNER_ENDED).size() == 2);
}

TEST_CASE("each exit is reported, with its slot, its run and its status") {
  Core core;
  core.request(SPAWNER_START, 0, 8, "9");
  core.request(SPAWNER_START, 4, 2, "0");
  core.run();
  core.collect();
  std::vector<spawner_report> ended = core.of_kind(SPAWNER_ENDED);
  REQUIRE(ended.size() == 2);
  if (ended[0].slot == 4) std::swap(ended[0], ended[1]);
  CHECK(ended[0].slot == 0);
  CHECK(ended[0].run == 8);
  CHECK(WEXITSTATUS(ended[0].wait_status) == 9);
  CHECK(ended[1].slot == 4);
  CHECK(ended[1].run == 2);
  CHECK(ended[1].wait_status == 0);
}

TEST_CASE("the workers of a slot have one socket, unless the core asks for a new one") {
  Core core;
  for (uint32_t run = 1; run <= 3; ++run) {
    core.request(SPAWNER_START, 0, run, "0", run == 1);
    core.run();
    core.collect();
    CHECK(core.sockets.size() == 1);
  }
  core.request(SPAWNER_START, 0, 4, "0", 1);
  core.run();
  core.collect();
  CHECK(core.sockets.size() == 2);
  char byte;
  CHECK(recv(core.sockets[0].get(), &byte, 1, MSG_DONTWAIT) == 0);  // the old pair is closed
  CHECK(core.of_kind(SPAWNER_ENDED).size() == 4);
}

TEST_CASE("a worker does not get what the last one of its slot did not read") {
  Core core;
  core.request(SPAWNER_START, 0, 1, "0");
  core.run();
  core.collect();
  REQUIRE(core.sockets.size() == 1);
  for (const char* packet : {"seventh", "another"})
    REQUIRE(send(core.sockets[0].get(), packet, std::strlen(packet), 0) >= 0);
  core.request(SPAWNER_START, 0, 2, "read", 0);
  core.run();
  core.collect();
  std::vector<spawner_report> const ended = core.of_kind(SPAWNER_ENDED);
  REQUIRE(ended.size() == 2);
  CHECK(ended[1].wait_status == 0);
}

TEST_CASE("a start with a socket that the core has shut down fails") {
  Core core;
  core.request(SPAWNER_START, 0, 1, "0");
  core.run();
  core.collect();
  REQUIRE(core.sockets.size() == 1);
  shutdown(core.sockets[0].get(), SHUT_WR);
  core.request(SPAWNER_START, 0, 2, "0", 0);
  core.run();
  core.collect();
  CHECK(core.of_kind(SPAWNER_STARTED).at(1).spawn_errno == EPIPE);
  CHECK(children.size() == 1);
}

TEST_CASE("a slot above the bound does not keep its socket") {
  Core core;
  core.request(SPAWNER_START, SPAWNER_KEPT_SLOTS, 1, "0");
  core.request(SPAWNER_START, SPAWNER_KEPT_SLOTS - 1, 1, "0");
  core.run();
  core.collect();
  REQUIRE(core.sockets.size() == 2);
  char byte;
  CHECK(recv(core.sockets[0].get(), &byte, 1, MSG_DONTWAIT) == 0);
  CHECK(recv(core.sockets[1].get(), &byte, 1, MSG_DONTWAIT) < 0);
}

TEST_CASE("workers that are left at its end are killed") {
  Core core;
  core.request(SPAWNER_START, 0, 1, "stay");
  core.run();
  core.end();
  CHECK(killed == children);
}

TEST_CASE("a start in a slot ends a worker that the core gave up") {
  Core core;
  core.request(SPAWNER_START, 0, 1, "stay");
  core.request(SPAWNER_START, 0, 2, "0");
  core.run();
  core.collect();
  CHECK(killed == std::vector<pid_t>{children[0]});
  std::vector<spawner_report> const ended = core.of_kind(SPAWNER_ENDED);
  REQUIRE(ended.size() == 2);
  CHECK(ended[0].run == 1);
  CHECK(WTERMSIG(ended[0].wait_status) == SIGKILL);
  CHECK(ended[1].run == 2);
  CHECK(ended[1].wait_status == 0);
}

TEST_CASE("reports of many starts and exits share packets") {
  Core core;
  constexpr uint32_t starts = 4 * launcher_reports_max;
  for (uint32_t slot = 0; slot < starts; ++slot) core.request(SPAWNER_START, slot, 1, "0");
  core.run();
  core.collect();
  size_t const with_sockets = core.packets;
  for (uint32_t slot = 0; slot < starts; ++slot) core.request(SPAWNER_START, slot, 2, "0", 0);
  core.run();
  core.collect();
  CHECK(core.of_kind(SPAWNER_STARTED).size() == 2 * starts);
  CHECK(core.of_kind(SPAWNER_ENDED).size() == 2 * starts);
  CHECK(core.packets - with_sockets <= 2 * starts / launcher_reports_max + 1);
}

TEST_CASE("a worker is killed on request") {
  Core core;
  core.request(SPAWNER_START, 6, 3, "stay");
  core.request(SPAWNER_KILL, 6, 3);
  core.run();
  core.collect();
  CHECK(killed == children);
  std::vector<spawner_report> const ended = core.of_kind(SPAWNER_ENDED);
  REQUIRE(ended.size() == 1);
  CHECK(WTERMSIG(ended[0].wait_status) == SIGKILL);
}

TEST_CASE("a kill reaches no other worker than the one that it is about") {
  Core core;
  core.request(SPAWNER_START, 0, 1, "0");
  core.run();
  core.collect();
  core.request(SPAWNER_KILL, 0, 1);  // it has exited
  core.request(SPAWNER_START, 0, 2, "0", 0);
  core.request(SPAWNER_KILL, 0, 1);
  core.request(SPAWNER_KILL, 1, 0);  // nothing was started there
  core.run();
  core.collect();
  CHECK(killed.empty());
  CHECK(core.of_kind(SPAWNER_ENDED).size() == 2);
}

TEST_CASE("it replies to a ping after the reports before it") {
  Core core;
  core.request(SPAWNER_START, 0, 1, "0");
  core.request(SPAWNER_PING, 0, 0);
  core.run();
  core.collect();
  REQUIRE(core.reports.size() >= 2);
  CHECK(core.reports[0].kind == SPAWNER_STARTED);
  CHECK(core.of_kind(SPAWNER_PONG).size() == 1);
}
