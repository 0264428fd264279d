// SPDX-License-Identifier: Apache-2.0
#include "huntctl/deploy_call.h"

#include <fmt/format.h>
#include <pwd.h>
#include <simdjson.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>

#include "base/json_text.h"
#include "base/scm_rights.h"
#include "huntctl/deadline.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/output.h"
#include "huntctl/parent_process.h"
#include "huntctl/progress.h"

namespace huntd::huntctl {
namespace {

struct Parent {
  uint64_t pid = 0;
  uint64_t start_ticks = 0;
};

Result<Parent> read_parent(const std::string& admin_address) {
  Result<std::string> const json = get_from_admin_port(admin_address, "/status.json");
  if (!json) return json.error();
  return parse_response(
      *json, "status.json", [](simdjson::dom::element document) -> Result<Parent> {
        return Parent{uint64_t(document["pid"]), uint64_t(document["start_ticks"])};
      });
}

// Whether the other end is this process (any process may take the name of the socket), and serves
// this user.
Result<void> check_peer(int socket, uint64_t pid) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
      static_cast<uint64_t>(peer.pid) != pid)
    return Error{fmt::format("another process than huntd, {}, has its socket for deploys", pid)};
  if (geteuid() != 0 && geteuid() != peer.uid)
    return Error{"run the command as root or as huntd's user"};
  return {};
}

using Texts = std::map<std::string, std::string>;  // by name

struct Sources {
  Texts hunts;  // the script, and its settings behind it
  Texts modules;
};

Result<Sources> sources_of(const Bundle& bundle) {
  Result<std::string> const bytes = read_sources(bundle);
  if (!bytes) return bytes.error();
  Sources sources;
  for (const BundledHunt& hunt : bundle.hunts())
    sources.hunts[hunt.hunt_id] = bytes->substr(hunt.offset, hunt.bytes) + '\0' +
                                  bytes->substr(hunt.settings_offset, hunt.settings_bytes);
  for (const BundledModule& module : bundle.modules())
    sources.modules[module.name] = bytes->substr(module.offset, module.bytes);
  return sources;
}

// Of two bundles. Returns how many are the same.
size_t compare(const Texts& before, const Texts& after, std::vector<std::string>& added,
               std::vector<std::string>& changed, std::vector<std::string>& removed) {
  size_t same = 0;
  for (const auto& [name, text] : after) {
    auto const old = before.find(name);
    if (old == before.end())
      added.push_back(name);
    else if (old->second != text)
      changed.push_back(name);
    else
      ++same;
  }
  for (const auto& [name, text] : before)
    if (!after.contains(name)) removed.push_back(name);
  return same;
}

}  // namespace

Result<DeployCall> DeployCall::open(const std::string& admin_address) {
  Result<Parent> const parent = read_parent(admin_address);
  if (!parent) return parent.error();
  Result<ParentProcess> const process = ParentProcess::find(parent->pid, parent->start_ticks);
  if (!process) return process.error();
  DeployAddress const at = deploy_address(parent->pid, parent->start_ticks);
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid() ||
      connect(socket.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size) != 0)
    return Error{fmt::format("huntd, process {}, takes no deploys: {} (is it of this version?)",
                             parent->pid, std::strerror(errno)),
                 ErrorKind::unreachable};
  if (Result<void> checked = check_peer(socket.get(), parent->pid); !checked)
    return checked.error();
  return DeployCall(std::move(socket));
}

Result<void> DeployCall::send(const DeployRequest& request, int descriptor) {
  if (send_packet(socket_.get(), encode_deploy(request), descriptor, MSG_NOSIGNAL) >= 0) return {};
  return Error{fmt::format("huntd has closed the connection: {}", std::strerror(errno)),
               ErrorKind::unreachable};
}

Result<DeployReply> DeployCall::receive(UniqueFd& descriptor) {
  std::array<char, deploy_packet_bytes_max> packet{};
  ssize_t size = -1;
  do size = receive_packet(socket_.get(), packet, descriptor, 0);
  while (size < 0 && errno == EINTR);
  if (size <= 0)
    return Error{"huntd has closed the connection: see its log, and `huntctl bundles`",
                 ErrorKind::unreachable};
  std::optional<DeployReply> reply = read_deploy_reply({packet.data(), static_cast<size_t>(size)});
  if (!reply) return Error{"huntctl and huntd are not of the same version"};
  return std::move(*reply);
}

Result<Bundle> DeployCall::look() {
  PeerCall const waiting("huntd's parent process");
  if (Result<void> sent = send({}, -1); !sent) return sent.error();
  UniqueFd descriptor;
  Result<DeployReply> const reply = receive(descriptor);
  if (!reply) return reply.error();
  if (reply->kind != DeployReply::Kind::looked || !descriptor.valid())
    return Error{reply->text.empty() ? "huntd has not shown its bundle" : reply->text};
  return open_bundle(descriptor.release());
}

Result<DeployReply> DeployCall::order(const DeployRequest& request, int descriptor) {
  PeerCall const waiting("the check of huntd");
  Progress progress("deploy");
  if (Result<void> sent = send(request, descriptor); !sent) return sent.error();
  for (;;) {
    UniqueFd unused;
    Result<DeployReply> reply = receive(unused);
    if (!reply || reply->kind != DeployReply::Kind::progress) return reply;
    progress.say(reply->text);
  }
}

std::string operator_name() {
  const char* const before_sudo = getuid() == 0 ? std::getenv("SUDO_USER") : nullptr;
  if (before_sudo != nullptr && *before_sudo != '\0') return fmt::format("{} (sudo)", before_sudo);
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> room{};
  if (getpwuid_r(getuid(), &entry, room.data(), room.size(), &found) == 0 && found != nullptr)
    return entry.pw_name;
  return fmt::format("uid {}", getuid());
}

Result<BundleChanges> changes_between(const Bundle& before, const Bundle& after) {
  Result<Sources> const old_sources = sources_of(before);
  if (!old_sources) return old_sources.error();
  Result<Sources> const new_sources = sources_of(after);
  if (!new_sources) return new_sources.error();
  BundleChanges changes;
  changes.same = compare(old_sources->hunts, new_sources->hunts, changes.added, changes.changed,
                         changes.removed);
  std::vector<std::string>& modules = changes.modules;
  compare(old_sources->modules, new_sources->modules, modules, modules, modules);
  std::sort(modules.begin(), modules.end());
  return changes;
}

std::string changes_text(const BundleChanges& changes) {
  std::string text;
  for (const std::string& hunt : changes.added) text += "added    " + hunt + "\n";
  for (const std::string& hunt : changes.changed) text += "changed  " + hunt + "\n";
  for (const std::string& hunt : changes.removed) text += "removed  " + hunt + "\n";
  for (const std::string& module : changes.modules) text += "module   lib/" + module + ".lua\n";
  return text.empty() ? "no hunt changes\n" : text;
}

std::string changes_json(const BundleChanges& changes) {
  return fmt::format(R"("added":{},"changed":{},"removed":{},"same":{},"modules":{})",
                     json_array(changes.added), json_array(changes.changed),
                     json_array(changes.removed), changes.same, json_array(changes.modules));
}

}  // namespace huntd::huntctl
