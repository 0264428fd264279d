// SPDX-License-Identifier: Apache-2.0
#include "worker/launcher.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

namespace {

std::vector<pid_t> children;
std::vector<pid_t> killed;  // by the launcher

// A launcher_call without a gate. Records kills, and sends them only to children of this test.
long plain_call(long number, uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e) {
  if (number == SYS_kill) {
    killed.push_back(static_cast<pid_t>(a));
    if (std::find(children.begin(), children.end(), killed.back()) == children.end()) return 0;
  }
  return syscall(number, a, b, c, d, e, 0);
}

// Starts a child. Its "hunter_id" says what it does: "stay", or exit with that status.
int fork_child(launcher*, const spawner_request* request, const char* hunter_id, const char*,
               launch* launch) {
  std::string const task(hunter_id, request->hunter_bytes);
  if (task == "fail") return EAGAIN;
  launch->started_at_ns = 7;
  launch->pid = fork();
  if (launch->pid == 0) {
    if (task == "stay")
      for (;;) pause();
    _exit(std::stoi(task));
  }
  children.push_back(launch->pid);
  launch->pidfd = static_cast<int>(syscall(SYS_pidfd_open, launch->pid, 0));
  return 0;
}

// The core's side of a launcher that runs in this thread.
class Core {
 public:
  Core() {
    int pair[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    socket_ = pair[0];
    launcher_->call = plain_call;
    launcher_->start = fork_child;
    launcher_->core_socket = pair[1];
    launcher_->bundle = -1;
    killed.clear();
  }
  ~Core() {
    close(socket_);
    close(launcher_->core_socket);
  }
  void send_request(uint32_t kind, uint32_t slot, pid_t pid, const std::string& hunter_id = "") {
    spawner_request const request{kind, slot, pid, static_cast<uint32_t>(hunter_id.size()), 0};
    packet_.append(reinterpret_cast<const char*>(&request), sizeof request);
    packet_ += hunter_id;
  }
  // Runs the launcher on the requests so far, as one packet, and returns its reports.
  std::vector<spawner_report> run() {
    REQUIRE(send(socket_, packet_.data(), packet_.size(), 0) ==
            static_cast<ssize_t>(packet_.size()));
    packet_.clear();
    shutdown(socket_, SHUT_WR);
    launcher_run(launcher_.get());
    std::vector<spawner_report> reports;
    spawner_report report;
    while (recv(socket_, &report, sizeof report, MSG_DONTWAIT) == sizeof report)
      reports.push_back(report);
    return reports;
  }
  launcher& state() { return *launcher_; }

 private:
  int socket_ = -1;
  std::unique_ptr<launcher> launcher_ = std::make_unique<launcher>();
  std::string packet_;
};

// Starts a child by the launcher's own start function, without a socket.
pid_t start_child(Core& core, const std::string& task) {
  spawner_request const request{SPAWNER_START, 0, 0, static_cast<uint32_t>(task.size()), 0};
  launch launch{};
  REQUIRE(fork_child(&core.state(), &request, task.data(), nullptr, &launch) == 0);
  close(launch.pidfd);
  ++core.state().live;
  return launch.pid;
}

void wait_until_exited(pid_t pid) {
  siginfo_t info;
  REQUIRE(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT) == 0);
}

}  // namespace

TEST_CASE("each start is reported in order, a failed one with its errno") {
  Core core;
  core.send_request(SPAWNER_START, 3, 0, "0");
  core.send_request(SPAWNER_START, 1, 0, "fail");
  core.send_request(SPAWNER_START, 2, 0, "0");
  std::vector<spawner_report> const reports = core.run();
  launcher_collect(&core.state(), 0);
  REQUIRE(reports.size() == 3);
  CHECK(reports[0].kind == SPAWNER_STARTED);
  CHECK(reports[0].slot == 3);
  CHECK(reports[0].pid > 0);
  CHECK(reports[0].started_at_ns == 7);
  CHECK(reports[1].spawn_errno == EAGAIN);
  CHECK(reports[1].pid == 0);
  CHECK(reports[2].slot == 2);
  CHECK(core.state().live == 0);
}

TEST_CASE("the exit status of a failed worker is reported once, of a successful one as 0") {
  Core core;
  pid_t const failed = start_child(core, "9");
  pid_t const succeeded = start_child(core, "0");
  wait_until_exited(failed);
  wait_until_exited(succeeded);
  core.send_request(SPAWNER_STATUS, 5, failed);
  core.send_request(SPAWNER_STATUS, 6, succeeded);
  core.send_request(SPAWNER_STATUS, 7, failed);
  std::vector<spawner_report> const reports = core.run();
  REQUIRE(reports.size() == 3);
  CHECK(reports[0].kind == SPAWNER_ENDED);
  CHECK(reports[0].slot == 5);
  CHECK(reports[0].pid == failed);
  CHECK(WEXITSTATUS(reports[0].wait_status) == 9);
  CHECK(reports[1].wait_status == 0);
  CHECK(reports[2].wait_status == 0);
}

TEST_CASE("a pid that came again has the status of its last process") {
  Core core;
  launcher& state = core.state();
  state.statuses[0] = {4242, 1 << 8};
  state.statuses[1] = {4242, 2 << 8};
  state.status_next = 2;
  core.send_request(SPAWNER_STATUS, 0, 4242);
  CHECK(WEXITSTATUS(core.run().at(0).wait_status) == 2);
}

TEST_CASE("statuses above the limit replace the oldest") {
  Core core;
  launcher& state = core.state();
  for (auto& status : state.statuses) status = {4242, 1 << 8};
  state.statuses[0] = {4243, 1 << 8};
  pid_t const failed = start_child(core, "5");
  wait_until_exited(failed);
  core.send_request(SPAWNER_STATUS, 0, failed);
  core.send_request(SPAWNER_STATUS, 1, 4243);
  std::vector<spawner_report> const reports = core.run();
  CHECK(WEXITSTATUS(reports.at(0).wait_status) == 5);
  CHECK(reports.at(1).wait_status == 0);
}

TEST_CASE("a child is killed on request") {
  Core core;
  pid_t const child = start_child(core, "stay");
  core.send_request(SPAWNER_KILL, 0, child);
  core.run();
  CHECK(killed == std::vector<pid_t>{child});
  launcher_collect(&core.state(), 0);
  CHECK(core.state().live == 0);
}

TEST_CASE("only a process that is still a child is killed") {
  Core core;
  pid_t const collected = start_child(core, "0");
  REQUIRE(waitpid(collected, nullptr, 0) == collected);
  --core.state().live;
  pid_t const bystander = start_child(core, "stay");  // -1 and 0 would reach it
  core.send_request(SPAWNER_KILL, 0, collected);
  core.send_request(SPAWNER_KILL, 0, getpid());
  core.send_request(SPAWNER_KILL, 0, -1);
  core.send_request(SPAWNER_KILL, 0, 0);
  core.run();
  CHECK(killed.empty());
  kill(bystander, SIGKILL);
  launcher_collect(&core.state(), 0);
}

TEST_CASE("a child that has exited before the kill keeps its status") {
  Core core;
  pid_t const child = start_child(core, "6");
  wait_until_exited(child);
  core.send_request(SPAWNER_KILL, 0, child);
  core.send_request(SPAWNER_STATUS, 0, child);
  std::vector<spawner_report> const reports = core.run();
  CHECK(killed.empty());
  CHECK(WEXITSTATUS(reports.at(0).wait_status) == 6);
  CHECK(core.state().live == 0);
}
