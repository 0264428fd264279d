// SPDX-License-Identifier: Apache-2.0
// Any bytes as a client's body: rejected with a message, or a value that is well-formed, within the
// depth limit and fits a job frame.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "wire/json_value.h"
#include "wire/value.h"
#include "wire/worker_frame.h"

namespace {

// Reads a value as the worker does.
void read_value(wf_reader* reader, size_t depth) {
  CHECK(depth <= huntd::limits::json_depth_max);
  uint8_t const tag = wf_get_u8(reader);
  CHECK(tag <= VALUE_OBJECT);
  if (tag == VALUE_NUMBER) wf_get_u64(reader);
  if (tag == VALUE_TEXT) wf_get_text(reader, WF_FRAME_BYTES_MAX);
  if (tag == VALUE_ARRAY || tag == VALUE_OBJECT) {
    for (uint32_t left = wf_get_u32(reader); left > 0 && reader->failed == 0; --left) {
      if (tag == VALUE_OBJECT) wf_get_text(reader, WF_FRAME_BYTES_MAX);
      read_value(reader, depth + 1);
    }
  }
  CHECK(reader->failed == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > huntd::limits::request_body_bytes_max) return 0;
  std::string_view const json(reinterpret_cast<const char*>(data), size);
  huntd::Result<huntd::PoolString> const value = huntd::encode_json_value(json);
  if (!value) {
    CHECK(value.error().message.starts_with("the body "));
    return 0;
  }
  CHECK(huntd::is_json(json));
  wf_reader reader;
  reader.at = reinterpret_cast<const unsigned char*>(value->data());
  reader.end = reader.at + value->size();
  reader.failed = 0;
  read_value(&reader, 0);
  CHECK(wf_all_read(&reader) == 1);
  huntd::Result<huntd::PoolString> const listed =
      huntd::encode_json_value("[" + std::string(json) + "]");
  if (listed) CHECK(huntd::hash_value(*listed) != huntd::hash_value(*value));
  static char frame[WF_FRAME_BYTES_MAX];
  std::string const id(huntd::limits::id_bytes_max, 'x');
  wf_job job{};
  job.hunt_id = {id.data(), static_cast<uint32_t>(id.size())};
  job.hunter_id = job.hunt_id;
  job.input = {value->data(), static_cast<uint32_t>(value->size())};
  CHECK(wf_write_job(frame, sizeof frame, &job) > 0);
  return 0;
}
