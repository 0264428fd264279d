// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of a produce call: rejected with a code and a message, or at most the
// permitted number of records, each a loot event of the hunter that is its key.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/limits.h"
#include "core/kafka_rest/error.h"
#include "core/kafka_rest/request.h"
#include "wire/loot_event.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > huntd::limits::request_body_bytes_max) return 0;
  std::string_view const body(reinterpret_cast<const char*>(data), size);
  huntd::server::ProduceRecords const read = huntd::server::read_produce_body(body);
  if (read.error_code != 0) {
    CHECK(read.records.empty() && !read.message.empty());
    int const status = huntd::server::rest_error(read.error_code, read.message).status;
    CHECK(status == 400 || status == 422);
    return 0;
  }
  CHECK(!read.records.empty() && read.records.size() <= huntd::limits::kafka_rest_records_max);
  for (const huntd::server::Record& record : read.records) {
    huntd::Result<huntd::LootEvent> const event = huntd::read_loot_event(record.value);
    CHECK(static_cast<bool>(event));
    CHECK(event->seq <= huntd::limits::seq_max && event->timestamp_ms >= 0 &&
          event->timestamp_ms <= huntd::limits::timestamp_ms_max);
    CHECK(record.key == std::string_view(event->hunter_id));
    CHECK(record.value == std::string_view(huntd::write_loot_event(*event)));
  }
  return 0;
}
