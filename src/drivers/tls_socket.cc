// SPDX-License-Identifier: Apache-2.0
#include "drivers/tls_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/clock.h"

namespace huntd {

Result<std::unique_ptr<TlsSocket>> TlsSocket::open(int socket, const tls::Context& context,
                                                   std::string peer, int64_t give_up_at_ms) {
  std::unique_ptr<TlsSocket> opened(new TlsSocket(socket, context, std::move(peer)));
  std::string early;  // Redis sends nothing before a command
  Result<void> done = opened->session_.receive({}, early);
  while (done) {
    done = opened->flush();
    if (!done || opened->session_.established()) break;
    pollfd readable{.fd = socket, .events = POLLIN, .revents = 0};
    int64_t const wait_ms = std::clamp<int64_t>(give_up_at_ms - monotonic_ms(), 0, INT_MAX);
    if (::poll(&readable, 1, static_cast<int>(wait_ms)) == 0)
      done = Error{""};
    else
      done = opened->receive(early);
  }
  if (done) return opened;
  if (!done.error().message.empty()) return done.error();
  return Error{"the server does not complete the TLS handshake: is this address one with TLS?"};
}

Result<void> TlsSocket::flush() {
  std::string bytes;
  session_.take_output(bytes);
  std::string_view left = bytes;
  while (!left.empty()) {
    ssize_t const sent = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return Error{errno == EAGAIN ? "" : session_.end_in_words(errno)};
    left.remove_prefix(static_cast<size_t>(sent));
  }
  return {};
}

Result<void> TlsSocket::send(std::string_view bytes) {
  if (Result<void> taken = session_.send(bytes); !taken) return taken;
  return flush();
}

Result<void> TlsSocket::receive(std::string& plain) {
  char buffer[16 * 1024];
  ssize_t const got = ::recv(socket_, buffer, sizeof buffer, 0);
  if (got < 0 && errno == EINTR) return {};
  if (got < 0) return Error{errno == EAGAIN ? "" : session_.end_in_words(errno)};
  if (got == 0) return Error{session_.end_in_words(0)};
  Result<void> taken = session_.receive({buffer, static_cast<size_t>(got)}, plain);
  if (!taken) return taken;
  if (session_.ended() && plain.empty()) return Error{session_.end_in_words(0)};
  return flush();
}

}  // namespace huntd
