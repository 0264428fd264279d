// SPDX-License-Identifier: Apache-2.0
// huntctl editor: writes what editors have to know of scripts into a folder of hunts.
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/json_text.h"
#include "check/editor_files.h"
#include "huntctl/commands.h"
#include "huntctl/hunt_script.h"
#include "huntctl/new_file.h"

namespace huntd::huntctl {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string folder;
};

// Whether the file does not exist, or was written by this command.
bool may_write(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(fs::symlink_status(path, ignored))) return true;
  std::ifstream file(path);
  std::string head(200, '\0');
  file.read(head.data(), static_cast<std::streamsize>(head.size()));
  return head.find(check::editor_mark) != std::string::npos;
}

int write_editor_files(const Options& options, const Context& context) {
  std::string folder = options.folder;
  if (folder.empty()) {
    Result<Config> const config = context.config();
    if (!config) return fail(config.error());
    folder = config->hunts.dir;
  }
  std::error_code error;
  if (!fs::is_directory(folder, error)) return fail_usage(folder + " is not a folder");
  std::vector<check::EditorFile> const files = check::editor_files();
  for (const check::EditorFile& file : files)
    if (fs::path const path = fs::path(folder) / file.name; !may_write(path))
      return fail_usage(fmt::format(
          "{} exists, and huntctl has not written it: move it out of the way", path.string()));
  std::string text;
  std::vector<std::string> names;
  for (const check::EditorFile& file : files) {
    fs::path const path = fs::path(folder) / file.name;
    fs::create_directory(path.parent_path(), error);
    if (Result<void> written = write_file(path, file.text, WriteMode::replace); !written)
      return fail(written.error());
    text += path.string() + "\n";
    names.push_back(path.string());
  }
  print(text);
  print_object(fmt::format(R"({{"files":{}}})", json_array(names)));
  return exit_ok;
}

}  // namespace

void add_editor(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command = app.add_subcommand(
      "editor", "Write what editors have to know: for luacheck and the Lua language server");
  command->add_option("FOLDER", options->folder, "The folder of the scripts (default: hunts.dir)");
  set_body(*command, context, options, &write_editor_files);
}

}  // namespace huntd::huntctl
