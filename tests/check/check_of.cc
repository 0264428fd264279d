// SPDX-License-Identifier: Apache-2.0
#include "check/check_of.h"

#include "bundle/bundle.h"
#include "bundle/check.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace huntd::test {

std::optional<check::LuaError> compile(const std::string& script) {
  const char* const worker = std::getenv("HUNTD_WORKER");
  REQUIRE(worker != nullptr);
  Result<Bundle> const sources = make_bundle({{"hunt", script}});
  REQUIRE(sources);
  Result<Bundle> const checked = check_bundle(*sources, "dir", worker, 20'000, 32 << 20);
  if (checked) return std::nullopt;
  std::optional<check::LuaError> error = check::lua_error_of(checked.error().message, "hunt");
  REQUIRE_MESSAGE(error, checked.error().message);
  return error;
}

std::vector<check::Finding> check_of(const std::string& script, check::ScriptKind kind) {
  return check::check_script(script, compile(script), {kind, {}});
}

std::string text_of(const std::vector<check::Finding>& findings) {
  std::string text;
  for (const check::Finding& finding : findings)
    text +=
        fmt::format("{}{}:{} {}{}: {}; {}", text.empty() ? "" : "\n", finding.line, finding.column,
                    finding.severity == check::Severity::warning ? "warning " : "", finding.code,
                    finding.message, finding.help);
  return text;
}

std::string hunt_of(std::string_view body) {
  return fmt::format("return function(hunt)\n{}\nend\n", body);
}

std::string read_source(const std::string& path) {
  const char* const root = std::getenv("HUNTD_SOURCE_ROOT");
  REQUIRE(root != nullptr);
  std::ifstream file(std::string(root) + "/" + path);
  std::ostringstream text;
  text << file.rdbuf();
  REQUIRE_MESSAGE(file, path);
  return text.str();
}

}  // namespace huntd::test
