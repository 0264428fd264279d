// SPDX-License-Identifier: Apache-2.0
#include "base/named_primary.h"

#include <algorithm>

#include "base/read_text.h"

namespace huntd {

std::optional<NamedPrimary> read_named_primary(std::string_view host, std::string_view port) {
  std::optional<uint16_t> const number = read_number<uint16_t>(port);
  if (host.empty() || host == "unix" || number.value_or(0) == 0) return std::nullopt;
  return NamedPrimary{std::string(host), *number};
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
