// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/hunt_test.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/limits.h"
#include "bundle/check.h"
#include "bundle/hunt_job.h"
#include "rehearsal/case_session.h"
#include "rehearsal/job_worker.h"
#include "rehearsal/test_helpers.h"
#include "wire/json_value.h"
#include "wire/worker_frame.h"

namespace huntd {
namespace {

constexpr char script_hunter[] = "test";

// The script, and behind it what gives it `test`: so its lines keep their numbers. A BOM or a first
// line with "#", which Lua skips at the start of a file, is not at its start here.
std::string whole_script(std::string_view script) {
  constexpr std::string_view bom = "\xef\xbb\xbf";
  if (script.starts_with(bom)) script.remove_prefix(bom.size());
  if (script.starts_with('#')) script.remove_prefix(std::min(script.find('\n'), script.size()));
  auto const lines = 1 + std::count(script.begin(), script.end(), '\n');
  return fmt::format(
      "local script = (function(...) {}\nend)()\n{}\n"
      "return function(hunt) return run_test_job(hunt, script, {}) end\n",
      script, test_helpers, lines);
}

// What came of one job of the test script.
struct JobEnd {
  std::string result;  // JSON; empty if it failed
  std::string reason;
  std::string log;
};

// Runs the jobs of a test script: one lists its cases, one plays each.
class ScriptRunner {
 public:
  ScriptRunner(const TestPlan& plan, const Bundle& script)
      : plan_(plan),
        script_(*script.find(plan.script_name)),
        player_(*plan.hunt, plan.worker_path, plan.deadline_ms),
        worker_(plan.worker_path, script.descriptor(), test_limits::script_deadline_ms),
        buffer_(limits::worker_frame_bytes_max, '\0') {}

  Result<JobEnd> run(std::string_view input, CaseSession& session);
  HuntPlayer& player() { return player_; }

 private:
  std::string_view job(std::string_view input);
  Result<void> reply(wf_reader& reader, CaseSession& session);
  std::string_view reply_frame(const std::string& json);

  const TestPlan& plan_;
  const BundledHunt& script_;
  HuntPlayer player_;
  JobWorker worker_;
  std::string buffer_;
};

std::string_view ScriptRunner::job(std::string_view input) {
  Result<PoolString> const value = encode_json_value(input);
  CHECK(value);
  wf_job job = hunt_job(script_, plan_.memory_bytes);
  job.flags = WF_JOB_MORE | WF_JOB_TEST;
  job.hunter_id = text_of(script_hunter);
  job.input = text_of(*value);
  size_t const size = wf_write_job(buffer_.data(), buffer_.size(), &job);
  CHECK(size > 0);
  return {buffer_.data(), size};
}

std::string_view ScriptRunner::reply_frame(const std::string& json) {
  Result<PoolString> value = encode_json_value(json);
  size_t constexpr head_bytes = WF_HEADER_BYTES + 4;
  if (!value || value->size() + head_bytes > buffer_.size())
    value = encode_json_value(R"({"problem":"what came of this run is too large for a test"})");
  CHECK(value);
  wf_writer writer = wf_begin(buffer_.data(), buffer_.size(), WF_REPLY_PLAY);
  wf_put_text(&writer, value->data(), value->size());
  return {buffer_.data(), wf_end(&writer)};
}

Result<void> ScriptRunner::reply(wf_reader& reader, CaseSession& session) {
  wf_text const request = wf_get_text(&reader, WF_RESULT_BYTES_MAX);
  std::string json = R"({"problem":"the request is malformed"})";
  if (wf_all_read(&reader) != 0) {
    Result<std::string> replied = session.reply(view_of(request));
    if (!replied) return replied.error();
    json = std::move(*replied);
  }
  worker_.send(reply_frame(json));
  return {};
}

Result<JobEnd> ScriptRunner::run(std::string_view input, CaseSession& session) {
  if (Result<void> started = worker_.start(job(input)); !started) return started.error();
  JobEnd end;
  for (;;) {
    std::optional<std::string_view> const frame = worker_.next_frame();
    if (!frame) {
      end.reason = "the test: " + worker_.end();
      return end;
    }
    wf_reader reader;
    int const type = wf_open(&reader, frame->data(), frame->size());
    if (type == WF_ASK_PLAY) {
      if (Result<void> replied = reply(reader, session); !replied) return replied.error();
      continue;
    }
    wf_outcome outcome;
    if (type != WF_OUTCOME || wf_read_outcome(&reader, &outcome) == 0) {
      worker_.stop();
      end.reason = "the test: its worker sent a frame of another type";
      return end;
    }
    end.log = view_of(outcome.log);
    (outcome.status == WF_OK ? end.result : end.reason) =
        view_of(outcome.status == WF_OK ? outcome.result : outcome.reason);
    return end;
  }
}

std::string text_at(const simdjson::dom::object& object, std::string_view name) {
  std::string_view text;
  return object[name].get(text) == simdjson::SUCCESS ? std::string(text) : std::string();
}

// Fills in whether the case passed, by the JSON that its job returned.
void read_result(const JobEnd& end, TestedCase& tested) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  simdjson::dom::object failed;
  tested.log = end.log;
  if (parser.parse(end.result).get(object) != simdjson::SUCCESS) {
    tested.what = end.reason.empty() ? "the test has no result" : end.reason;
    return;
  }
  tested.passed = object["failed"].get(failed) != simdjson::SUCCESS;
  if (tested.passed) return;
  tested.what = text_at(failed, "what");
  tested.expected = text_at(failed, "expected");
  tested.came = text_at(failed, "came");
  uint64_t line = 0;
  if (failed["line"].get(line) == simdjson::SUCCESS) tested.line = line;
}

Result<std::vector<std::string>> read_names(const std::string& result) {
  simdjson::dom::parser parser;
  simdjson::dom::array names;
  std::vector<std::string> read;
  if (parser.parse(result)["cases"].get(names) != simdjson::SUCCESS)
    return Error{"the test has no list of its cases"};
  for (simdjson::dom::element const name : names) {
    std::string_view text;
    if (name.get(text) == simdjson::SUCCESS) read.emplace_back(text);
  }
  return read;
}

// The one case that a script has that fails before its cases are known.
std::vector<TestedCase> only(TestedCase tested) {
  std::vector<TestedCase> cases;
  cases.push_back(std::move(tested));
  return cases;
}

Result<TestedCase> play_case(ScriptRunner& runner, const TestPlan& plan, size_t number,
                             std::string name) {
  TestedCase tested;
  tested.name = std::move(name);
  CaseSession session(plan, runner.player());
  uint64_t const started_at_ns = monotonic_ns();
  Result<JobEnd> const end = runner.run(fmt::format(R"({{"case":{}}})", number), session);
  if (!end) return end.error();
  tested.wall_ns = monotonic_ns() - started_at_ns;
  tested.runs = session.runs();
  tested.last_run = session.last_run();
  read_result(*end, tested);
  return tested;
}

Result<Bundle> compiled(const TestPlan& plan, const std::string& text) {
  BundleFiles files = plan.files;
  std::erase_if(files, [&plan](const auto& file) { return file.first == plan.script_name; });
  files.emplace_back(plan.script_name, text);
  Result<Bundle> const sources = make_bundle(files);
  if (!sources) return sources.error();
  return check_bundle(*sources, ".", plan.worker_path, test_limits::script_deadline_ms,
                      plan.memory_bytes);
}

}  // namespace

Result<std::vector<TestedCase>> test_hunt(const TestPlan& plan) {
  CHECK(plan.hunt != nullptr && plan.hunt->find(plan.hunt_id) != nullptr);
  std::string const whole = whole_script(plan.script);
  if (whole.size() > limits::script_bytes_max)
    return Error{fmt::format("a test has at most {} bytes", test_script_bytes_max())};
  Result<Bundle> const script = compiled(plan, whole);
  if (!script) return script.error();
  ScriptRunner runner(plan, *script);
  CaseSession none(plan, runner.player());
  Result<JobEnd> const listed = runner.run("{}", none);
  if (!listed) return listed.error();
  TestedCase whole_test;
  read_result(*listed, whole_test);
  if (!whole_test.passed) return only(std::move(whole_test));
  Result<std::vector<std::string>> const names = read_names(listed->result);
  if (!names) return names.error();
  whole_test.passed = false;
  whole_test.what = "the test has no test.case";
  if (names->empty()) return only(std::move(whole_test));
  whole_test.what = fmt::format("a test has at most {} cases", test_limits::cases_max);
  if (names->size() > test_limits::cases_max) return only(std::move(whole_test));
  std::vector<TestedCase> cases;
  for (const std::string& name : *names) {
    Result<TestedCase> tested = play_case(runner, plan, cases.size() + 1, name);
    if (!tested) return tested.error();
    cases.push_back(std::move(*tested));
  }
  return cases;
}

size_t test_script_bytes_max() { return limits::script_bytes_max - whole_script("").size() - 32; }

}  // namespace huntd
