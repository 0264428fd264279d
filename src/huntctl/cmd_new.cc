// SPDX-License-Identifier: Apache-2.0
// huntctl new: writes a new hunt with its test, like one of the samples.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/json_text.h"
#include "base/nearest.h"
#include "bundle/bundle.h"
#include "bundle/load.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_script.h"
#include "huntctl/new_file.h"
#include "huntctl/samples.h"

namespace huntd::huntctl {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string name;  // FILE.lua, or a new HUNT of hunts.dir
  std::string like;
};

std::string sample_list() {
  std::string text;
  for (const Sample& sample : samples())
    text += fmt::format("{:<14} {}\n", sample.name, about(sample));
  return text;
}

int list_samples() {
  std::string objects;
  for (const Sample& sample : samples())
    objects += fmt::format(R"({}{{"name":{},"about":{}}})", objects.empty() ? "" : ",",
                           json_string(sample.name), json_string(about(sample)));
  print(sample_list());
  print_object(fmt::format(R"({{"samples":[{}]}})", objects));
  return exit_ok;
}

Result<Sample> find_sample(const std::string& name) {
  if (name.empty()) return plain_hunt();
  std::vector<std::string_view> names;
  for (const Sample& sample : samples()) {
    if (sample.name == name) return sample;
    names.push_back(sample.name);
  }
  std::string_view const near = nearest_name(name, names);
  return usage_error(fmt::format("there is no sample \"{}\"{}; `huntctl new` lists them", name,
                                 near.empty() ? "" : fmt::format(": did you mean {}?", near)));
}

Result<fs::path> path_of(const Options& options, const Context& context) {
  fs::path path = options.name;
  if (path.extension() != ".lua") {
    Result<Config> const config = context.config();
    if (!config) return config.error();
    path = fs::path(config->hunts.dir) / (options.name + ".lua");
  }
  std::string const name = path.stem().string();
  if (!is_path_id(name) || !is_path_id(name + std::string(test_suffix)) || name.starts_with('.'))
    return usage_error(fmt::format(
        "\"{}\" is not the name of a hunt: 1 to 59 of A-Z a-z 0-9 _ . -, without a dot in front",
        name));
  if (is_test_name(name))
    return usage_error(fmt::format("the name of a hunt cannot end in {}", test_suffix));
  return path;
}

int write_hunt(const Options& options, const Context& context) {
  if (options.name.empty())
    return options.like.empty() ? list_samples() : fail_usage("the new hunt needs a name");
  Result<Sample> const sample = find_sample(options.like);
  if (!sample) return fail(sample.error());
  Result<fs::path> const path = path_of(options, context);
  if (!path) return fail(path.error());
  std::string const name = path->stem().string();
  fs::path const test = path->parent_path() / fmt::format("{}{}.lua", name, test_suffix);
  std::vector<std::pair<fs::path, std::string>> files = {{*path, hunt_like(*sample, name)},
                                                         {test, test_like(*sample, name)}};
  if (!sample->settings.empty())
    files.emplace_back(fs::path(*path).replace_extension(".toml"), settings_like(*sample, name));
  std::error_code ignored;
  for (const auto& [file, text] : files)
    if (fs::exists(fs::symlink_status(file, ignored)))
      return fail_usage(fmt::format("{} exists, and is not overwritten", file.string()));
  std::string names;
  std::vector<std::string> written_files;
  for (const auto& [file, text] : files) {
    if (Result<void> written = write_file(file, text, WriteMode::create); !written)
      return fail(written.error());
    names += file.string() + "\n";
    written_files.push_back(file.string());
  }
  print(names);
  print_object(fmt::format(R"({{"files":{}}})", json_array(written_files)));
  return exit_ok;
}

}  // namespace

void add_new(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("new", "Write a new hunt with its test; without a name: list the samples");
  command->add_option("NAME", options->name, "FILE.lua, or the name of a new hunt in hunts.dir");
  command->add_option("--like", options->like, "The sample to begin with");
  set_body(*command, context, options, &write_hunt);
}

}  // namespace huntd::huntctl
