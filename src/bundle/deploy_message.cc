// SPDX-License-Identifier: Apache-2.0
#include "bundle/deploy_message.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace huntd {
namespace {

constexpr char separator = '\x1f';
constexpr std::string_view magic = "huntd deploy 1";
constexpr std::array<std::string_view, 4> request_names = {"look", "deploy", "rollback", "folder"};
constexpr std::array<std::string_view, 6> reply_names = {"progress", "looked",  "live",
                                                         "partly",   "unsaved", "rejected"};

// A field has no separator, and a packet at most deploy_packet_bytes_max.
std::string packet_of(const std::vector<std::string_view>& fields) {
  std::string packet(magic);
  for (std::string_view const field : fields) {
    packet += separator;
    size_t const room =
        deploy_packet_bytes_max - std::min(packet.size() + fields.size(), deploy_packet_bytes_max);
    for (char const c : field.substr(0, room)) packet += c == separator ? '?' : c;
  }
  return packet;
}

// The fields behind the magic; none if it is another packet.
std::vector<std::string> fields_of(std::string_view packet) {
  std::vector<std::string> fields;
  if (!packet.starts_with(magic)) return fields;
  packet.remove_prefix(magic.size());
  while (!packet.empty()) {
    if (packet.front() != separator) return {};
    packet.remove_prefix(1);
    size_t const end = std::min(packet.find(separator), packet.size());
    fields.emplace_back(packet.substr(0, end));
    packet.remove_prefix(end);
  }
  return fields;
}

template <class Kind, size_t count>
std::optional<Kind> kind_of(const std::array<std::string_view, count>& names,
                            std::string_view name) {
  auto const found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return std::nullopt;
  return static_cast<Kind>(found - names.begin());
}

}  // namespace

std::string encode_deploy(const DeployRequest& request) {
  return packet_of({request_names[static_cast<size_t>(request.kind)], request.by, request.from,
                    request.bundle, request.expects});
}

std::string encode_deploy(const DeployReply& reply) {
  return packet_of({reply_names[static_cast<size_t>(reply.kind)], reply.bundle, reply.text});
}

std::optional<DeployRequest> read_deploy_request(std::string_view packet) {
  std::vector<std::string> fields = fields_of(packet);
  if (fields.size() != 5) return std::nullopt;
  auto const kind = kind_of<DeployRequest::Kind>(request_names, fields[0]);
  if (!kind) return std::nullopt;
  return DeployRequest{*kind, fields[1], fields[2], fields[3], fields[4]};
}

std::optional<DeployReply> read_deploy_reply(std::string_view packet) {
  std::vector<std::string> fields = fields_of(packet);
  if (fields.size() != 3) return std::nullopt;
  auto const kind = kind_of<DeployReply::Kind>(reply_names, fields[0]);
  if (!kind) return std::nullopt;
  return DeployReply{*kind, fields[1], fields[2]};
}

DeployAddress deploy_address(uint64_t pid, uint64_t start_ticks) {
  DeployAddress made;
  std::string const name = fmt::format("huntd-deploy.{}.{}", pid, start_ticks);
  made.address.sun_family = AF_UNIX;
  // The zero byte before the name makes it abstract: there is no file, and it ends with its process.
  std::memcpy(made.address.sun_path + 1, name.data(), name.size());
  made.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  return made;
}

}  // namespace huntd
