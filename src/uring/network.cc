#include "uring/network.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace huntd::uring {
namespace {

// Out of descriptors or memory: taking new connections rests this long instead of spinning.
constexpr uint64_t accept_rest_ns = 50'000'000;
// The kernel tells one waiting core of a connection, and one that stands still (SIGSTOP, a stalled
// hypervisor) lets it lie: the others look this often.
constexpr uint64_t accept_renew_ns = 200'000'000;
constexpr unsigned connect_silence_ms = 5000;

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

}  // namespace

UringNetwork::UringNetwork(Ring& ring, Scheduler& scheduler, int listen_descriptor)
    : ring_(ring), scheduler_(scheduler), listen_descriptor_(listen_descriptor) {}

void UringNetwork::start_accepting(AcceptUser& user) {
  accept_user_ = &user;
  accept_wanted_ = true;
  if (!accepting_ && !accept_.armed()) arm_accept();
}

void UringNetwork::stop_accepting() {
  accept_wanted_ = false;
  scheduler_.disarm(accept_);
  scheduler_.disarm(renewal_);
  if (accepting_) ring_.cancel(accept_);
}

// A new accept takes what waits before it waits itself: its end arms the next one.
void UringNetwork::renew_accept() {
  if (accepting_) ring_.cancel(accept_);
}

void UringNetwork::arm_accept() {
  if (!accept_wanted_) return;
  io_uring_sqe* sqe = ring_.prepare(accept_);
  if (ring_.has_slots())
    io_uring_prep_multishot_accept_direct(sqe, listen_descriptor_, nullptr, nullptr, 0);
  else
    io_uring_prep_multishot_accept(sqe, listen_descriptor_, nullptr, nullptr, SOCK_CLOEXEC);
  accepting_ = true;
  scheduler_.arm(renewal_, scheduler_.now_ns() + accept_renew_ns);
}

void UringNetwork::on_accepted(int32_t result, uint32_t flags) {
  if ((flags & IORING_CQE_F_MORE) == 0) accepting_ = false;
  // What was accepted before the wish to stop took hold is served all the same.
  if (result >= 0) {
    UringStream& stream = idle_stream();
    if (ring_.has_slots())
      stream.open_slot(result);
    else
      stream.open(result);
    accept_user_->on_accepted(StreamPtr(&stream));
  }
  if (accepting_ || !accept_wanted_) return;
  if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
    log::warning(
        "accept rests: out of descriptors or memory",
        {{"error", std::strerror(-result)},
         {"cure", ring_.has_slots() ? "raise http.connections_max" : "raise LimitNOFILE"}});
    scheduler_.arm(accept_, scheduler_.now_ns() + accept_rest_ns);
    return;
  }
  arm_accept();
}

StreamPtr UringNetwork::adopt(int descriptor) {
  UringStream& stream = idle_stream();
  stream.open(descriptor);
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
    stream.open(descriptor);
    user.on_connected(StreamPtr(&stream));
  }
  delete this;
}

}  // namespace huntd::uring
