// SPDX-License-Identifier: Apache-2.0
// What Redis' sentinels name as the primary, and which of it to follow. Cores and the blocking
// clients ask in their own ways (core/ledger/sentinels.h, drivers/redis_client.h).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace huntd {

struct NamedPrimary {
  std::string host;  // a name, or numeric: IPv6 without brackets
  uint16_t port = 0;

  bool operator==(const NamedPrimary&) const = default;
};

// Reads the two elements of a sentinel's reply. Nothing if the host is empty or "unix", or if the
// port is not a whole number from 1 to 65535.
std::optional<NamedPrimary> read_named_primary(std::string_view host, std::string_view port);

struct PrimaryChoice {
  // The one that a majority names, alone; else each that was named, once, the most named first.
  std::vector<NamedPrimary> candidates;
  bool by_majority = false;  // more than half of all sentinels name it
};

// `named`: one entry per sentinel that named a primary. `sentinels`: all that the config has. Of two
// that are named as often, the one that was named first comes first.
PrimaryChoice choose_primary(const std::vector<NamedPrimary>& named, size_t sentinels);

}  // namespace huntd
