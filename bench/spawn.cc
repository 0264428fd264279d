// SPDX-License-Identifier: Apache-2.0
// Worker starts per second, all on one CPU: hunt_worker with one job, from its start to its outcome
// and its exit. Started by the spawner and by a zygote, with the requests that a core sends;
// compared with a plain posix_spawn loop of the same binary and of an empty static program. And
// hunts in tasks of holders, compared with a bare clone loop.
//   build/release/bench/bench_spawn [--json]
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <span>
#include <sstream>
#include <string>
#include <vector>

#include "base/scm_rights.h"
#include "bundle/bundle.h"
#include "bundle/check.h"
#include "bundle/hunt_job.h"
#include "bundle/worker_program.h"
#include "linux/spawner.h"
#include "wire/spawner_message.h"
#include "wire/worker_frame.h"
#include "worker/launcher.h"

using namespace huntd;
using namespace huntd::server;

namespace {

constexpr size_t rounds = 5;
constexpr double round_s = 1.0;
constexpr uint64_t memory_bytes = 32 * 1024 * 1024;  // of a hunt
constexpr uint32_t slots = 16;  // workers alive at the same time, as in a busy core

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_spawn: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// --- a plain loop -------------------------------------------------------------------------------

pid_t spawn(const std::string& path, posix_spawn_file_actions_t* actions) {
  char name[] = "hunt_worker";
  char hunter[] = "ada";
  char* const argv[] = {name, hunter, nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  errno = posix_spawn(&pid, path.c_str(), actions, nullptr, argv, environment);
  if (errno != 0) die(path);
  return pid;
}

void collect(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) die("waitpid");
  if (status != 0) die("a program failed");
}

std::string job_frame(const Bundle& bundle) {
  const BundledHunt& hunt = bundle.hunts().front();
  wf_job job = hunt_job(hunt, memory_bytes);
  job.seed[0] = 1;
  job.hunter_id = {"ada", 3};
  std::string frame(WF_FRAME_BYTES_MAX, '\0');
  frame.resize(wf_write_job(frame.data(), frame.size(), &job));
  return frame;
}

void check_outcome(const char* frame, ssize_t got) {
  wf_reader reader;
  wf_outcome outcome;
  if (got <= 0 || wf_open(&reader, frame, static_cast<size_t>(got)) != WF_OUTCOME ||
      wf_read_outcome(&reader, &outcome) == 0 || outcome.status != WF_OK)
    die("the worker did not report success");
}

// One hunt by posix_spawn alone.
void run_bare(const std::string& path, const Bundle& bundle, const std::string& job) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) die("socketpair");
  if (send(pair[0], job.data(), job.size(), 0) != static_cast<ssize_t>(job.size())) die("send");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pair[1], WF_SOCKET_DESCRIPTOR);
  posix_spawn_file_actions_adddup2(&actions, bundle.descriptor(), WF_BUNDLE_DESCRIPTOR);
  pid_t const pid = spawn(path, &actions);
  posix_spawn_file_actions_destroy(&actions);
  close(pair[1]);
  static char frame[WF_FRAME_BYTES_MAX];
  check_outcome(frame, recv(pair[0], frame, sizeof frame, 0));
  close(pair[0]);
  collect(pid);
}

// --- with the requests of a core ----------------------------------------------------------------

// Requests `slots` workers at a time from a spawner or a zygote and waits for the exit of each.
class Launcher {
 public:
  explicit Launcher(int socket) : socket_(socket) {}

  void use_bundle(int descriptor) {
    spawner_request const request{SPAWNER_USE_BUNDLE, 0, 0, 0, 0, 0};
    iovec iov{const_cast<spawner_request*>(&request), sizeof request};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    DescriptorRoom<1> room;
    attach_descriptors(header, room, &descriptor, 1);
    if (sendmsg(socket_, &header, 0) < 0) die("the spawner");
  }

  // Starts a zygote and returns its socket.
  int zygote() {
    spawner_request const request{SPAWNER_ZYGOTE, 1, 0, 0, 0, 0};
    if (send(socket_, &request, sizeof request, 0) < 0) die("the spawner");
    int descriptor = -1;
    if (receive(descriptor).at(0).kind != SPAWNER_ZYGOTE || descriptor < 0) die("the zygote");
    return descriptor;
  }

  // Starts a holder and returns its socket.
  int holder(uint32_t slot) {
    spawner_request const request{SPAWNER_HOLDER, slot, 1, 1, 0, sizeof(holder_start)};
    holder_start const first{0, 1, memory_bytes};
    std::string packet(reinterpret_cast<const char*>(&request), sizeof request);
    packet.append(reinterpret_cast<const char*>(&first), sizeof first);
    if (send(socket_, packet.data(), packet.size(), 0) < 0) die("the spawner");
    int descriptor = -1;
    spawner_report const report = receive(descriptor).at(0);
    if (report.kind != SPAWNER_STARTED || report.spawn_errno != 0) die("the holder");
    return descriptor;
  }

  // In the first slots; the first time with new sockets.
  void run_all(const std::string& job) {
    std::string packet;
    ++run_;
    for (uint32_t slot = 0; slot < slots; ++slot) {
      spawner_request const request{SPAWNER_START,      slot, run_,
                                    sockets_[slot] < 0, 3,    static_cast<uint32_t>(job.size())};
      packet.append(reinterpret_cast<const char*>(&request), sizeof request);
      packet += "ada" + job;
    }
    if (send(socket_, packet.data(), packet.size(), 0) < 0) die("the spawner");
    for (uint32_t ended = 0; ended < slots;) {
      int descriptor = -1;
      for (const spawner_report& report : receive(descriptor)) {
        if (report.spawn_errno != 0 || report.wait_status != 0) die("a start");
        if (descriptor >= 0) sockets_.at(report.slot) = descriptor;
        if (report.kind == SPAWNER_ENDED) ++ended;
      }
    }
    static char frame[WF_FRAME_BYTES_MAX];
    for (int socket : sockets_)
      check_outcome(frame, recv(socket, frame, sizeof frame, MSG_DONTWAIT));
  }

 private:
  // A packet of reports. `descriptor` is set if the packet has one.
  std::vector<spawner_report> receive(int& descriptor) {
    std::vector<spawner_report> reports(launcher_reports_max);
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec iov{reports.data(), reports.size() * sizeof reports[0]};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    ssize_t const got = recvmsg(socket_, &header, MSG_CMSG_CLOEXEC);
    if (got <= 0) die("the spawner's report");
    reports.resize(static_cast<size_t>(got) / sizeof reports[0]);
    if (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr)
      std::memcpy(&descriptor, CMSG_DATA(c), sizeof descriptor);
    return reports;
  }

  static std::array<int, slots> none() {
    std::array<int, slots> sockets;
    sockets.fill(-1);
    return sockets;
  }

  int socket_;
  uint32_t run_ = 0;
  std::array<int, slots> sockets_ = none();
};

// A job for each holder at a time, until each is clean again.
void run_tasks(std::span<const int> holders, const std::string& job) {
  for (int holder : holders)
    if (send(holder, job.data(), job.size(), 0) < 0) die("a job for a holder");
  static char frame[WF_FRAME_BYTES_MAX];
  for (int holder : holders) {
    check_outcome(frame, recv(holder, frame, sizeof frame, 0));
    wf_reader reader;
    wf_clean clean;
    ssize_t const got = recv(holder, frame, sizeof frame, 0);
    if (got <= 0 || wf_open(&reader, frame, static_cast<size_t>(got)) != WF_CLEAN ||
        wf_read_clean(&reader, &clean) == 0 || clean.wait_status != 0)
      die("a holder is not clean");
  }
}

// What TASK_FLOOR prints.
double floor_per_s(const char* loop) {
  std::string const command = std::string(TASK_FLOOR) + " " + loop + " " + std::to_string(round_s);
  FILE* const output = popen(command.c_str(), "r");
  double per_s = 0;
  if (output == nullptr || std::fscanf(output, "%lf", &per_s) != 1 || pclose(output) != 0)
    die(TASK_FLOOR);
  return per_s;
}

// --- measuring ----------------------------------------------------------------------------------

// How often `call`, which starts `starts` workers, can be made.
double starts_per_s(const std::function<void()>& call, uint32_t starts) {
  double const begin = now_s();
  double passed_s = 0;
  size_t count = 0;
  for (; passed_s < round_s; passed_s = now_s() - begin, count += starts) call();
  return static_cast<double>(count) / passed_s;
}

double median(std::array<double, rounds> values) {
  std::sort(values.begin(), values.end());
  return values[rounds / 2];
}

struct Figure {
  const char* name;
  double value;
  const char* unit;
  double target;  // the least; 0: none
};

// All processes share the last CPU, so that the time of each counts.
void pin_to_last_cpu() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) last = cpu;
  CPU_ZERO(&allowed);
  CPU_SET(last, &allowed);
  if (sched_setaffinity(0, sizeof allowed, &allowed) != 0) die("pinning");
}

void print(std::span<const Figure> figures, bool json) {
  if (json) std::printf(R"({"bench":"spawn","figures":[)");
  for (const Figure& figure : figures) {
    bool const ok = figure.value >= figure.target;
    if (json) {
      char target[32] = "null";
      if (figure.target > 0) std::snprintf(target, sizeof target, "%g", figure.target);
      std::printf(R"(%s{"name":"%s","value":%.3f,"unit":"%s","bar":%s,"ok":%s})",
                  &figure == figures.data() ? "" : ",", figure.name, figure.value, figure.unit,
                  target, ok ? "true" : "false");
    } else {
      std::printf("%-16s %10.2f %s%s\n", figure.name, figure.value, figure.unit,
                  ok ? "" : "  MISSED");
    }
  }
  if (json) std::printf("]}\n");
}

}  // namespace

int main(int argc, char** argv) {
  bool const json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: bench_spawn [--json]\n");
    return 2;
  }
  pin_to_last_cpu();
  // A socket or bundle of this process must not be at 3 or 4: a worker has its own there.
  while (open("/dev/null", O_RDONLY | O_CLOEXEC) < 16) {
  }
  std::ifstream file(SPAWN_SCRIPT);
  std::ostringstream source;
  source << file.rdbuf();
  if (!file) die(SPAWN_SCRIPT);
  Result<WorkerProgram> const worker = WorkerProgram::open(SPAWN_WORKER);
  if (!worker) die(worker.error().message);
  Result<Bundle> const sources = make_bundle({{"hunt", source.str()}});
  if (!sources) die(sources.error().message);
  Result<Bundle> const bundle =
      check_bundle(*sources, "", worker->exec_path(), 20'000, memory_bytes);
  if (!bundle) die(bundle.error().message);
  std::string const job = job_frame(*bundle);
  Result<Spawner> const spawned = fork_spawner(worker->descriptor());
  if (!spawned) die(spawned.error().message);
  Launcher spawner(spawned->socket);
  spawner.use_bundle(bundle->descriptor());
  Launcher zygote(spawner.zygote());
  std::array<int, slots> holders{};
  for (uint32_t i = 0; i < slots; ++i) holders[i] = spawner.holder(slots + i);

  std::array<double, rounds> empty{}, bare{}, by_spawner{}, by_zygote{}, in_tasks{}, clones{},
      forks{};
  for (size_t i = 0; i < rounds; ++i) {  // alternating, so that noise affects all alike
    empty[i] = starts_per_s([] { collect(spawn(SPAWN_FLOOR, nullptr)); }, 1);
    bare[i] = starts_per_s([&] { run_bare(SPAWN_WORKER, *bundle, job); }, 1);
    by_spawner[i] = starts_per_s([&] { spawner.run_all(job); }, slots);
    by_zygote[i] = starts_per_s([&] { zygote.run_all(job); }, slots);
    in_tasks[i] = starts_per_s([&] { run_tasks(holders, job); }, slots);
    clones[i] = floor_per_s("clone");
    forks[i] = floor_per_s("fork");
  }
  Figure const figures[] = {
      {"empty", median(empty), "starts/s", 0},
      {"bare", median(bare), "starts/s", 0},
      {"process", median(by_spawner), "starts/s", 0},
      {"fork", median(by_zygote), "starts/s", 0},
      {"tasks", median(in_tasks), "starts/s", 30'000},
      {"clone", median(clones), "starts/s", 0},
      {"bare_fork", median(forks), "starts/s", 0},
      {"ratio_bare", median(by_spawner) / median(bare), "x", 0.9},
      {"ratio_empty", median(by_spawner) / median(empty), "x", 0.75},
      {"fork_over_empty", median(by_zygote) / median(empty), "x", 0},
      {"fork_over_fork", median(by_zygote) / median(forks), "x", 0.6},
      {"task_over_clone", median(in_tasks) / median(clones), "x", 0.5},
  };
  print(figures, json);
  return 0;
}
