// SPDX-License-Identifier: Apache-2.0
// huntctl check: the mistakes of scripts, each with its place and what to do. A real hunt_worker
// compiles each script; src/check/ explains.
#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format_text.h"
#include "bundle/worker_program.h"
#include "check/check_script.h"
#include "check/report.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_script.h"
#include "huntctl/script_findings.h"

namespace huntd::huntctl {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::vector<std::string> paths;
};

// Whether it is a script, or the settings of one.
bool is_checked(const fs::path& path) {
  std::error_code ignored;
  bool const settings =
      path.extension() == ".toml" && fs::exists(fs::path(path).replace_extension(".lua"), ignored);
  return (path.extension() == ".lua" || settings) && fs::is_regular_file(path, ignored);
}

// The scripts of a folder, as huntd finds them, their settings, their tests and their modules.
Result<void> add_folder(const fs::path& folder, std::vector<fs::path>& files) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  std::vector<fs::path> found;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    if (!path.filename().native().starts_with('.') && is_checked(path)) found.push_back(path);
  }
  std::error_code without_modules;
  fs::directory_iterator modules(folder / "lib", without_modules);
  for (; !without_modules && modules != fs::directory_iterator();
       modules.increment(without_modules))
    if (!modules->path().filename().native().starts_with('.') && is_checked(modules->path()))
      found.push_back(modules->path());
  if (error) return usage_error(fmt::format("{}: {}", folder.string(), error.message()));
  if (found.empty()) return usage_error(fmt::format("{} has no file *.lua", folder.string()));
  std::sort(found.begin(), found.end());
  files.insert(files.end(), found.begin(), found.end());
  return {};
}

Result<std::vector<fs::path>> find_files(const Options& options, const Config& config) {
  std::vector<std::string> paths = options.paths;
  if (paths.empty()) paths.push_back(config.hunts.dir);
  std::vector<fs::path> files;
  for (const std::string& path : paths) {
    std::error_code error;
    fs::file_status const status = fs::status(path, error);
    if (fs::is_directory(status)) {
      if (Result<void> added = add_folder(path, files); !added) return added.error();
    } else if (fs::is_regular_file(status)) {
      files.emplace_back(path);
      fs::path const settings = fs::path(path).replace_extension(".toml");
      if (files.back() != settings && is_checked(settings)) files.push_back(settings);
    } else {
      return usage_error(fmt::format(
          "{}: {}", path, fs::exists(status) ? "is not a regular file" : "does not exist"));
    }
  }
  return files;
}

int check_scripts(const Options& options, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<std::vector<fs::path>> const files = find_files(options, *config);
  if (!files) return fail(files.error());
  std::string const worker = find_worker(config->worker.binary);
  bool const colour = wants_colour(STDOUT_FILENO);
  std::vector<check::Finding> all;
  std::vector<std::string> objects;
  std::string text;
  for (const fs::path& path : *files) {
    Result<std::string> const script = read_script_file(path);
    if (!script) return fail(script.error());
    Result<std::vector<check::Finding>> const found =
        find_file_mistakes(path, *script, *config, worker);
    if (!found) return fail(found.error());
    for (const check::Finding& finding : *found) {
      text += check::finding_text(path.string(), *script, finding, colour) + "\n";
      objects.push_back(check::finding_json(path.string(), finding));
    }
    all.insert(all.end(), found->begin(), found->end());
  }
  std::string const count = fmt::format("{} file{}: {}", files->size(),
                                        files->size() == 1 ? "" : "s", check::count_text(all));
  print_object(
      fmt::format(R"({{"files":{},"findings":[{}]}})", files->size(), join_texts(objects, ",")));
  print(text);
  if (check::has_error(all)) return fail(count);
  print(count + "\n");
  return exit_ok;
}

}  // namespace

void add_check(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("check", "Find the mistakes of scripts, and say what to do");
  command->add_option("PATH", options->paths, "FILE.lua or a folder (default: hunts.dir)");
  set_body(*command, context, options, &check_scripts);
}

}  // namespace huntd::huntctl
