// What a client asks of a hunt, free of how it came: over HTTP here, or forwarded by another core.
#pragma once
#include <cstdint>
#include <string>

namespace huntd {

struct HuntRequest {
  enum class Kind : uint8_t { run, read_held };
  Kind kind = Kind::run;
  std::string hunt_id;
  std::string hunter_id;
  std::string idempotency_key;  // empty: none
  std::string body;             // JSON, not yet checked; empty: none
  uint64_t received_at_ns = 0;  // on this box's monotonic clock, which all cores share
};

}  // namespace huntd
