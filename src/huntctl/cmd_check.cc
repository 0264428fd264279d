// SPDX-License-Identifier: Apache-2.0
// huntctl check: the mistakes of scripts, each with its place and what to do. A real hunt_worker
// compiles each script; src/check/ explains.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <unistd.h>

#include "base/format_text.h"
#include "base/ids.h"
#include "base/limits.h"
#include "bundle/bundle.h"
#include "bundle/check.h"
#include "bundle/worker_program.h"
#include "check/check_script.h"
#include "check/report.h"
#include "huntctl/commands.h"

namespace huntd::huntctl {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t check_deadline_ms = 5000;

struct Options {
  std::vector<std::string> paths;
};

Error usage_error(std::string message) { return Error{std::move(message), ErrorKind::usage}; }

// The scripts of a folder, as huntd finds them.
Result<void> add_folder(const fs::path& folder, std::vector<fs::path>& files) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  std::vector<fs::path> found;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const fs::path& path = entries->path();
    if (path.extension() != ".lua" || path.filename().native().starts_with('.')) continue;
    std::error_code ignored;
    if (fs::is_regular_file(path, ignored)) found.push_back(path);
  }
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
    } else {
      return usage_error(fmt::format(
          "{}: {}", path, fs::exists(status) ? "is not a regular file" : "does not exist"));
    }
  }
  return files;
}

Result<std::string> read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limits::script_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file && !file.eof())
    return usage_error(fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

check::Finding whole_file(check::Severity severity, std::string code, std::string message,
                          std::string help) {
  return {0, severity, std::move(code), std::move(message), std::move(help), 1, 1};
}

// The findings of one script. The error says why no worker could compile it.
Result<std::vector<check::Finding>> check_file(const fs::path& path, const std::string& text,
                                               const Config& config, const std::string& worker) {
  using check::Severity;
  if (text.size() > limits::script_bytes_max)
    return std::vector{
        whole_file(Severity::error, "too-large",
                   fmt::format("this script is larger than {} bytes", limits::script_bytes_max),
                   "make two hunts of it, or a shorter list")};
  std::string hunt_id = path.stem().string();
  bool const named = is_path_id(hunt_id) && path.extension() == ".lua";
  if (!named) hunt_id = "hunt";
  Result<Bundle> const sources = make_bundle({{hunt_id, text}});
  if (!sources) return sources.error();
  Result<Bundle> const bundle =
      check_bundle(*sources, ".", worker, std::max(check_deadline_ms, config.worker.deadline_ms),
                   config.worker.memory_bytes);
  std::optional<check::LuaError> error;
  if (!bundle) {
    error = check::lua_error_of(bundle.error().message, hunt_id);
    if (!error) return bundle.error();
  }
  std::vector<check::Finding> findings = check::check_script(text, error);
  if (!named)
    findings.insert(findings.begin(),
                    whole_file(Severity::warning, "file-name",
                               "huntd does not take a file of this name for a hunt",
                               "name it HUNT.lua, with 1 to 64 of A-Z a-z 0-9 _ . - for HUNT"));
  return findings;
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
    Result<std::string> const script = read_file(path);
    if (!script) return fail(script.error());
    Result<std::vector<check::Finding>> const found = check_file(path, *script, *config, worker);
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
