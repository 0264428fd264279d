// SPDX-License-Identifier: Apache-2.0
#include "huntctl/script_findings.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/limits.h"
#include "bundle/bundle.h"
#include "bundle/check.h"
#include "bundle/load.h"
#include "check/check_script.h"
#include "huntctl/hunt_script.h"
#include "settings/hunt_settings.h"

namespace huntd::huntctl {
namespace {

constexpr uint32_t check_deadline_ms = 5000;

check::Finding whole_file(check::Severity severity, std::string code, std::string message,
                          std::string help) {
  return {0, severity, std::move(code), std::move(message), std::move(help), 1, 1};
}

// A mistake in a module that a script needs: it is found in its own file too.
check::Finding of_module(const std::string& error) {
  return whole_file(check::Severity::error, "module",
                    "a module of this script has a mistake: " + error.substr(0, error.find('\n')),
                    "check lib/ with this script: huntctl check FOLDER");
}

Result<Bundle> compiled(const BundleFiles& files, const Config& config,
                        const std::string& worker_path) {
  Result<Bundle> const sources = make_bundle(files);
  if (!sources) return sources.error();
  return check_bundle(*sources, ".", worker_path,
                      std::max(check_deadline_ms, config.worker.deadline_ms),
                      config.worker.memory_bytes);
}

}  // namespace

Result<std::string> read_script_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limits::script_bytes_max + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file && !file.eof())
    return usage_error(fmt::format("{}: cannot be read: {}", path.string(), std::strerror(errno)));
  text.resize(static_cast<size_t>(file.gcount()));
  return text;
}

Result<std::vector<check::Finding>> find_module_mistakes(const std::filesystem::path& path,
                                                         const std::string& text,
                                                         const Config& config,
                                                         const std::string& worker_path) {
  std::string const name = path.stem().string();
  constexpr const char* hunt_id = "hunt";
  BundleFiles files;
  std::vector<std::string> skipped;
  std::filesystem::path const folder = path.parent_path() / "..";
  if (Result<void> added = add_modules(folder.string(), files, skipped); !added)
    return added.error();
  std::erase_if(files, [&](const auto& file) { return file.first == module_entry(name); });
  files.emplace_back(module_entry(name), text);
  files.emplace_back(hunt_id, fmt::format("require(\"{}\") return function() end", name));
  Result<Bundle> const bundle = compiled(files, config, worker_path);
  check::ScriptFacts facts;
  facts.kind = check::ScriptKind::module;
  std::optional<check::LuaError> error;
  if (!bundle) {
    error = check::lua_error_of(bundle.error().message, "lib/" + name);
    if (!error)
      return std::vector{whole_file(check::Severity::error, "module", bundle.error().message,
                                    "a module ends with return and what scripts share")};
  }
  return check::check_script(text, error, facts);
}

std::vector<check::Finding> find_settings_mistakes(const std::string& text) {
  if (text.size() > limits::settings_bytes_max)
    return {whole_file(
        check::Severity::error, "too-large",
        fmt::format("the settings of a hunt have at most {} bytes", limits::settings_bytes_max),
        "make its lists shorter, or two hunts of it")};
  std::vector<check::Finding> findings;
  for (SettingsMistake& mistake : read_hunt_settings(text).mistakes) {
    check::Finding& finding = findings.emplace_back(
        whole_file(check::Severity::error, "settings", mistake.what, mistake.help));
    for (; finding.line < mistake.line; ++finding.line)
      finding.offset = std::min(text.find('\n', finding.offset), text.size() - 1) + 1;
  }
  return findings;
}

Result<std::vector<check::Finding>> find_mistakes(const std::filesystem::path& path,
                                                  const std::string& text, const Config& config,
                                                  const std::string& worker_path) {
  using check::Severity;
  if (text.size() > limits::script_bytes_max)
    return std::vector{
        whole_file(Severity::error, "too-large",
                   fmt::format("this script is larger than {} bytes", limits::script_bytes_max),
                   "make two hunts of it, or a shorter list")};
  std::string hunt_id = path.stem().string();
  bool const named = is_path_id(hunt_id) && path.extension() == ".lua";
  if (!named) hunt_id = "hunt";
  Result<HuntScript> script = hunt_script(path.parent_path() / (hunt_id + ".lua"), text);
  if (!script) return script.error();
  check::ScriptFacts facts;
  if (is_test_name(hunt_id)) facts.kind = check::ScriptKind::test;
  facts.config_keys.emplace();
  // Mistakes in its settings are found in their own file.
  std::erase_if(script->files, [&](const auto& file) {
    if (file.first != settings_entry(hunt_id)) return false;
    ReadSettings read = read_hunt_settings(file.second);
    facts.config_keys = std::move(read.config_keys);
    facts.has_zone = !read.settings.zone.empty();
    if (!read.mistakes.empty()) facts.config_keys.reset();
    return !read.mistakes.empty();
  });
  Result<Bundle> const bundle = compiled(script->files, config, worker_path);
  std::optional<check::LuaError> error;
  if (!bundle) {
    error = check::lua_error_of(bundle.error().message, hunt_id);
    if (!error && bundle.error().message.starts_with("./lib/"))
      return std::vector{of_module(bundle.error().message)};
    if (!error) return bundle.error();
  }
  std::vector<check::Finding> findings = check::check_script(text, error, facts);
  if (!named)
    findings.insert(findings.begin(),
                    whole_file(Severity::warning, "file-name",
                               "huntd does not take a file of this name for a hunt",
                               "name it HUNT.lua, with 1 to 64 of A-Z a-z 0-9 _ . - for HUNT"));
  return findings;
}

Result<std::vector<check::Finding>> find_file_mistakes(const std::filesystem::path& path,
                                                       const std::string& text,
                                                       const Config& config,
                                                       const std::string& worker_path) {
  if (path.extension() == ".toml") return find_settings_mistakes(text);
  std::error_code ignored;
  bool const is_module = std::filesystem::absolute(path, ignored).parent_path().filename() == "lib";
  return is_module ? find_module_mistakes(path, text, config, worker_path)
                   : find_mistakes(path, text, config, worker_path);
}

}  // namespace huntd::huntctl
