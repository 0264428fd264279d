// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/failed_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "base/json_text.h"
#include "metrics/error_table.h"
#include "metrics/hunt_lines.h"

namespace huntd::server {
namespace {

// A character of a text takes at most six bytes in JSON.
constexpr size_t line_text_bytes_max = 512;
constexpr size_t line_text_bytes_sure = 128;

void add_text(std::string& json, std::string_view name, std::string_view text) {
  json += fmt::format(R"(,"{}":)", name);
  append_json_string(json, text);
}

// Without the closing brace.
std::string head_of(const RequestName& name, const RunResult& run, int64_t at_ms) {
  std::string json = fmt::format(R"({{"at_ms":{})", at_ms);
  add_text(json, "hunter_id", name.hunter_id);
  add_text(json, "request_id", name.request_id);
  add_text(json, "bundle", run.bundle);
  json +=
      fmt::format(R"(,"now_ms":{},"seed":"{:016x}{:016x}")", run.now_ms, run.seed[0], run.seed[1]);
  return json;
}

// Whether the names and counts alone have more bytes than an example: then they are not formatted.
bool held_has_no_room(const RunResult& run) {
  constexpr size_t entry_bytes_min = 6;  // "a":1,
  return run.held && run.held->loot.size() * entry_bytes_min > error_sample_bytes_max;
}

// ,"held":{"iron":3}; null if the run did not ask for it.
std::string held_of(const RunResult& run) {
  if (!run.held) return R"(,"held":null)";
  std::string json;
  for (const auto& [loot_id, count] : run.held->loot) {
    json += json.empty() ? R"(,"held":{)" : ",";
    append_json_string(json, loot_id);
    json += fmt::format(":{}", count);
  }
  return json.empty() ? R"(,"held":{})" : json + "}";
}

std::string gone_of(const RunResult& run) {
  std::string json = R"(,"gone":[)";
  for (const PoolString& loot_id : run.gone) {
    if (json.back() != '[') json += ',';
    append_json_string(json, loot_id);
  }
  return json + "]";
}

// ,"left":{"ticket":3}; empty if the run did not ask for it.
std::string left_of(const RunResult& run) {
  std::string json;
  for (const auto& [loot_id, units] : run.left) {
    json += json.empty() ? R"(,"left":{)" : ",";
    append_json_string(json, loot_id);
    json += fmt::format(":{}", units);
  }
  return json.empty() ? json : json + "}";
}

// A member that is JSON as a text: then all its digits are kept. Null if it is empty.
std::string json_member(std::string_view name, std::string_view text) {
  if (text.empty()) return fmt::format(R"(,"{}":null)", name);
  std::string json;
  add_text(json, name, text);
  return json;
}

}  // namespace

std::string failed_run_json(const RequestName& name, std::string_view body, const RunResult& run,
                            int64_t at_ms) {
  constexpr size_t tail_bytes = 64;  // of the names of what is left out
  std::string json = head_of(name, run, at_ms);
  std::string lacks;
  bool const without_held = held_has_no_room(run);
  std::string const left = left_of(run);
  if (json.size() + left.size() + tail_bytes <= error_sample_bytes_max)
    json += left;
  else
    lacks = R"("left")";
  for (const auto& [part, text] : {std::pair<std::string_view, std::string>("gone", gone_of(run)),
                                   {"state", json_member("state", run.state_before)},
                                   {"held", without_held ? "" : held_of(run)},
                                   {"input", json_member("input", body)}}) {
    if (!text.empty() && json.size() + text.size() + tail_bytes <= error_sample_bytes_max)
      json += text;
    else
      lacks += fmt::format(R"({}"{}")", lacks.empty() ? "" : ",", part);
  }
  return json + fmt::format(R"(,"lacks":[{}]}})", lacks);
}

std::string hunt_line_json(const RequestName& name, std::string_view kind, std::string_view text,
                           int64_t at_ms) {
  std::string json = fmt::format(R"({{"at_ms":{},"kind":"{}")", at_ms, kind);
  add_text(json, "hunt_id", name.hunt_id);
  add_text(json, "hunter_id", name.hunter_id);
  add_text(json, "request_id", name.request_id);
  size_t const head_bytes = json.size();
  for (size_t const bytes : {line_text_bytes_max, line_text_bytes_sure}) {
    json.resize(head_bytes);
    add_text(json, "text", text.substr(0, bytes));
    json += '}';
    if (json.size() <= hunt_line_bytes_max) break;
  }
  return json;
}

}  // namespace huntd::server
