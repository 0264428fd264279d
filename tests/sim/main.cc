// sim --seed S: one run, told. sim --seeds N | --seconds T [--first S] [--jobs J]: many, each in a
// process of its own, so that one that crashes is one that failed. Exit 1 where any failed.
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <thread>

#include "box.h"
#include "world.h"

using namespace huntd::sim;

namespace {

struct Summary {
  uint64_t seed = 0;
  uint64_t simulated_ns = 0;
  uint64_t events = 0;
  uint64_t faults = 0;
  uint64_t answers = 0;
  uint64_t awards = 0;
  uint64_t repeated = 0;
  uint64_t out_of_order = 0;
  uint64_t taken_over = 0;
  uint64_t voided = 0;
  uint64_t digest = 0;
  char violation[400] = {};  // the first; empty: none
};

Summary run_seed(uint64_t seed, bool traced) {
  World world(seed, traced);
  Plan plan = draw_plan(world.random);
  world.trace("seed {}: {} cores, {} clients, {} s, isolation {}, kafka {}", seed, plan.cores,
              plan.clients, plan.load_ns / s, plan.config.worker.isolation, plan.kafka);
  uint64_t const began_ns = world.now_ns();
  // Never destroyed: dead cores' coroutines point into it.
  auto* box = new Box(world, std::move(plan));
  box->run();
  Summary summary;
  summary.seed = seed;
  summary.simulated_ns = world.now_ns() - began_ns;
  summary.events = world.events();
  for (const auto& [name, count] : world.faults()) summary.faults += count;
  summary.answers = box->books().answers();
  summary.awards = box->books().awards();
  summary.repeated = box->books().repeated_events();
  summary.out_of_order = box->books().out_of_order();
  summary.taken_over = box->books().taken_over();
  summary.voided = box->books().voided();
  summary.digest = world.digest();
  if (world.violated())
    std::snprintf(summary.violation, sizeof summary.violation, "%s",
                  world.violations().front().c_str());
  if (traced) {
    for (const auto& [name, count] : world.faults()) std::printf("%8lu  %s\n", count, name.c_str());
    for (const std::string& violation : world.violations())
      std::printf("VIOLATION %s\n", violation.c_str());
  }
  return summary;
}

struct Child {
  pid_t pid;
  int reads;
  uint64_t seed;
};

Child start_child(uint64_t seed) {
  int ends[2];
  if (pipe(ends) != 0) std::perror("pipe"), std::exit(1);
  std::fflush(nullptr);
  pid_t const pid = fork();
  if (pid < 0) std::perror("fork"), std::exit(1);
  if (pid == 0) {
    close(ends[0]);
    // What cores log is for `--seed`.
    int const nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    Summary const summary = run_seed(seed, false);
    bool const told = write(ends[1], &summary, sizeof summary) == sizeof summary;
    _exit(told ? 0 : 1);
  }
  close(ends[1]);
  return {pid, ends[0], seed};
}

Summary collect(const Child& child) {
  Summary summary;
  summary.seed = child.seed;
  bool const whole = read(child.reads, &summary, sizeof summary) == sizeof summary;
  close(child.reads);
  int status = 0;
  waitpid(child.pid, &status, 0);
  if (!whole) {
    summary = Summary();
    summary.seed = child.seed;
    std::snprintf(summary.violation, sizeof summary.violation, "the run crashed: %s %d",
                  WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit status",
                  WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
  }
  return summary;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The cores' logic on virtual time, against a model that keeps the books");
  uint64_t seed = 0;
  uint64_t first = 1;
  uint64_t seeds = 0;
  double seconds = 0;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  bool stop_at_first = false;
  auto* one = app.add_option("--seed", seed, "run this one and tell everything");
  app.add_option("--first", first, "the first seed of many");
  auto* many = app.add_option("--seeds", seeds, "so many");
  app.add_option("--seconds", seconds, "as many as fit (default 120)")->excludes(many);
  app.add_option("--jobs", jobs, "so many at a time")->check(CLI::Range(1U, 1024U));
  app.add_flag("--stop", stop_at_first, "at the first that fails");
  CLI11_PARSE(app, argc, argv);

  if (*one) {
    Summary const summary = run_seed(seed, true);
    std::printf(
        "seed %lu: %.1f s, %lu events, %lu faults, %lu answers, %lu awards, digest %016lx\n", seed,
        static_cast<double>(summary.simulated_ns) / 1e9, summary.events, summary.faults,
        summary.answers, summary.awards, summary.digest);
    std::fflush(nullptr);
    _exit(summary.violation[0] == '\0' ? 0 : 1);
  }

  using Clock = std::chrono::steady_clock;
  if (!*many && seconds <= 0) seconds = 120;
  auto const until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(seconds));
  uint64_t next = first;
  uint64_t ran = 0;
  uint64_t failed = 0;
  Summary sum;
  std::vector<Child> running;
  auto const more = [&] {
    if (stop_at_first && failed > 0) return false;
    return *many ? next < first + seeds : Clock::now() < until;
  };
  while (more() || !running.empty()) {
    while (running.size() < jobs && more()) running.push_back(start_child(next++));
    std::vector<pollfd> waits;
    for (const Child& child : running) waits.push_back({child.reads, POLLIN, 0});
    if (waits.empty()) continue;
    poll(waits.data(), waits.size(), -1);
    for (size_t i = waits.size(); i-- > 0;) {
      if (waits[i].revents == 0) continue;
      Summary const summary = collect(running[i]);
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      ++ran;
      sum.simulated_ns += summary.simulated_ns;
      sum.events += summary.events;
      sum.faults += summary.faults;
      sum.answers += summary.answers;
      sum.awards += summary.awards;
      sum.repeated += summary.repeated;
      sum.out_of_order += summary.out_of_order;
      sum.taken_over += summary.taken_over;
      sum.voided += summary.voided;
      if (summary.violation[0] == '\0') continue;
      ++failed;
      std::printf("FAILED seed %lu: %s\n", summary.seed, summary.violation);
      std::fflush(stdout);
    }
  }
  // A failing seed is of use only where it fails again: two runs of one seed are the same run.
  uint64_t const digest = collect(start_child(first)).digest;
  if (digest != collect(start_child(first)).digest) {
    ++failed;
    std::printf("FAILED seed %lu: two runs of it differ\n", first);
  }
  std::printf(
      "%lu seeds from %lu: %.2f hours simulated, %lu faults, %lu events, %lu answers, %lu awards, "
      "%lu repeated in the topic (%lu late behind another core's), %lu units taken over, %lu "
      "requests "
      "voided, %lu failed\n",
      ran, first, static_cast<double>(sum.simulated_ns) / 3.6e12, sum.faults, sum.events,
      sum.answers, sum.awards, sum.repeated, sum.out_of_order, sum.taken_over, sum.voided, failed);
  return failed == 0 ? 0 : 1;
}
