// SPDX-License-Identifier: Apache-2.0
// huntctl deploy, huntctl rollback: other scripts go live, all at once, on the huntd of this host.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "bundle/check.h"
#include "bundle/load.h"
#include "bundle/worker_program.h"
#include "check/check_script.h"
#include "check/report.h"
#include "huntctl/commands.h"
#include "huntctl/consent.h"
#include "huntctl/deploy_call.h"
#include "huntctl/hunt_script.h"
#include "huntctl/interrupt.h"
#include "huntctl/progress.h"
#include "huntctl/script_findings.h"
#include "huntctl/simulation_text.h"
#include "rehearsal/simulation.h"

namespace huntd::huntctl {
namespace {

// Of --simulate: enough to see an error that one run in a thousand has.
constexpr uint64_t simulated_hunters = 1000;
constexpr uint64_t simulated_hunts = 20;

struct Options {
  std::string dir;
  std::string bundle;  // of a rollback; empty: the one before
  std::string admin;
  bool hunts_dir = false;
  bool simulate = false;
  ConsentOptions consent;
};

// The files of a folder that are in its bundle.
std::vector<std::filesystem::path> files_of(const std::filesystem::path& dir,
                                            const Bundle& bundle) {
  std::vector<std::filesystem::path> files;
  for (const BundledHunt& hunt : bundle.hunts()) {
    files.push_back(dir / (hunt.hunt_id + ".lua"));
    if (hunt.settings_bytes > 0) files.push_back(dir / (hunt.hunt_id + ".toml"));
  }
  for (const BundledModule& module : bundle.modules())
    files.push_back(dir / "lib" / (module.name + ".lua"));
  return files;
}

// Prints the findings of every file of the folder. The error says how many errors there are.
Result<void> check_folder(const std::string& dir, const Bundle& bundle, const Config& config,
                          const std::string& worker) {
  std::vector<check::Finding> all;
  for (const std::filesystem::path& path : files_of(dir, bundle)) {
    Result<std::string> const script = read_script_file(path);
    if (!script) return script.error();
    Result<std::vector<check::Finding>> const found =
        find_file_mistakes(path, *script, config, worker);
    if (!found) return found.error();
    for (const check::Finding& finding : *found)
      print_note(check::finding_text(path.string(), *script, finding, wants_colour(STDERR_FILENO)) +
                 "\n");
    all.insert(all.end(), found->begin(), found->end());
  }
  if (!check::has_error(all)) return {};
  return Error{fmt::format("nothing was deployed: {}: {}", dir, check::count_text(all))};
}

// Plays the hunts that are new or changed. The error says that runs failed.
Result<void> simulate_changes(const Bundle& sources, const BundleChanges& changes,
                              const std::string& dir, const Config& config,
                              const std::string& worker) {
  Result<Bundle> const bundle = check_bundle(sources, dir, worker, config.worker.deadline_ms + 5000,
                                             config.worker.memory_bytes);
  if (!bundle) return bundle.error();
  std::vector<std::string> hunts = changes.added;
  hunts.insert(hunts.end(), changes.changed.begin(), changes.changed.end());
  Interrupt const interrupt;
  for (const std::string& hunt_id : hunts) {
    SimulationPlan plan = default_plan(hunt_id, config);
    plan.hunters = simulated_hunters;
    plan.hunts = simulated_hunts;
    Progress progress("playing " + hunt_id, plan.runs());
    Result<Simulated> simulated = simulate(*bundle, worker, plan, [&](uint64_t runs) {
      progress.at(runs);
      return !interrupt.requested();
    });
    if (!simulated) return simulated.error();
    uint64_t const failures = simulated->figures.failures();
    SimulationReport const report{std::move(simulated->figures), std::move(simulated->stopped),
                                  dir + "/" + hunt_id + ".lua", "", false};
    print_note(simulation_text(report, false) + "\n");
    if (!report.stopped.empty()) return Error{"nothing was deployed: " + report.stopped};
    if (interrupt.requested()) return Error{"nothing was deployed: interrupted"};
    if (failures > 0)
      return Error{fmt::format("nothing was deployed: {}: {} of {} failed in the simulation",
                               hunt_id, counted(failures, "run"), plan.runs())};
  }
  return {};
}

const char* result_name(DeployReply::Kind kind) {
  switch (kind) {
    case DeployReply::Kind::live:
      return "live";
    case DeployReply::Kind::partly:
      return "partly";
    case DeployReply::Kind::unsaved:
      return "unsaved";
    default:
      return "rejected";
  }
}

int report(const Result<DeployReply>& reply, const std::string& before,
           const BundleChanges& changes, size_t hunts, int64_t took_ms) {
  if (!reply) return fail(reply.error());
  bool const is_live = reply->kind != DeployReply::Kind::rejected;
  print_object(fmt::format(R"({{"result":"{}","bundle":{},"before":{},{},"took_ms":{}}})",
                           result_name(reply->kind), json_string(reply->bundle),
                           json_string(before), changes_json(changes), took_ms));
  if (!is_live) return fail(fmt::format("rejected, bundle {} stays live: {}", before, reply->text));
  print(changes_text(changes));
  print(fmt::format("live: bundle {}, {}; before: {}\n", reply->bundle, counted(hunts, "hunt"),
                    before));
  if (reply->kind == DeployReply::Kind::live) return exit_ok;
  if (reply->kind == DeployReply::Kind::partly)
    return fail("it is live, and a restart serves it, but these do not have it yet: " +
                reply->text + "; huntd's log says why (`huntctl status`)");
  return fail("it is live, but could not be saved, so a restart may serve the scripts before: " +
              reply->text);
}

// The part of a rollback and of --hunts-dir: huntd has the scripts.
int order_known(DeployRequest request, const Options& options, const Context& context) {
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  Result<DeployCall> call = DeployCall::open(*address);
  if (!call) return fail(call.error());
  Result<Bundle> const before = call->look();
  if (!before) return fail(before.error());
  request.by = operator_name();
  request.expects = before->name();
  int64_t const started_ms = monotonic_ms();
  Result<DeployReply> const reply = call->order(request, -1);
  BundleChanges changes;
  size_t hunts = 0;
  if (reply && reply->kind != DeployReply::Kind::rejected) {
    call = DeployCall::open(*address);
    if (!call) return fail(call.error());
    Result<Bundle> const after = call->look();
    if (!after) return fail(after.error());
    Result<BundleChanges> found = changes_between(*before, *after);
    if (!found) return fail(found.error());
    changes = std::move(*found);
    hunts = after->hunts().size();
  }
  return report(reply, before->name(), changes, hunts, monotonic_ms() - started_ms);
}

int deploy_folder(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<std::string> const address = context.admin_address(options.admin);
  if (!address) return fail(address.error());
  std::error_code error;
  std::string const dir = std::filesystem::canonical(options.dir, error);
  if (error) return fail_usage(fmt::format("{}: {}", options.dir, error.message()));
  Result<LoadedBundle> const loaded = load_bundle(dir);
  if (!loaded) return fail(loaded.error());
  for (const std::string& file : loaded->skipped) print_note("skipped: " + file + "\n");
  std::string const worker = find_worker(config->worker.binary);
  if (Result<void> checked = check_folder(dir, loaded->bundle, *config, worker); !checked)
    return fail(checked.error());
  Result<DeployCall> call = DeployCall::open(*address);
  if (!call) return fail(call.error());
  Result<Bundle> const before = call->look();
  if (!before) return fail(before.error());
  Result<BundleChanges> const changes = changes_between(*before, loaded->bundle);
  if (!changes) return fail(changes.error());
  if (options.simulate)
    if (Result<void> played = simulate_changes(loaded->bundle, *changes, dir, *config, worker);
        !played)
      return fail(played.error());
  bool const asks = !changes->removed.empty() || options.consent.dry_run;
  if (asks) {
    std::optional<int> const ended =
        ask(options.consent, changes_text(*changes),
            fmt::format("{} would be removed. Deploy?", counted(changes->removed.size(), "hunt")));
    if (ended) {
      print_object(fmt::format(R"({{"result":"unchanged","bundle":{},{}}})",
                               json_string(before->name()), changes_json(*changes)));
      return *ended;
    }
  }
  // The check may have taken longer than huntd waits for a request.
  call = DeployCall::open(*address);
  if (!call) return fail(call.error());
  int64_t const started_ms = monotonic_ms();
  Result<DeployReply> const reply =
      call->order({DeployRequest::Kind::deploy, operator_name(), dir, "", before->name()},
                  loaded->bundle.descriptor());
  return report(reply, before->name(), *changes, loaded->bundle.hunts().size(),
                monotonic_ms() - started_ms);
}

int deploy(const Options& options, const Context& context) {
  if (options.dir.empty() != options.hunts_dir)
    return fail_usage("deploy takes a folder DIR, or --hunts-dir to serve hunts.dir again");
  if (!options.hunts_dir) return deploy_folder(options, context);
  if (options.simulate || options.consent.dry_run)
    return fail_usage(
        "--hunts-dir deploys at once, since huntd reads hunts.dir: it takes neither --dry-run nor "
        "--simulate; use them with the folder");
  DeployRequest request;
  request.kind = DeployRequest::Kind::folder;
  return order_known(request, options, context);
}

int rollback(const Options& options, const Context& context) {
  DeployRequest request;
  request.kind = DeployRequest::Kind::rollback;
  request.bundle = options.bundle;
  return order_known(request, options, context);
}

}  // namespace

void add_deploy(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "deploy", "Check the scripts of a folder, and make huntd serve them (on huntd's host)");
  command->add_option("DIR", options->dir, "The folder");
  command->add_flag(
      "--hunts-dir", options->hunts_dir,
      "Serve the scripts of hunts.dir, which reloads and starts then read again; never "
      "asks, also if hunts are removed");
  command->add_flag("--simulate", options->simulate,
                    "First play each hunt that is new or changed, and print its odds");
  add_admin_option(*command, options->admin);
  add_consent_options(*command, options->consent);
  set_body(*command, context, options, &deploy);
}

void add_rollback(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "rollback",
      "Make huntd serve the bundle before, or another that it keeps, without asking (on its host)");
  command->add_option("BUNDLE", options->bundle,
                      "The bundle, or how its name begins (default: the one before)");
  add_admin_option(*command, options->admin);
  set_body(*command, context, options, &rollback);
}

}  // namespace huntd::huntctl
