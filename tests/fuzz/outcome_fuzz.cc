// SPDX-License-Identifier: Apache-2.0
// Any packet from a worker: rejected, or an outcome within every bound whose texts lie in the
// packet.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/ids.h"
#include "base/limits.h"
#include "wire/worker_frame.h"

namespace {

void check_text(wf_text text, size_t max, const uint8_t* data, size_t size) {
  CHECK(text.size <= max);
  if (text.size == 0) return;
  const uint8_t* const at = reinterpret_cast<const uint8_t*>(text.data);
  CHECK(at >= data && text.size <= size && at + text.size <= data + size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace limits = huntd::limits;
  wf_reader reader;
  wf_outcome outcome;
  switch (wf_open(&reader, data, size)) {
    case WF_OUTCOME:
      if (wf_read_outcome(&reader, &outcome) == 0) return 0;
      CHECK(outcome.status <= WF_BAD_JOB);
      CHECK(outcome.award_count <= limits::awards_max);
      for (uint32_t i = 0; i < outcome.award_count; ++i) {
        const wf_text& loot_id = outcome.awards[i].loot_id;
        check_text(loot_id, limits::id_bytes_max, data, size);
        CHECK(huntd::is_id({loot_id.data, loot_id.size}));
      }
      check_text(outcome.result, limits::result_bytes_max, data, size);
      check_text(outcome.reason, limits::reason_bytes_max, data, size);
      check_text(outcome.log, limits::log_bytes_max, data, size);
      return 0;
    case WF_ASK_SUPPLY: {  // as core/hunt/run_worker.cc reads it
      wf_get_u32(&reader);
      wf_text const loot_id = wf_get_id(&reader);
      wf_get_u64(&reader);
      if (wf_all_read(&reader) == 1) CHECK(huntd::is_id({loot_id.data, loot_id.size}));
      return 0;
    }
    case WF_ASK_LEFT: {
      wf_text const loot_id = wf_get_id(&reader);
      wf_get_u64(&reader);
      if (wf_all_read(&reader) == 1) CHECK(huntd::is_id({loot_id.data, loot_id.size}));
      return 0;
    }
    default:
      return 0;
  }
}
