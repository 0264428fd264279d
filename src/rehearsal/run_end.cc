// SPDX-License-Identifier: Apache-2.0
#include "rehearsal/run_end.h"

#include <utility>

#include "base/check.h"
#include "wire/json_value.h"

namespace huntd {

const char* run_end_text(RunEnd end) {
  switch (end) {
    case RunEnd::ok:
      return "ok";
    case RunEnd::rejected:
      return "rejected";
    case RunEnd::script_error:
      return "script-error";
    case RunEnd::out_of_memory:
      return "out-of-memory";
    case RunEnd::deadline:
      return "deadline-passed";
    case RunEnd::held_full:
      return "held-full";
    case RunEnd::supplies_full:
      return "supplies-full";
    case RunEnd::worker_failed:
      break;
  }
  return "worker-failed";
}

RunEnd run_end_of(uint32_t status) {
  switch (status) {
    case WF_OK:
      return RunEnd::ok;
    case WF_REJECTED:
      return RunEnd::rejected;
    case WF_SCRIPT_ERROR:
      return RunEnd::script_error;
    case WF_OUT_OF_MEMORY:
      return RunEnd::out_of_memory;
    default:
      return RunEnd::worker_failed;
  }
}

bool is_failure(RunEnd end) { return end != RunEnd::ok && end != RunEnd::rejected; }

uint64_t script_ns_of(const wf_outcome& outcome) {
  return outcome.script_done_at_ns > outcome.vm_ready_at_ns
             ? outcome.script_done_at_ns - outcome.vm_ready_at_ns
             : 0;
}

std::string_view state_reply(char* buffer, size_t size, std::string_view state) {
  PoolString value;
  if (!state.empty()) {
    Result<PoolString> encoded = encode_json_value(state);
    CHECK(encoded);
    value = std::move(*encoded);
  }
  wf_writer writer = wf_begin(buffer, size, WF_REPLY_STATE);
  wf_put_text(&writer, value.data(), value.size());
  return {buffer, wf_end(&writer)};
}

std::string_view unit_reply(char* buffer, size_t size, bool granted) {
  wf_writer writer = wf_begin(buffer, size, WF_REPLY_SUPPLY);
  wf_put_u8(&writer, granted ? 1 : 0);
  return {buffer, wf_end(&writer)};
}

std::string_view left_reply(char* buffer, size_t size, uint64_t units) {
  wf_writer writer = wf_begin(buffer, size, WF_REPLY_LEFT);
  wf_put_u64(&writer, units);
  return {buffer, wf_end(&writer)};
}

}  // namespace huntd
