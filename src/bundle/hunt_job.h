// SPDX-License-Identifier: Apache-2.0
// The part of a job frame that is the same for every run of a hunt.
#pragma once
#include <cstdint>

#include "bundle/bundle.h"
#include "wire/worker_frame.h"

namespace huntd {

// A job for a run of a hunt from its image, without its seed, time, hunter and input. It views
// `hunt`.
inline wf_job hunt_job(const BundledHunt& hunt, uint64_t memory_bytes) {
  wf_job job{};
  job.memory_bytes = memory_bytes;
  job.script_offset = hunt.offset;
  job.script_bytes = hunt.bytes;
  job.image_offset = hunt.image_offset;
  job.image_bytes = hunt.image_bytes;
  job.hunt_id = {hunt.hunt_id.data(), static_cast<uint32_t>(hunt.hunt_id.size())};
  return job;
}

}  // namespace huntd
