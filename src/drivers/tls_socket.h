// SPDX-License-Identifier: Apache-2.0
// TLS of a client over a blocking socket.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tls/session.h"

namespace huntd {

class TlsSocket {
 public:
  // Handshakes over `socket`, which it does not own and which outlives it. Each read waits as long as
  // the socket's SO_RCVTIMEO says, all of them until `give_up_at_ms` (monotonic_ms()).
  static Result<std::unique_ptr<TlsSocket>> open(int socket, const tls::Context& context,
                                                 std::string peer, int64_t give_up_at_ms);

  // Sends all of `bytes`. The message of the error is empty if the server took nothing in time.
  Result<void> send(std::string_view bytes);
  // Reads once, and appends what that says to `plain`: perhaps nothing, if it is only a part of a
  // record, or if a signal came. The message of the error is empty if nothing came in time.
  Result<void> receive(std::string& plain);

 private:
  TlsSocket(int socket, const tls::Context& context, std::string peer)
      : socket_(socket), session_(context, std::move(peer)) {}
  Result<void> flush();

  int const socket_;
  tls::Session session_;
};

}  // namespace huntd
