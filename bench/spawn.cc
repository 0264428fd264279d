// Births a second: hunt_worker with a job, from posix_spawn to its outcome and its end, beside an
// empty static program, by one thread. Also with LuaJIT's compiler on, and what that gains for a
// script that computes (docs/decisions: the JIT is off).
//   build/release/bench/bench_spawn [--json]
#include <fcntl.h>
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

#include "bundle/bundle.h"
#include "bundle/check.h"
#include "protocol/worker_frame.h"

using namespace huntd;

namespace {

constexpr size_t turns = 3;
constexpr double turn_s = 1.0;
// Two million rounds of whole-number arithmetic: what a compiler is best at.
constexpr const char* computing_script =
    "return function() local x = 0 for i = 1, 2e6 do x = (x * 31 + i) % 1000003 end return x end";

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "bench_spawn: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

pid_t spawn(const char* path, posix_spawn_file_actions_t* actions) {
  char name[] = "hunt_worker";
  char hunter[] = "ada";
  char* const argv[] = {name, hunter, nullptr};
  char* const environment[] = {nullptr};
  pid_t pid = -1;
  errno = posix_spawn(&pid, path, actions, nullptr, argv, environment);
  if (errno != 0) die(path);
  return pid;
}

void collect(pid_t pid) {
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) die("waitpid");
  if (status != 0) die("a program ended badly");
}

// One hunt; how long its script ran, in seconds.
double run_worker(const char* path, const Bundle& bundle) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) die("socketpair");
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
  static char frame[WF_FRAME_BYTES_MAX];
  size_t const size = wf_write_job(frame, sizeof frame, &job);
  if (send(pair[0], frame, size, 0) != static_cast<ssize_t>(size)) die("send");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pair[1], WF_SOCKET_DESCRIPTOR);
  posix_spawn_file_actions_adddup2(&actions, bundle.descriptor(), WF_BUNDLE_DESCRIPTOR);
  pid_t const pid = spawn(path, &actions);
  posix_spawn_file_actions_destroy(&actions);
  close(pair[1]);
  ssize_t const got = recv(pair[0], frame, sizeof frame, 0);
  wf_reader reader;
  wf_outcome outcome;
  if (got <= 0 || wf_open(&reader, frame, static_cast<size_t>(got)) != WF_OUTCOME ||
      wf_read_outcome(&reader, &outcome) == 0 || outcome.status != WF_OK)
    die("the worker gave no good outcome");
  close(pair[0]);
  collect(pid);
  return static_cast<double>(outcome.script_done_at_ns - outcome.vm_ready_at_ns) / 1e9;
}

double births_per_s(const std::function<void()>& birth) {
  double const begin = now_s();
  double passed_s = 0;
  size_t count = 0;
  for (; passed_s < turn_s; passed_s = now_s() - begin, ++count) birth();
  return static_cast<double>(count) / passed_s;
}

double median(std::array<double, turns> values) {
  std::sort(values.begin(), values.end());
  return values[turns / 2];
}

// Of one script's run, in seconds, without the birth.
double script_p50_s(const char* path, const Bundle& bundle) {
  std::array<double, 101> runs{};
  for (double& run : runs) run = run_worker(path, bundle);
  std::sort(runs.begin(), runs.end());
  return runs[runs.size() / 2];
}

// Checked by the program that will run it, since an image is good for that alone.
Bundle bundle_of(const std::string& source, const char* worker_path) {
  Result<Bundle> sources = make_bundle({{"hunt", source}});
  if (!sources) die(sources.error().message);
  Result<Bundle> bundle = check_bundle(*sources, "", worker_path, 20'000, 32 * 1024 * 1024);
  if (!bundle) die(bundle.error().message);
  return std::move(*bundle);
}

struct Figure {
  const char* name;
  double value;
  const char* unit;
  double bar;  // 0: none
  bool ok;
};

}  // namespace

int main(int argc, char** argv) {
  bool const json = argc == 2 && std::strcmp(argv[1], "--json") == 0;
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: bench_spawn [--json]\n");
    return 2;
  }
  // Descriptors 3 and 4 stay taken: a socket or bundle of ours must not have the number that the
  // worker finds its own at.
  while (open("/dev/null", O_RDONLY | O_CLOEXEC) < 16) {
  }
  std::ifstream file(SPAWN_SCRIPT);
  std::ostringstream source;
  source << file.rdbuf();
  if (!file) die(SPAWN_SCRIPT);
  Bundle const sample = bundle_of(source.str(), SPAWN_WORKER);
  Bundle const sample_for_jit = bundle_of(source.str(), SPAWN_WORKER_JIT);
  Bundle const computing = bundle_of(computing_script, SPAWN_WORKER);
  Bundle const computing_for_jit = bundle_of(computing_script, SPAWN_WORKER_JIT);

  std::array<double, turns> floor{}, worker{}, worker_jit{}, computes_s{}, computes_jit_s{};
  for (size_t i = 0; i < turns; ++i) {  // by turns, so that a noisy moment hits all
    floor[i] = births_per_s([] { collect(spawn(SPAWN_FLOOR, nullptr)); });
    worker[i] = births_per_s([&] { run_worker(SPAWN_WORKER, sample); });
    worker_jit[i] = births_per_s([&] { run_worker(SPAWN_WORKER_JIT, sample_for_jit); });
    computes_s[i] = run_worker(SPAWN_WORKER, computing);
    computes_jit_s[i] = run_worker(SPAWN_WORKER_JIT, computing_for_jit);
  }
  double const sample_s = script_p50_s(SPAWN_WORKER, sample);
  double const sample_jit_s = script_p50_s(SPAWN_WORKER_JIT, sample_for_jit);
  double const ratio = median(worker) / median(floor);
  Figure const figures[] = {
      {"floor", median(floor), "births/s", 0, true},
      {"hunt_worker", median(worker), "births/s", 0, true},
      {"hunt_worker_of_floor", ratio, "x", 0, true},
      {"hunt_worker_jit", median(worker_jit), "births/s", 0, true},
      {"sample_script", sample_s * 1e6, "us", 0, true},
      {"sample_script_jit", sample_jit_s * 1e6, "us", 0, true},
      {"computing", median(computes_s) * 1000, "ms", 0, true},
      {"computing_jit", median(computes_jit_s) * 1000, "ms", 0, true},
  };
  if (json) std::printf(R"({"bench":"spawn","figures":[)");
  for (const Figure& figure : figures) {
    if (json) {
      char bar[32] = "null";
      if (figure.bar > 0) std::snprintf(bar, sizeof bar, "%g", figure.bar);
      std::printf(R"(%s{"name":"%s","value":%.3f,"unit":"%s","bar":%s,"ok":%s})",
                  &figure == figures ? "" : ",", figure.name, figure.value, figure.unit, bar,
                  figure.ok ? "true" : "false");
    } else {
      std::printf("%-22s %10.2f %s\n", figure.name, figure.value, figure.unit);
    }
  }
  if (json) std::printf("]}\n");
  return 0;
}
