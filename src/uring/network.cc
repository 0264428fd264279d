#include "uring/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"

namespace huntd::uring {
namespace {

// Out of descriptors or memory: taking new connections rests this long instead of spinning.
constexpr uint64_t accept_rest_ns = 50'000'000;
// The kernel tells one waiting core of a connection, and one that stands still (SIGSTOP, a stalled
// hypervisor) lets it lie: the others look this often.
constexpr uint64_t accept_renew_ns = 200'000'000;
constexpr unsigned connect_silence_ms = 5000;

// SOCKET_URING_OP_GETSOCKOPT of kernel 6.7, newer than liburing 2.3; slots are of a newer one.
constexpr uint32_t socket_command_getsockopt = 2;

// Fills in a socket address; the parent has resolved names already. 0 where the text is no address.
socklen_t fill(const Address& address, sockaddr_storage& into) {
  if (address.unix_socket) {
    auto* un = reinterpret_cast<sockaddr_un*>(&into);
    if (address.host.size() >= sizeof un->sun_path) return 0;
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, address.host.c_str(), address.host.size() + 1);
    return sizeof *un;
  }
  auto* v4 = reinterpret_cast<sockaddr_in*>(&into);
  if (inet_pton(AF_INET, address.host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    return sizeof *v4;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&into);
  if (inet_pton(AF_INET6, address.host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address.port);
    return sizeof *v6;
  }
  return 0;
}

// How long the address of a client of this listening socket is; 0 where it is no TCP socket.
socklen_t name_bytes(int listen_descriptor) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (getsockname(listen_descriptor, reinterpret_cast<sockaddr*>(&name), &length) != 0) return 0;
  return name.ss_family == AF_INET || name.ss_family == AF_INET6 ? length : 0;
}

std::optional<ClientAddress> client_address(const sockaddr_storage& of) {
  if (of.ss_family == AF_INET)
    return ClientAddress{false, ntohl(reinterpret_cast<const sockaddr_in&>(of).sin_addr.s_addr)};
  if (of.ss_family != AF_INET6) return std::nullopt;
  const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(of).sin6_addr;
  ClientAddress found;
  // A socket that listens on [::] shows IPv4 clients as ::ffff:a.b.c.d (RFC 4291).
  found.v6 = !IN6_IS_ADDR_V4MAPPED(&address);
  for (int i = found.v6 ? 0 : 12; i < (found.v6 ? 8 : 16); ++i)
    found.bits = found.bits << 8 | address.s6_addr[i];
  return found;
}

}  // namespace

UringNetwork::UringNetwork(Ring& ring, Scheduler& scheduler, int listen_descriptor)
    : ring_(ring), scheduler_(scheduler), listen_descriptor_(listen_descriptor) {}

void UringNetwork::start_accepting(AcceptUser& user, bool tell_addresses) {
  accept_user_ = &user;
  name_bytes_ = tell_addresses ? name_bytes(listen_descriptor_) : 0;
  accept_wanted_ = true;
  if (!accept_.armed()) arm_accepts();
}

void UringNetwork::stop_accepting() {
  accept_wanted_ = false;
  scheduler_.disarm(accept_);
  scheduler_.disarm(renewal_);
  if (accepting_ > 0) ring_.cancel_all(accept_);
}

// A new accept takes what waits before it waits itself: the end of an old one arms the next.
void UringNetwork::renew_accepts() {
  if (accepting_ == 0) return arm_accepts();
  ring_.cancel_all(accept_);
}

size_t UringNetwork::room() const {
  size_t const room = accept_user_->room();
  return room - std::min(room, naming_);
}

void UringNetwork::arm_accepts() {
  if (!accept_wanted_) return;
  size_t const left = room();
  if (accepting_ == 0 && left > limits::listen_backlog) {
    arm_accept(true);
  } else if (accepting_ == 0 || !multishot_) {
    while (accepting_ < std::min(left, limits::accepts_max)) arm_accept(false);
  }
  if (!renewal_.armed()) scheduler_.arm(renewal_, scheduler_.now_ns() + accept_renew_ns);
}

void UringNetwork::arm_accept(bool multishot) {
  io_uring_sqe* sqe = ring_.prepare(accept_);
  int const accept_flags = ring_.has_slots() ? 0 : SOCK_CLOEXEC;  // exec passes no slot on
  if (multishot)
    io_uring_prep_multishot_accept(sqe, listen_descriptor_, nullptr, nullptr, accept_flags);
  else
    io_uring_prep_accept(sqe, listen_descriptor_, nullptr, nullptr, accept_flags);
  // As liburing's prep_accept_direct does in later versions than 2.3, for the kernel to choose a
  // slot.
  if (ring_.has_slots()) sqe->file_index = IORING_FILE_INDEX_ALLOC;
  multishot_ = multishot;
  ++accepting_;
}

void UringNetwork::on_accepted(int32_t result, uint32_t flags) {
  bool const goes_on = (flags & IORING_CQE_F_MORE) != 0;
  if (!goes_on) --accepting_;
  // What was accepted before the wish to stop took hold is served all the same.
  if (result >= 0) {
    UringStream& stream = idle_stream();
    if (ring_.has_slots())
      stream.open_slot(result, BufferGroup::clients);
    else
      stream.open(result, BufferGroup::clients);
    introduce(stream, result);
  }
  if (!accept_wanted_ || accept_.armed()) return;
  if (goes_on) {
    if (room() <= limits::listen_backlog) ring_.cancel_all(accept_);
    return;
  }
  if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
    log::warning(
        "accept rests: out of descriptors or memory",
        {{"error", std::strerror(-result)},
         {"cure", ring_.has_slots() ? "raise http.connections_max" : "raise LimitNOFILE"}});
    scheduler_.arm(accept_, scheduler_.now_ns() + accept_rest_ns);
    return;
  }
  arm_accepts();
}

void UringNetwork::introduce(UringStream& stream, int accepted) {
  if (name_bytes_ == 0) return accept_user_->on_accepted(StreamPtr(&stream), std::nullopt);
  if (!ring_.has_slots())
    return accept_user_->on_accepted(StreamPtr(&stream), address_of(accepted));
  auto* op = new Naming(*this, StreamPtr(&stream));  // frees itself at its completion
  ++naming_;
  io_uring_sqe* sqe = ring_.prepare(*op);
  io_uring_prep_rw(IORING_OP_URING_CMD, sqe, accepted, nullptr, 0, socket_command_getsockopt);
  sqe->flags |= IOSQE_FIXED_FILE;
  // The fields that getsockopt(2) has, where the kernel reads them in this operation.
  sqe->addr = static_cast<uint64_t>(SO_PEERNAME) << 32 | SOL_SOCKET;
  sqe->file_index = name_bytes_;
  sqe->addr3 = reinterpret_cast<uint64_t>(&op->address);
}

void UringNetwork::Naming::complete(int32_t result, uint32_t flags) {
  --network.naming_;
  if (result < 0)
    log::warning("a client is not counted: its address is not known",
                 {{"error", std::strerror(-result)}});
  network.accept_user_->on_accepted(std::move(stream),
                                    result < 0 ? std::nullopt : client_address(address));
  delete this;
}

std::optional<ClientAddress> UringNetwork::address_of(int descriptor) {
  sockaddr_storage name{};
  socklen_t length = sizeof name;
  if (getpeername(descriptor, reinterpret_cast<sockaddr*>(&name), &length) != 0)
    return std::nullopt;
  return client_address(name);
}

StreamPtr UringNetwork::adopt(int descriptor) {
  UringStream& stream = idle_stream();
  stream.open(descriptor, BufferGroup::clients);
  if (ring_.has_slots()) stream.enter_table();
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
    return user.on_connected(Error{"not an address: " + address.host});
  }
  op->descriptor = socket(op->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (op->descriptor < 0) {
    delete op;
    return user.on_connected(Error{std::string("socket: ") + std::strerror(errno)});
  }
  if (op->address.ss_family != AF_UNIX) {
    int const on = 1;
    setsockopt(op->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // A peer that vanished without a word is noticed (tcp(7)), also while connecting.
    unsigned const silent_ms = connect_silence_ms;
    setsockopt(op->descriptor, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
    setsockopt(op->descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  io_uring_sqe* sqe = ring_.prepare(*op);
  io_uring_prep_connect(sqe, op->descriptor, reinterpret_cast<sockaddr*>(&op->address), length);
}

void UringNetwork::Connect::complete(int32_t result, uint32_t flags) {
  if (result < 0) {
    close(descriptor);
    user.on_connected(Error{std::string("connect: ") + std::strerror(-result)});
  } else {
    UringStream& stream = network.idle_stream();
    stream.open(descriptor, BufferGroup::outgoing);
    user.on_connected(StreamPtr(&stream));
  }
  delete this;
}

}  // namespace huntd::uring
