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
#include "check/check_script.h"
#include "huntctl/hunt_script.h"

namespace huntd::huntctl {
namespace {

constexpr uint32_t check_deadline_ms = 5000;

check::Finding whole_file(check::Severity severity, std::string code, std::string message,
                          std::string help) {
  return {0, severity, std::move(code), std::move(message), std::move(help), 1, 1};
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
  Result<Bundle> const sources = make_bundle({{hunt_id, text}});
  if (!sources) return sources.error();
  Result<Bundle> const bundle = check_bundle(*sources, ".", worker_path,
                                             std::max(check_deadline_ms, config.worker.deadline_ms),
                                             config.worker.memory_bytes);
  std::optional<check::LuaError> error;
  if (!bundle) {
    error = check::lua_error_of(bundle.error().message, hunt_id);
    if (!error) return bundle.error();
  }
  std::vector<check::Finding> findings = check::check_script(
      text, error, is_test_name(hunt_id) ? check::ScriptKind::test : check::ScriptKind::hunt);
  if (!named)
    findings.insert(findings.begin(),
                    whole_file(Severity::warning, "file-name",
                               "huntd does not take a file of this name for a hunt",
                               "name it HUNT.lua, with 1 to 64 of A-Z a-z 0-9 _ . - for HUNT"));
  return findings;
}

}  // namespace huntd::huntctl
