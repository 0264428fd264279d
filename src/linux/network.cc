// SPDX-License-Identifier: Apache-2.0
#include "linux/network.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/net.h"

namespace huntd::server {
namespace {

// After EMFILE, ENFILE, ENOMEM or ENOBUFS, wait this long before accepting again.
constexpr uint64_t accept_pause_ns = 50'000'000;
constexpr uint64_t pause_logged_every_ns = 10'000'000'000;
// The kernel wakes only one core per connection. If that core is stopped (SIGSTOP, a stalled VM),
// the connection would stay in the backlog, so every core submits its accept again at this
// interval.
constexpr uint64_t accept_refresh_ns = 200'000'000;
// A peer that does not acknowledge for this long is disconnected (TCP_USER_TIMEOUT).
constexpr unsigned connect_timeout_ms = 5000;

// SOCKET_URING_OP_GETSOCKOPT: of kernel 6.7, which every kernel with usable slots is newer than;
// liburing 2.3 does not have it.
constexpr uint32_t socket_command_getsockopt = 2;

// Fills in a socket address and returns its size in bytes; 0 if `address` is not numeric.
socklen_t fill(const Address& address, sockaddr_storage& into) {
  if (address.unix_socket) {
    auto* un = reinterpret_cast<sockaddr_un*>(&into);
    if (address.host.size() >= sizeof un->sun_path) return 0;
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, address.host.c_str(), address.host.size() + 1);
    return sizeof *un;
  }
  return numeric_address(address.host, address.port, into);
}

// The size of a client's address on this listening socket; 0 if it is not a TCP socket.
socklen_t name_bytes(int listen_descriptor) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (getsockname(listen_descriptor, reinterpret_cast<sockaddr*>(&name), &length) != 0) return 0;
  return name.ss_family == AF_INET || name.ss_family == AF_INET6 ? length : 0;
}

Peer peer_of(const sockaddr_storage& name) {
  if (name.ss_family == AF_INET) {
    const in_addr& address = reinterpret_cast<const sockaddr_in&>(name).sin_addr;
    return {Peer::Kind::ip, ipv4_of(reinterpret_cast<const uint8_t*>(&address.s_addr))};
  }
  if (name.ss_family != AF_INET6) return {};
  return {Peer::Kind::ip, ipv6_of(reinterpret_cast<const sockaddr_in6&>(name).sin6_addr.s6_addr)};
}

Peer peer_of(int descriptor) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&name), &length) != 0) return {};
  return peer_of(name);
}

}  // namespace

UringNetwork::UringNetwork(Ring& ring, Scheduler& scheduler,
                           const std::vector<int>& listen_descriptors)
    : ring_(ring), scheduler_(scheduler) {
  for (int const descriptor : listen_descriptors) listeners_.emplace_back(*this, descriptor);
}

void UringNetwork::start_accepting(AcceptUser& user, bool with_peers) {
  accept_user_ = &user;
  for (Listener& listener : listeners_) {
    listener.with_peers = with_peers;
    listener.name_bytes = name_bytes(listener.descriptor);
  }
  accept_wanted_ = true;
  if (!pause_.armed()) arm_accepts();
}

void UringNetwork::stop_accepting() {
  accept_wanted_ = false;
  scheduler_.disarm(pause_);
  scheduler_.disarm(refresh_);
  cancel_accepts();
}

void UringNetwork::cancel_accepts() {
  for (Listener& listener : listeners_)
    if (listener.accepting > 0) ring_.cancel_all(listener);
}

// A new accept operation first takes connections that wait in the backlog. The end of the cancelled
// operation submits the new one.
void UringNetwork::refresh_accepts() {
  cancel_accepts();
  arm_accepts();
}

size_t UringNetwork::room() const {
  size_t const room = accept_user_->room();
  return room - std::min(room, naming_);
}

// What the multishot operations can deliver at once.
size_t UringNetwork::backlogs() const { return listeners_.size() * limits::listen_backlog; }

void UringNetwork::arm_accepts() {
  for (Listener& listener : listeners_) arm_accepts(listener);
}

void UringNetwork::arm_accepts(Listener& listener) {
  if (!accept_wanted_) return;
  size_t const left = room();
  if (listener.accepting == 0 && left > backlogs()) {
    arm_accept(listener, true);
  } else if (left > 0 && (listener.accepting == 0 || !listener.multishot)) {
    size_t const share = std::clamp<size_t>(left / listeners_.size(), 1, limits::accepts_max);
    while (listener.accepting < share) arm_accept(listener, false);
  }
  if (!refresh_.armed()) scheduler_.arm(refresh_, scheduler_.now_ns() + accept_refresh_ns);
}

void UringNetwork::arm_accept(Listener& listener, bool multishot) {
  io_uring_sqe* sqe = ring_.prepare(listener);
  int const accept_flags = ring_.has_slots() ? 0 : SOCK_CLOEXEC;  // a slot is not inherited
  if (multishot)
    io_uring_prep_multishot_accept(sqe, listener.descriptor, nullptr, nullptr, accept_flags);
  else
    io_uring_prep_accept(sqe, listener.descriptor, nullptr, nullptr, accept_flags);
  // The kernel chooses a slot. prep_accept_direct of liburing 2.3 cannot express that.
  if (ring_.has_slots()) sqe->file_index = IORING_FILE_INDEX_ALLOC;
  listener.multishot = multishot;
  ++listener.accepting;
}

void UringNetwork::on_accepted(Listener& listener, int32_t result, uint32_t flags) {
  bool const more = (flags & IORING_CQE_F_MORE) != 0;
  if (!more) --listener.accepting;
  // Connections accepted before stop_accepting() took effect are delivered too.
  if (result >= 0) {
    UringStream& stream = idle_stream();
    if (ring_.has_slots())
      stream.open_slot(result, BufferGroup::clients);
    else
      stream.open(result, BufferGroup::clients);
    deliver_accepted(stream, result, listener);
  }
  if (!accept_wanted_ || pause_.armed()) return;
  if (more) {
    if (room() <= backlogs()) cancel_accepts();
    return;
  }
  if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
    pause_accepts(result);
    return;
  }
  arm_accepts(listener);
}

// It may go on for hours, with many pauses per second.
void UringNetwork::pause_accepts(int32_t result) {
  uint64_t const now_ns = scheduler_.now_ns();
  if (pause_logged_at_ns_ == 0 || now_ns - pause_logged_at_ns_ >= pause_logged_every_ns) {
    pause_logged_at_ns_ = now_ns;
    log::warning(
        "accept paused: out of file descriptors or memory; new clients wait",
        {{"error", std::strerror(-result)},
         {"hint", ring_.has_slots() ? "raise http.connections_max" : "raise LimitNOFILE"}});
  }
  scheduler_.arm(pause_, now_ns + accept_pause_ns);
}

void UringNetwork::deliver_accepted(UringStream& stream, int accepted, const Listener& listener) {
  if (!listener.with_peers) return accept_user_->on_accepted(StreamPtr(&stream), {});
  if (listener.name_bytes == 0)
    return accept_user_->on_accepted(StreamPtr(&stream), {Peer::Kind::unix_socket});
  if (!ring_.has_slots()) return accept_user_->on_accepted(StreamPtr(&stream), peer_of(accepted));
  auto* op = new GetPeerName(*this, StreamPtr(&stream));  // frees itself at its completion
  ++naming_;
  io_uring_sqe* sqe = ring_.prepare(*op);
  io_uring_prep_rw(IORING_OP_URING_CMD, sqe, accepted, nullptr, 0, socket_command_getsockopt);
  sqe->flags |= IOSQE_FIXED_FILE;
  // The arguments of getsockopt(2), in the fields where the kernel reads them.
  sqe->addr = static_cast<uint64_t>(SO_PEERNAME) << 32 | SOL_SOCKET;
  sqe->file_index = listener.name_bytes;
  sqe->addr3 = reinterpret_cast<uint64_t>(&op->address);
}

void UringNetwork::GetPeerName::complete(int32_t result, uint32_t flags) {
  --network.naming_;
  if (result < 0)
    log::warning("client address unknown: the connection does not count for its address",
                 {{"error", std::strerror(-result)}});
  network.accept_user_->on_accepted(std::move(stream), result < 0 ? Peer() : peer_of(address));
  delete this;
}

StreamPtr UringNetwork::adopt(int descriptor) {
  UringStream& stream = idle_stream();
  stream.open(descriptor, BufferGroup::clients);
  if (ring_.has_slots()) stream.move_to_slot();
  return StreamPtr(&stream);
}

UringStream& UringNetwork::idle_stream() {
  if (idle_.empty()) {
    streams_.push_back(std::make_unique<UringStream>(*this));
    idle_.push_back(streams_.back().get());
  }
  UringStream* stream = idle_.back();
  idle_.pop_back();
  return *stream;
}

void UringNetwork::connect(const Address& address, ConnectUser& user) {
  auto* op = new Connect(*this, user);  // frees itself at its completion
  socklen_t const length = fill(address, op->address);
  if (length == 0) {
    delete op;
    return user.on_connected(Error{"not a numeric address: " + address.host});
  }
  op->descriptor.reset(socket(op->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int const descriptor = op->descriptor.get();
  if (descriptor < 0) {
    delete op;
    return user.on_connected(Error{std::string("socket: ") + std::strerror(errno)});
  }
  if (op->address.ss_family != AF_UNIX) {
    int const on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // Detects a peer that vanished (tcp(7)), also while connecting.
    unsigned const timeout_ms = connect_timeout_ms;
    setsockopt(descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof timeout_ms);
    setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  io_uring_sqe* sqe = ring_.prepare(*op);
  io_uring_prep_connect(sqe, descriptor, reinterpret_cast<sockaddr*>(&op->address), length);
}

void UringNetwork::Connect::complete(int32_t result, uint32_t flags) {
  if (result < 0) {
    user.on_connected(Error{std::string("connect: ") + std::strerror(-result)});
  } else {
    UringStream& stream = network.idle_stream();
    stream.open(descriptor.release(), BufferGroup::outgoing);
    user.on_connected(StreamPtr(&stream));
  }
  delete this;
}

}  // namespace huntd::server
