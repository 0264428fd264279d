// SPDX-License-Identifier: Apache-2.0
// The worker is C and takes its bounds from wire/worker_frame.h: they must equal those of
// base/limits.h.
#include "base/limits.h"
#include "wire/worker_frame.h"

namespace huntd::limits {

static_assert(id_bytes_max == WF_ID_BYTES_MAX);
static_assert(awards_max == WF_AWARDS_MAX);
static_assert(left_asked_max == WF_LEFT_ASKED_MAX);
static_assert(loot_units_max == WF_LOOT_UNITS_MAX);
static_assert(state_bytes_max == WF_STATE_BYTES_MAX);
static_assert(held_loot_max == WF_HELD_LOOT_MAX);
static_assert(result_bytes_max == WF_RESULT_BYTES_MAX);
static_assert(reason_bytes_max == WF_REASON_BYTES_MAX);
static_assert(log_bytes_max == WF_LOG_BYTES_MAX);
static_assert(worker_frame_bytes_max == WF_FRAME_BYTES_MAX);
static_assert(image_bytes_max == WF_IMAGE_BYTES_MAX);
static_assert(json_depth_max == WF_JSON_DEPTH_MAX);
static_assert(script_bytes_max == WF_SCRIPT_BYTES_MAX);

// The largest outcome and the largest reply to hunt.held() fit one frame.
static_assert(worker_frame_bytes_max > result_bytes_max + reason_bytes_max + log_bytes_max +
                                           state_bytes_max + awards_max * (id_bytes_max + 12));
static_assert(worker_frame_bytes_max > held_loot_max * (id_bytes_max + 16));

}  // namespace huntd::limits
