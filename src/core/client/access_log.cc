// SPDX-License-Identifier: Apache-2.0
#include "core/client/access_log.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/trace_context.h"
#include "metrics/core_metrics.h"

namespace huntd::server {
namespace {

std::string_view name_of(Route::To to) {
  switch (to) {
    case Route::To::run_hunt:
      return "run_hunt";
    case Route::To::read_held:
      return "read_held";
    case Route::To::core_map:
      return "core_map";
    case Route::To::produce:
      return "produce";
    case Route::To::rejected:
      break;
  }
  return "";
}

// The value of the label outcome="..." of a hunt's counter.
std::string_view outcome_name(uint8_t outcome) {
  if (outcome >= counter_rows.size()) return "";
  std::string_view name = counter_rows[outcome].label;
  name.remove_prefix(std::string_view("outcome=\"").size());
  name.remove_suffix(1);
  return name;
}

// Whole microseconds; empty for 0 ns: the time is not known.
std::string us(uint64_t ns) { return ns == 0 ? "" : std::to_string(ns / ns_per_us); }

static_assert(static_cast<size_t>(Stage::redis_commit) < HuntReport().stage_ns.size());

std::string us(const HuntReport& report, Stage stage) {
  return us(report.stage_ns[static_cast<size_t>(stage)]);
}

// Returns use(fields).
template <class Use>
auto with_fields(const Access& access, std::string_view request_id, const HuntReport& report,
                 Use use) {
  using log::if_set;
  return use(
      std::initializer_list<log::Field>{if_set("method", access.method),
                                        if_set("call", access.call),
                                        if_set("hunt_id", access.hunt_id),
                                        if_set("hunter_id", access.hunter_id),
                                        if_set("client", access.client),
                                        {"status", access.status},
                                        if_set("outcome", outcome_name(report.outcome)),
                                        {"request_id", request_id},
                                        if_set("trace_id", access.trace_id),
                                        if_set("duration_us", us(access.duration_ns)),
                                        if_set("queue_us", us(report, Stage::queue)),
                                        if_set("worker_start_us", us(report, Stage::worker_start)),
                                        if_set("script_us", us(report, Stage::script)),
                                        if_set("redis_commit_us", us(report, Stage::redis_commit)),
                                        {"bytes", access.bytes}});
}

}  // namespace

bool AccessLog::wants(int status, Clock& clock) const {
  switch (mode) {
    case Mode::off:
      return false;
    case Mode::errors:
      return status >= 400;
    case Mode::sampled:
      return clock.random() % sample == 0;
    case Mode::all:
      break;
  }
  return true;
}

AccessLog::Mode access_log_mode(std::string_view name) {
  if (name == "errors") return AccessLog::Mode::errors;
  if (name == "sampled") return AccessLog::Mode::sampled;
  if (name == "all") return AccessLog::Mode::all;
  CHECK(name == "off");
  return AccessLog::Mode::off;
}

void Access::take(const RequestFacts& head, const Route& route) {
  if (!head.path.empty()) method = method_name(head.method);  // else it was not read
  call = name_of(route.to);
  hunt_id = route.hunt_id;
  hunter_id = route.hunter_id;
  trace_id = trace_id_of(head.trace_context);
}

std::string access_line(const Access& access, std::string_view request_id,
                        const HuntReport& report) {
  return with_fields(access, request_id, report, [](std::initializer_list<log::Field> fields) {
    return log::line_of(log::Level::info, "access", fields);
  });
}

void log_access(const Access& access, std::string_view request_id, const HuntReport& report) {
  with_fields(access, request_id, report, [](std::initializer_list<log::Field> fields) {
    log::write_later(log::Level::info, "access", fields);
  });
}

}  // namespace huntd::server
