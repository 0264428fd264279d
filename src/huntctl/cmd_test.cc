// SPDX-License-Identifier: Apache-2.0
// huntctl test: plays the tests of hunts, NAME_test.lua beside NAME.lua, on real workers against a
// pretended ledger. Nothing is awarded (decision 54).
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/ids.h"
#include "bundle/bundle.h"
#include "bundle/load.h"
#include "bundle/worker_program.h"
#include "check/report.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_script.h"
#include "huntctl/script_findings.h"
#include "huntctl/test_report.h"

namespace huntd::huntctl {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> paths;
  std::string junit_path;
  bool tap = false;
};

// NAME_test.lua beside NAME.lua, and the other way round.
fs::path test_of(const fs::path& hunt) {
  return hunt.parent_path() / fmt::format("{}{}.lua", hunt.stem().string(), test_suffix);
}
fs::path hunt_of(const fs::path& test) {
  std::string const name = test.stem().string();
  return test.parent_path() / (name.substr(0, name.size() - test_suffix.size()) + ".lua");
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

// Adds the hunts of a folder: those with a test to `hunts`, the others to `untested`.
Result<void> add_folder(const fs::path& folder, std::vector<fs::path>& hunts,
                        std::vector<std::string>& untested) {
  std::error_code error;
  std::vector<fs::path> found;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    bool const named = path.extension() == ".lua" && is_path_id(path.stem().string()) &&
                       !path.filename().native().starts_with('.');
    if (named && is_file(path)) found.push_back(path);
  }
  if (error) return usage_error(fmt::format("{}: {}", folder.string(), error.message()));
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) {
    bool const is_test = is_test_name(path.stem().string());
    if (is_test && !is_file(hunt_of(path)))
      return usage_error(fmt::format("{} is the test of {}, which does not exist", path.string(),
                                     hunt_of(path).filename().string()));
    if (is_test) continue;
    if (is_file(test_of(path)))
      hunts.push_back(path);
    else
      untested.push_back(path.string());
  }
  return {};
}

// Adds the hunt that `word` names: by its file, by that of its test, or as one of hunts.dir.
Result<void> add_hunt(const std::string& word, const Config& config, std::vector<fs::path>& hunts) {
  fs::path path = word;
  if (path.extension() != ".lua") path = fs::path(config.hunts.dir) / (word + ".lua");
  if (is_test_name(path.stem().string())) path = hunt_of(path);
  if (!is_file(path)) return usage_error(fmt::format("{} does not exist", path.string()));
  if (!is_path_id(path.stem().string()))
    return usage_error(
        fmt::format("{}: the name of a hunt is 1 to 64 of A-Z a-z 0-9 _ . -", path.string()));
  if (!is_file(test_of(path)))
    return usage_error(
        fmt::format("{} has no test: write {}", path.string(), test_of(path).filename().string()));
  hunts.push_back(path);
  return {};
}

// Whether the file comes again, perhaps named otherwise, as by its test.
bool is_again(std::set<fs::path>& seen, const fs::path& path) {
  std::error_code ignored;
  return !seen.insert(fs::absolute(path, ignored).lexically_normal()).second;
}

Result<std::vector<fs::path>> find_hunts(const Options& options, const Config& config,
                                         std::vector<std::string>& untested) {
  std::vector<std::string> words = options.paths;
  if (words.empty()) words.push_back(config.hunts.dir);
  std::vector<fs::path> hunts;
  for (const std::string& word : words) {
    std::error_code ignored;
    Result<void> const added = fs::is_directory(word, ignored) ? add_folder(word, hunts, untested)
                                                               : add_hunt(word, config, hunts);
    if (!added) return added.error();
  }
  std::set<fs::path> seen;
  std::erase_if(hunts, [&seen](const fs::path& path) { return is_again(seen, path); });
  std::erase_if(untested, [&seen](const std::string& path) { return is_again(seen, path); });
  if (hunts.empty())
    return usage_error(
        fmt::format("{} has no test: write NAME_test.lua beside NAME.lua", words.front()));
  return hunts;
}

// Compiles a script. If that fails, nothing is returned, and `mistakes` has why, as huntctl check
// prints it. The error says why no worker could be started, or a file not be read.
Result<std::optional<Bundle>> compile(const fs::path& path, const std::string& text,
                                      const Config& config, const std::string& worker,
                                      std::string& mistakes) {
  Result<HuntScript> const script = hunt_script(path, text);
  if (!script) return script.error();
  Result<Bundle> bundle = checked_bundle(*script, config, worker);
  if (bundle) return std::optional(std::move(*bundle));
  Result<std::vector<check::Finding>> const found = find_mistakes(path, text, config, worker);
  if (!found) return found.error();
  for (const check::Finding& finding : *found)
    if (finding.severity == check::Severity::error)
      mistakes += check::finding_text(path.string(), text, finding, false);
  if (mistakes.empty()) mistakes = fmt::format("{}: {}\n", path.string(), bundle.error().message);
  return std::optional<Bundle>();
}

// Plays the test of one hunt, and fills in what came of it. The error says why that cannot be done.
Result<void> play_test(const fs::path& path, const Config& config, const std::string& worker,
                       TestedHunt& tested) {
  fs::path const test_path = tested.test_path;
  Result<std::string> const hunt = read_script_file(path);
  if (!hunt) return hunt.error();
  Result<std::string> script = read_script_file(test_path);
  if (!script) return script.error();
  Result<std::optional<Bundle>> const bundle = compile(path, *hunt, config, worker, tested.error);
  if (!bundle) return bundle.error();
  Result<std::optional<Bundle>> const test_bundle =
      compile(test_path, *script, config, worker, tested.error);
  if (!test_bundle) return test_bundle.error();
  if (!tested.error.empty()) return {};
  Result<HuntScript> beside = hunt_script(test_path, "");
  if (!beside) return beside.error();
  TestPlan plan;
  plan.hunt = &**bundle;
  plan.files = std::move(beside->files);
  plan.hunt_id = tested.hunt_id;
  plan.script = tested.script = std::move(*script);
  plan.script_name = test_path.stem().string();
  plan.worker_path = worker;
  plan.memory_bytes = config.worker.memory_bytes;
  const RunRules& rules = (*bundle)->find(tested.hunt_id)->rules;
  plan.deadline_ms = rules.deadline_on(config.worker.deadline_ms);
  Result<std::vector<TestedCase>> cases = test_hunt(plan);
  if (!cases) return Error{fmt::format("{}: {}", tested.test_path, cases.error().message)};
  tested.cases = std::move(*cases);
  return {};
}

// A test that cannot be played is a failure of its own, beside those of the others.
TestedHunt test_one(const fs::path& path, const Config& config, const std::string& worker) {
  TestedHunt tested{path.stem().string(), path.string(), test_of(path).string(), {}, {}, {}};
  Result<void> const played = play_test(path, config, worker, tested);
  if (!played) tested.error += played.error().message + "\n";
  return tested;
}

Result<TestReport> play(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return config.error();
  TestReport report;
  Result<std::vector<fs::path>> const hunts = find_hunts(options, *config, report.untested);
  if (!hunts) return hunts.error();
  std::string const worker = find_worker(config->worker.binary);
  for (const fs::path& path : *hunts) report.hunts.push_back(test_one(path, *config, worker));
  return report;
}

int test_hunts(const Options& options, const Context& context) {
  Result<TestReport> const report = play(options, context);
  if (!report) return fail(report.error());
  if (context.json) print_object(test_json(*report));
  print(options.tap ? test_tap(*report) : test_text(*report, wants_colour(STDOUT_FILENO)));
  if (!options.junit_path.empty()) {
    std::ofstream file(options.junit_path, std::ios::binary);
    file << test_junit(*report);
    file.close();
    if (!file) return fail(fmt::format("cannot write {}", options.junit_path));
  }
  if (report->failed() > 0) return fail(report->summary());
  print_note(report->summary() + "\n");
  return exit_ok;
}

}  // namespace

void add_test(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("test", "Play the tests of hunts, NAME_test.lua beside NAME.lua");
  command->add_option("PATH", options->paths,
                      "NAME.lua, NAME_test.lua, a hunt, or a folder (default: hunts.dir)");
  command->add_flag("--tap", options->tap, "Print the Test Anything Protocol, version 14");
  command->add_option("--junit", options->junit_path, "Write a report of JUnit's form into FILE");
  set_body(*command, context, options, &test_hunts);
}

}  // namespace huntd::huntctl
