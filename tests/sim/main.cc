// SPDX-License-Identifier: Apache-2.0
// sim --seed S: one run with its trace. sim --seeds N | --seconds T [--first S] [--jobs J]: many
// runs, each in its own process, so that a crash is a failed run. --hosts H: with so many hosts on
// one Redis. Exits with 1 if a run failed.
#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <thread>

#include "host.h"
#include "world.h"

using namespace huntd::server::sim;

namespace {

struct Summary {
  uint64_t seed = 0;
  uint64_t simulated_ns = 0;
  uint64_t events = 0;
  uint64_t faults = 0;
  uint64_t responses = 0;
  uint64_t awards = 0;
  uint64_t takes = 0;
  uint64_t repeated = 0;
  uint64_t out_of_order = 0;
  uint64_t voided = 0;
  uint64_t undone = 0;
  uint64_t generations = 0;
  uint64_t lost = 0;
  uint64_t digest = 0;
  char violation[400] = {};  // the first; empty: none
};

// `hosts` 0: as many as the seed draws.
Summary run_seed(uint64_t seed, uint32_t hosts, bool traced) {
  World world(seed, traced);
  Plan plan = draw_plan(world.random);
  if (hosts > 0) plan.hosts = hosts;
  world.trace("seed {}: {} hosts, {} cores each, {} clients, {} s, isolation {}, kafka {}", seed,
              plan.hosts, plan.cores, plan.clients, plan.load_ns / s, plan.config.worker.isolation,
              plan.kafka);
  uint64_t const started_ns = world.now_ns();
  // Never deleted: coroutines of dead cores point into it.
  auto* host = new Host(world, std::move(plan));
  host->run();
  Summary summary;
  summary.seed = seed;
  summary.simulated_ns = world.now_ns() - started_ns;
  summary.events = world.events();
  for (const auto& [name, count] : world.faults()) summary.faults += count;
  summary.responses = host->audit().responses();
  summary.awards = host->audit().awards();
  summary.takes = host->audit().takes();
  summary.repeated = host->audit().repeated_events();
  summary.out_of_order = host->audit().out_of_order();
  summary.voided = host->audit().voided();
  summary.undone = host->audit().undone();
  summary.generations = host->audit().generations();
  summary.lost = host->audit().lost_awards();
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

Child start_child(uint64_t seed, uint32_t hosts) {
  int ends[2];
  if (pipe(ends) != 0) std::perror("pipe"), std::exit(1);
  std::fflush(nullptr);
  pid_t const pid = fork();
  if (pid < 0) std::perror("fork"), std::exit(1);
  if (pid == 0) {
    close(ends[0]);
    // The log of the cores is only shown with `--seed`.
    int const nowhere = open("/dev/null", O_WRONLY);
    if (nowhere >= 0) dup2(nowhere, STDERR_FILENO);
    Summary const summary = run_seed(seed, hosts, false);
    bool const written = write(ends[1], &summary, sizeof summary) == sizeof summary;
    _exit(written ? 0 : 1);
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

struct Options {
  uint64_t first = 1;
  uint32_t hosts = 0;  // 0: drawn by each seed
  uint64_t seeds = 0;  // 0: as many as fit `seconds`
  double seconds = 0;
  unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
  bool stop_at_first = false;
};

// What many runs did together.
struct Totals {
  using Clock = std::chrono::steady_clock;
  Clock::time_point started = Clock::now();
  uint64_t runs = 0;
  uint64_t failed = 0;
  Summary sum;

  void fail(uint64_t seed, const char* reason) {
    ++failed;
    std::printf("FAILED seed %lu: %s\n", seed, reason);
    std::fflush(stdout);
  }
  void add(const Summary& summary) {
    ++runs;
    sum.simulated_ns += summary.simulated_ns;
    sum.events += summary.events;
    sum.faults += summary.faults;
    sum.responses += summary.responses;
    sum.awards += summary.awards;
    sum.takes += summary.takes;
    sum.repeated += summary.repeated;
    sum.out_of_order += summary.out_of_order;
    sum.voided += summary.voided;
    sum.undone += summary.undone;
    sum.generations += summary.generations;
    sum.lost += summary.lost;
    if (summary.violation[0] != '\0') fail(summary.seed, summary.violation);
  }
  void print(uint64_t first) const {
    double const took_s = std::chrono::duration<double>(Clock::now() - started).count();
    std::printf(
        "%lu seeds from %lu (%.1f per second): %.2f hours simulated, %lu faults, %lu events, %lu "
        "responses, %lu awards, %lu of them takes, %lu repeated in the topic (%lu late behind another core's), %lu "
        "requests voided, %lu commits undone, %lu further generations, %lu awards lost by Redis, "
        "%lu failed\n",
        runs, first, static_cast<double>(runs) / took_s,
        static_cast<double>(sum.simulated_ns) / 3.6e12, sum.faults, sum.events, sum.responses,
        sum.awards, sum.takes, sum.repeated, sum.out_of_order, sum.voided, sum.undone,
        sum.generations, sum.lost, failed);
  }
};

int run_one(uint64_t seed, uint32_t hosts) {
  Summary const summary = run_seed(seed, hosts, true);
  std::printf(
      "seed %lu: %.1f s, %lu events, %lu faults, %lu responses, %lu awards, digest %016lx\n", seed,
      static_cast<double>(summary.simulated_ns) / 1e9, summary.events, summary.faults,
      summary.responses, summary.awards, summary.digest);
  std::fflush(nullptr);
  return summary.violation[0] == '\0' ? 0 : 1;
}

void run_many(const Options& options, Totals& totals) {
  using Clock = std::chrono::steady_clock;
  auto const until = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                        std::chrono::duration<double>(options.seconds));
  uint64_t next = options.first;
  std::vector<Child> running;
  auto const more = [&] {
    if (options.stop_at_first && totals.failed > 0) return false;
    return options.seeds > 0 ? next < options.first + options.seeds : Clock::now() < until;
  };
  while (more() || !running.empty()) {
    while (running.size() < options.jobs && more())
      running.push_back(start_child(next++, options.hosts));
    std::vector<pollfd> waits;
    for (const Child& child : running) waits.push_back({child.reads, POLLIN, 0});
    if (waits.empty()) continue;
    poll(waits.data(), waits.size(), -1);
    for (size_t i = waits.size(); i-- > 0;) {
      if (waits[i].revents == 0) continue;
      totals.add(collect(running[i]));
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
  // A failing seed is only useful if it fails again: two runs of a seed must be the same.
  uint64_t const digest = collect(start_child(options.first, options.hosts)).digest;
  if (digest != collect(start_child(options.first, options.hosts)).digest)
    totals.fail(options.first, "two runs of it differ");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The cores' logic in virtual time, with an audit of each run");
  uint64_t seed = 0;
  Options options;
  auto* one = app.add_option("--seed", seed, "run this seed and print its trace");
  app.add_option("--hosts", options.hosts,
                 "hosts on one Redis, in each run (default: 1 or 2, drawn)")
      ->check(CLI::Range(1U, hosts_max));
  app.add_option("--first", options.first, "the first of many seeds");
  auto* many = app.add_option("--seeds", options.seeds, "the number of seeds");
  app.add_option("--seconds", options.seconds, "as many seeds as fit (default 120)")
      ->excludes(many);
  app.add_option("--jobs", options.jobs, "the number of parallel runs")
      ->check(CLI::Range(1U, 1024U));
  app.add_flag("--stop", options.stop_at_first, "stop at the first failure");
  CLI11_PARSE(app, argc, argv);

  if (*one) _exit(run_one(seed, options.hosts));
  if (!*many && options.seconds <= 0) options.seconds = 120;
  Totals totals;
  run_many(options, totals);
  totals.print(options.first);
  return totals.failed == 0 ? 0 : 1;
}
