// SPDX-License-Identifier: Apache-2.0
// The least that an HTTP server on io_uring costs: one thread responds to each request with the bytes
// of a file, and looks at no more of it than its end (bench/http.py).
//   http-floor PORT FILE
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr unsigned connections_max = 4096;
constexpr unsigned buffers = 1024;
constexpr unsigned buffer_bytes = 4096;
constexpr std::string_view head_end = "\r\n\r\n";

enum Kind : uint64_t { accepted, received, sent };

[[noreturn]] void fail(const char* what) {
  std::perror(what);
  std::exit(1);
}

// A client that has its responses on the way may send further requests: they wait in `owed`.
struct Client {
  std::string out;     // in flight
  size_t done = 0;     // of it, already sent
  size_t owed = 0;     // responses that wait for it
  size_t matched = 0;  // how much of head_end has come
  bool ended = false;  // by the client
};

class Floor {
 public:
  Floor(int listener, std::string response) : listener_(listener), response_(std::move(response)) {
    io_uring_params params{};
    params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE;
    params.cq_entries = 8192;
    if (io_uring_queue_init_params(1024, &ring_, &params) < 0) fail("io_uring");
    if (io_uring_register_files_sparse(&ring_, connections_max) < 0) fail("slots");
    io_uring_register_ring_fd(&ring_);
    open_buffers();
    io_uring_prep_multishot_accept_direct(prepare(accepted, 0), listener_, nullptr, nullptr, 0);
  }

  void run() {
    for (;;) {
      io_uring_submit_and_wait(&ring_, 1);
      io_uring_cqe* batch[256];
      unsigned count = 0;
      while ((count = io_uring_peek_batch_cqe(&ring_, batch, 256)) > 0) {
        for (unsigned i = 0; i < count; ++i) complete(*batch[i]);
        io_uring_cq_advance(&ring_, count);
      }
    }
  }

 private:
  io_uring_sqe* prepare(Kind kind, unsigned slot) {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    while (sqe == nullptr) {
      io_uring_submit(&ring_);
      sqe = io_uring_get_sqe(&ring_);
    }
    io_uring_sqe_set_data64(sqe, uint64_t{slot} << 8 | kind);
    return sqe;
  }

  void open_buffers() {
    memory_.resize(size_t{buffers} * buffer_bytes);
    void* entries = nullptr;
    if (posix_memalign(&entries, 4096, buffers * sizeof(io_uring_buf)) != 0) fail("memory");
    ring_of_buffers_ = static_cast<io_uring_buf_ring*>(entries);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(entries);
    registration.ring_entries = buffers;
    if (io_uring_register_buf_ring(&ring_, &registration, 0) != 0) fail("buffers");
    io_uring_buf_ring_init(ring_of_buffers_);
    for (unsigned id = 0; id < buffers; ++id) add_buffer(id, static_cast<int>(id));
    io_uring_buf_ring_advance(ring_of_buffers_, buffers);
  }

  void add_buffer(unsigned id, int offset) {
    io_uring_buf_ring_add(ring_of_buffers_, &memory_[size_t{id} * buffer_bytes], buffer_bytes,
                          static_cast<uint16_t>(id), io_uring_buf_ring_mask(buffers), offset);
  }

  void complete(const io_uring_cqe& cqe) {
    auto const slot = static_cast<unsigned>(cqe.user_data >> 8);
    switch (static_cast<Kind>(cqe.user_data & 0xff)) {
      case accepted:
        if (cqe.res < 0) fail("accept");
        clients_[static_cast<size_t>(cqe.res)] = {};
        return receive(static_cast<unsigned>(cqe.res));
      case received:
        return on_received(slot, cqe);
      case sent:
        return on_sent(slot, cqe.res);
    }
  }

  void receive(unsigned slot) {
    io_uring_sqe* sqe = prepare(received, slot);
    io_uring_prep_recv_multishot(sqe, static_cast<int>(slot), nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
  }

  void on_received(unsigned slot, const io_uring_cqe& cqe) {
    if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
      unsigned const id = cqe.flags >> IORING_CQE_BUFFER_SHIFT;
      for (int i = 0; i < cqe.res; ++i)
        take(clients_[slot], memory_[size_t{id} * buffer_bytes + static_cast<size_t>(i)]);
      add_buffer(id, 0);
      io_uring_buf_ring_advance(ring_of_buffers_, 1);
      if (clients_[slot].out.empty()) send_owed(slot);
    }
    if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
    if (cqe.res > 0 || cqe.res == -ENOBUFS) return receive(slot);
    clients_[slot].ended = true;
    if (clients_[slot].out.empty()) end(slot);
  }

  void end(unsigned slot) { io_uring_prep_close_direct(prepare(sent, connections_max), slot); }

  static void take(Client& client, char byte) {
    client.matched = byte == head_end[client.matched] ? client.matched + 1 : byte == '\r' ? 1 : 0;
    if (client.matched < head_end.size()) return;
    client.matched = 0;
    ++client.owed;
  }

  void send_owed(unsigned slot) {
    Client& client = clients_[slot];
    for (; client.owed > 0; --client.owed) client.out += response_;
    if (!client.out.empty()) send(slot);
  }

  void send(unsigned slot) {
    const Client& client = clients_[slot];
    io_uring_sqe* sqe = prepare(sent, slot);
    io_uring_prep_send(sqe, static_cast<int>(slot), client.out.data() + client.done,
                       client.out.size() - client.done, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
  }

  void on_sent(unsigned slot, int result) {
    if (slot == connections_max) return;  // a close
    Client& client = clients_[slot];
    client.done += static_cast<size_t>(result > 0 ? result : 0);
    if (result > 0 && client.done < client.out.size()) return send(slot);
    client.out.clear();
    client.done = 0;
    if (client.ended) return end(slot);
    if (result > 0) send_owed(slot);
  }

  int listener_;
  std::string response_;
  io_uring ring_{};
  io_uring_buf_ring* ring_of_buffers_ = nullptr;
  std::vector<char> memory_;
  std::vector<Client> clients_{connections_max};
};

int listen_on(const char* port) {
  int const listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int const on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // clients inherit it
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(std::atoi(port)));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fail("bind");
  if (listen(listener, 4096) != 0) fail("listen");
  return listener;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fputs("usage: http-floor PORT FILE\n", stderr);
    return 2;
  }
  std::ifstream file(argv[2], std::ios::binary);
  std::string response((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (response.empty()) fail(argv[2]);
  Floor(listen_on(argv[1]), std::move(response)).run();
}
