// SPDX-License-Identifier: Apache-2.0
#include "base/named_primary.h"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace huntd {

std::optional<NamedPrimary> read_named_primary(std::string_view host, std::string_view port) {
  NamedPrimary primary{std::string(host), 0};
  const char* const end = port.data() + port.size();
  auto const [read_to, fault] = std::from_chars(port.data(), end, primary.port);
  if (host.empty() || host == "unix" || fault != std::errc() || read_to != end || primary.port == 0)
    return std::nullopt;
  return primary;
}

PrimaryChoice choose_primary(const std::vector<NamedPrimary>& named, size_t sentinels) {
  PrimaryChoice choice;
  for (const NamedPrimary& each : named)
    if (std::ranges::find(choice.candidates, each) == choice.candidates.end())
      choice.candidates.push_back(each);
  auto const votes = [&](const NamedPrimary& each) { return std::ranges::count(named, each); };
  std::ranges::stable_sort(choice.candidates, std::ranges::greater(), votes);
  if (named.empty()) return choice;
  choice.by_majority = 2 * static_cast<size_t>(votes(choice.candidates[0])) > sentinels;
  if (choice.by_majority) choice.candidates.resize(1);
  return choice;
}

}  // namespace huntd
