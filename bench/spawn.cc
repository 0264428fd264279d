// Births a second, all on one CPU: hunt_worker with a job from its birth to its outcome and its
// end, by the spawner and by a zygote as a core asks them, beside a bare posix_spawn loop of the
// same binary and of an empty static program.
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
#include <sstream>
#include <string>
#include <vector>

#include "base/scm_rights.h"
#include "bundle/bundle.h"
#include "bundle/check.h"
#include "bundle/worker_program.h"
#include "hunt/spawner.h"
#include "protocol/spawner_message.h"
#include "protocol/worker_frame.h"

using namespace huntd;

namespace {

constexpr size_t turns = 5;
constexpr double turn_s = 1.0;
constexpr uint32_t places = 16;  // workers alive at a time, as in a busy core

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_spawn: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// --- a bare loop --------------------------------------------------------------------------------

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
  if (status != 0) die("a program ended badly");
}

std::string job_frame(const Bundle& bundle) {
  const BundledHunt& hunt = bundle.hunts().front();
  wf_job job{};
  job.seed[0] = 1;
  job.memory_bytes = 32 * 1024 * 1024;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.image_offset = hunt.image_offset;
  job.image_bytes = hunt.image_bytes;
  job.hunt_id = {hunt.hunt_id.data(), static_cast<uint32_t>(hunt.hunt_id.size())};
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
    die("the worker gave no good outcome");
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

// --- as a core does it --------------------------------------------------------------------------

// Asks a spawner or a zygote for `places` workers at a time and sees each to its end.
class Bearer {
 public:
  explicit Bearer(int socket) : socket_(socket) {}

  void use_bundle(int descriptor) {
    spawner_request const request{SPAWNER_USE_BUNDLE, 0, 0, 0, 0};
    iovec iov{const_cast<spawner_request*>(&request), sizeof request};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    DescriptorRoom<1> room;
    attach_descriptors(header, room, &descriptor, 1);
    if (sendmsg(socket_, &header, 0) < 0) die("the spawner");
  }

  // The socket of a zygote that this spawner started.
  int zygote() {
    spawner_request const request{SPAWNER_ZYGOTE, 1, 0, 0, 0};
    if (send(socket_, &request, sizeof request, 0) < 0) die("the spawner");
    int descriptors[2] = {-1, -1};
    if (receive(descriptors).kind != SPAWNER_ZYGOTE || descriptors[0] < 0) die("the zygote");
    return descriptors[0];
  }

  void run_all(const std::string& job) {
    std::string packet;
    for (uint32_t place = 0; place < places; ++place) {
      spawner_request const request{SPAWNER_START, place, 0, 3, static_cast<uint32_t>(job.size())};
      packet.append(reinterpret_cast<const char*>(&request), sizeof request);
      packet += "ada" + job;
    }
    if (send(socket_, packet.data(), packet.size(), 0) < 0) die("the spawner");
    static char frame[WF_FRAME_BYTES_MAX];
    for (uint32_t i = 0; i < places; ++i) {
      int descriptors[2] = {-1, -1};
      spawner_report const report = receive(descriptors);
      if (report.kind != SPAWNER_STARTED || report.spawn_errno != 0) die("a birth");
      check_outcome(frame, recv(descriptors[0], frame, sizeof frame, 0));
      pollfd wait{descriptors[1], POLLIN, 0};
      while (poll(&wait, 1, -1) < 0)
        if (errno != EINTR) die("poll");
      close(descriptors[0]);
      close(descriptors[1]);
    }
  }

 private:
  spawner_report receive(int descriptors[2]) {
    spawner_report report{};
    alignas(cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))];
    iovec iov{&report, sizeof report};
    msghdr header{};
    header.msg_iov = &iov;
    header.msg_iovlen = 1;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    if (recvmsg(socket_, &header, MSG_CMSG_CLOEXEC) != sizeof report) die("the spawner's report");
    if (cmsghdr* c = CMSG_FIRSTHDR(&header); c != nullptr)
      std::memcpy(descriptors, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    return report;
  }

  int socket_;
};

// --- measuring ----------------------------------------------------------------------------------

// `births` of one call.
double births_per_s(const std::function<void()>& call, uint32_t births) {
  double const begin = now_s();
  double passed_s = 0;
  size_t count = 0;
  for (; passed_s < turn_s; passed_s = now_s() - begin, count += births) call();
  return static_cast<double>(count) / passed_s;
}

double median(std::array<double, turns> values) {
  std::sort(values.begin(), values.end());
  return values[turns / 2];
}

struct Figure {
  const char* name;
  double value;
  const char* unit;
  double bar;  // at least; 0: none
};

}  // namespace

int main(int argc, char** argv) {
  bool const json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: bench_spawn [--json]\n");
    return 2;
  }
  // Everything shares the last CPU: what two of them would hide counts.
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(cpu, &allowed)) last = cpu;
  CPU_ZERO(&allowed);
  CPU_SET(last, &allowed);
  if (sched_setaffinity(0, sizeof allowed, &allowed) != 0) die("pinning");

  // Descriptors 3 and 4 stay taken: a socket or bundle of ours must not have the number that the
  // worker finds its own at.
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
      check_bundle(*sources, "", worker->exec_path(), 20'000, 32 * 1024 * 1024);
  if (!bundle) die(bundle.error().message);
  std::string const job = job_frame(*bundle);
  Result<Spawner> const born = fork_spawner(worker->descriptor());
  if (!born) die(born.error().message);
  Bearer spawner(born->socket);
  spawner.use_bundle(bundle->descriptor());
  Bearer zygote(spawner.zygote());

  std::array<double, turns> empty{}, bare{}, by_spawner{}, by_zygote{};
  for (size_t i = 0; i < turns; ++i) {  // by turns, so that a noisy moment hits all
    empty[i] = births_per_s([] { collect(spawn(SPAWN_FLOOR, nullptr)); }, 1);
    bare[i] = births_per_s([&] { run_bare(SPAWN_WORKER, *bundle, job); }, 1);
    by_spawner[i] = births_per_s([&] { spawner.run_all(job); }, places);
    by_zygote[i] = births_per_s([&] { zygote.run_all(job); }, places);
  }
  Figure const figures[] = {
      {"empty", median(empty), "births/s", 0},
      {"bare", median(bare), "births/s", 0},
      {"process", median(by_spawner), "births/s", 0},
      {"fork", median(by_zygote), "births/s", 0},
      {"ratio_bare", median(by_spawner) / median(bare), "x", 0.9},
      {"ratio_empty", median(by_spawner) / median(empty), "x", 0.6},
      {"fork_over_empty", median(by_zygote) / median(empty), "x", 0},
  };
  if (json) std::printf(R"({"bench":"spawn","figures":[)");
  for (const Figure& figure : figures) {
    bool const ok = figure.value >= figure.bar;
    if (json) {
      char bar[32] = "null";
      if (figure.bar > 0) std::snprintf(bar, sizeof bar, "%g", figure.bar);
      std::printf(R"(%s{"name":"%s","value":%.3f,"unit":"%s","bar":%s,"ok":%s})",
                  &figure == figures ? "" : ",", figure.name, figure.value, figure.unit, bar,
                  ok ? "true" : "false");
    } else {
      std::printf("%-16s %10.2f %s%s\n", figure.name, figure.value, figure.unit,
                  ok ? "" : "  MISSED");
    }
  }
  if (json) std::printf("]}\n");
  return 0;
}
