// SPDX-License-Identifier: Apache-2.0
#include "huntd/deploy_port.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/scm_rights.h"

namespace huntd::server {
namespace {

// Further ones wait in the backlog. Also what one step() accepts, so that a caller in a loop does
// not keep the parent.
constexpr size_t clients_max = 8;
constexpr uint64_t request_wait_ns = 2'000'000'000;  // from the connection to its request
constexpr int backlog = 16;
constexpr const char* not_allowed_text =
    "run the command as root or as huntd's user, and in huntd's container if it has one";

// A client that has gone, or does not read, misses it.
void send_reply(int socket, const DeployReply& reply, int descriptor) {
  send_packet(socket, encode_deploy(reply), descriptor, MSG_NOSIGNAL | MSG_DONTWAIT);
}

bool is_allowed(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
  // Of a process that this pid namespace cannot see, the kernel says 0: it is the root or the user
  // of that number of another container, or of the host.
  return peer.pid != 0 && (peer.uid == 0 || peer.uid == geteuid());
}

DeployReply rejection(std::string why) { return {DeployReply::Kind::rejected, "", std::move(why)}; }

}  // namespace

Result<void> DeployPort::open(uint64_t pid, uint64_t start_ticks) {
  listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  DeployAddress const at = deploy_address(pid, start_ticks);
  if (listener_.valid() &&
      bind(listener_.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size) == 0 &&
      listen(listener_.get(), backlog) == 0)
    return {};
  Error const error{fmt::format("the socket for deploys: {}", std::strerror(errno))};
  listener_.reset();
  return error;
}

void DeployPort::add_to(std::vector<pollfd>& waits) const {
  if (listener_.valid() && clients_.size() < clients_max)
    waits.push_back({listener_.get(), POLLIN, 0});
  for (const Client& client : clients_)
    if (!client.waits) waits.push_back({client.socket.get(), POLLIN, 0});
}

std::vector<int> DeployPort::descriptors() const {
  std::vector<int> all{listener_.get()};
  for (const Client& client : clients_) all.push_back(client.socket.get());
  return all;
}

void DeployPort::accept_new(uint64_t now_ns) {
  if (!listener_.valid()) return;
  for (size_t accepted = 0; accepted < clients_max && clients_.size() < clients_max; ++accepted) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) return;
    if (!is_allowed(socket.get())) {
      // What it has sent is read first: a close with unread data would hide the reply from it.
      char unread = 0;
      recv(socket.get(), &unread, sizeof unread, MSG_DONTWAIT);
      send_reply(socket.get(), rejection(not_allowed_text), -1);
      continue;
    }
    clients_.push_back({std::move(socket), now_ns, false});
  }
}

// Returns false if the connection has to be closed.
bool DeployPort::read_request(Client& client, const Serve& serve) {
  // One byte more than the longest packet: a longer one is not read as a shorter one.
  char packet[deploy_packet_bytes_max + 1];
  UniqueFd descriptor;
  ssize_t const size = receive_packet(client.socket.get(), packet, descriptor, MSG_DONTWAIT);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size == 0) return false;
  auto request = read_deploy_request({packet, static_cast<size_t>(size)});
  std::optional<Served> served;
  if (!request)
    served = {rejection("huntctl and huntd are not of the same version")};
  else
    served = serve({std::move(*request), std::move(descriptor)});
  if (served) {
    send_reply(client.socket.get(), served->reply, served->descriptor);
    return true;  // the client may send another request
  }
  client.waits = true;
  shown_.clear();
  return true;
}

void DeployPort::step(uint64_t now_ns, const Serve& serve) {
  accept_new(now_ns);
  for (Client& client : clients_) {
    if (client.waits) continue;
    bool const late = now_ns - client.since_ns > request_wait_ns;
    if (!read_request(client, serve) || (late && !client.waits)) client.socket.reset();
  }
  std::erase_if(clients_, [](const Client& client) { return !client.socket.valid(); });
}

void DeployPort::show_progress(const std::string& text) {
  if (text == shown_) return;
  shown_ = text;
  for (const Client& client : clients_)
    if (client.waits) send_reply(client.socket.get(), {DeployReply::Kind::progress, "", text}, -1);
}

void DeployPort::finish(const DeployReply& reply) {
  for (const Client& client : clients_)
    if (client.waits) send_reply(client.socket.get(), reply, -1);
  std::erase_if(clients_, [](const Client& client) { return client.waits; });
}

}  // namespace huntd::server
