// SPDX-License-Identifier: Apache-2.0
// What huntctl and huntd's parent say to each other about deploys (decision 64): packets on a unix
// socket in the abstract namespace, which is named after the parent's process. Text, so that another
// version of either side gets an error and no garbage.
#pragma once
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace huntd {

inline constexpr size_t deploy_packet_bytes_max = 8192;

struct DeployRequest {
  enum class Kind : uint8_t {
    look,      // what is live: the reply has its descriptor
    deploy,    // the packet has the descriptor of a memfd with the sources of a bundle
    rollback,  // to `bundle`, or the one before if it is empty
    folder,    // to the scripts of hunts.dir, which starts and reloads read from then on
  };
  Kind kind = Kind::look;
  std::string by;      // who
  std::string from;    // deploy: the folder
  std::string bundle;  // rollback: a name
  // The live bundle that the operator has looked at; if it has changed, nothing is done. Empty: any.
  std::string expects;
};

struct DeployReply {
  enum class Kind : uint8_t {
    progress,  // `text` is what is done; another reply follows
    looked,    // with the descriptor of the live bundle, `bundle`
    live,      // done: `bundle` is live, and a restart serves it
    partly,    // as live, but some cores do not have it yet: `text` names them
    unsaved,   // `bundle` is live, and a restart may serve another one: `text` is why
    rejected,  // nothing has changed: `text` is why
  };
  Kind kind = Kind::rejected;
  std::string bundle;
  std::string text;
};

std::string encode_deploy(const DeployRequest& request);
std::string encode_deploy(const DeployReply& reply);
// Nothing if it is not what this version understands.
std::optional<DeployRequest> read_deploy_request(std::string_view packet);
std::optional<DeployReply> read_deploy_reply(std::string_view packet);

// The address of the socket of the parent: process `pid` that started at `start_ticks`
// (SharedRegion::set_parent()). Returns its size, for bind() and connect().
struct DeployAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};
DeployAddress deploy_address(uint64_t pid, uint64_t start_ticks);

}  // namespace huntd
