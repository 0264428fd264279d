// SPDX-License-Identifier: Apache-2.0
#include "wire/cluster_map.h"

#include <algorithm>
#include <array>

#include "base/read_text.h"

namespace huntd {
namespace {

// CRC16 of XMODEM: polynomial 0x1021, most significant bit first, no reflection, initially 0.
constexpr std::array<uint16_t, 256> make_crc_table() {
  std::array<uint16_t, 256> table{};
  for (uint32_t byte = 0; byte < table.size(); ++byte) {
    uint32_t crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021 : 0);
    table[byte] = static_cast<uint16_t>(crc);
  }
  return table;
}
constexpr std::array<uint16_t, 256> crc_table = make_crc_table();

uint16_t crc16(std::string_view bytes) {
  uint16_t crc = 0;
  for (char const each : bytes) {
    uint8_t const index =
        static_cast<uint8_t>(static_cast<uint8_t>(crc >> 8) ^ static_cast<uint8_t>(each));
    crc = static_cast<uint16_t>((crc << 8) ^ crc_table[index]);
  }
  return crc;
}

void add_once(std::vector<ClusterNode>& nodes, const ClusterNode& node) {
  if (std::find(nodes.begin(), nodes.end(), node) == nodes.end()) nodes.push_back(node);
}

}  // namespace

uint16_t cluster_slot_of(std::string_view key) {
  size_t const open = key.find('{');
  if (open != std::string_view::npos) {
    size_t const close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1)
      key = key.substr(open + 1, close - open - 1);
  }
  return static_cast<uint16_t>(crc16(key) % cluster_slots);
}

std::vector<ClusterNode> ClusterMap::primaries() const {
  std::vector<ClusterNode> all;
  for (const Range& range : ranges) add_once(all, range.primary);
  return all;
}

std::vector<ClusterNode> ClusterMap::nodes() const {
  std::vector<ClusterNode> all = primaries();
  for (const Range& range : ranges)
    for (const ClusterNode& replica : range.replicas) add_once(all, replica);
  return all;
}

bool read_cluster_info(std::string_view info, ClusterMap& map) {
  std::string_view const state = info_field(info, "cluster_state");
  std::optional<uint64_t> const epoch =
      read_number<uint64_t>(info_field(info, "cluster_current_epoch"));
  if (state.empty() || !epoch) return false;
  map.ok = state == "ok";
  map.epoch = *epoch;
  return true;
}

std::optional<ClusterRedirect> read_cluster_redirect(std::string_view error) {
  using Kind = ClusterRedirect::Kind;
  std::string_view const code = take_word(error);
  if (code == "TRYAGAIN") return ClusterRedirect{Kind::again, {}, false};
  if (code != "MOVED" && code != "ASK") return std::nullopt;
  take_word(error);  // the slot
  size_t const colon = error.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::optional<uint16_t> const port = read_number<uint16_t>(error.substr(colon + 1));
  if (port.value_or(0) == 0) return std::nullopt;
  std::string_view host = error.substr(0, colon);
  bool const unknown = host == cluster_host_unknown;
  if (unknown) host = {};
  return ClusterRedirect{
      code == "MOVED" ? Kind::moved : Kind::ask, {std::string(host), *port}, unknown};
}

}  // namespace huntd
