// SPDX-License-Identifier: Apache-2.0
// One TLS connection of a client (RFC 8446, RFC 5246), without a socket: bytes go in and come out. The
// owner carries them, so it can be a ring or a blocking socket.
#pragma once
#include <string>
#include <string_view>

#include "base/result.h"
#include "tls/context.h"

struct ssl_st;
struct bio_st;

namespace huntd::tls {

// After an error the connection is of no use; what take_output() then has, an alert, may be sent.
class Session {
 public:
  // `peer` is the host name or the IP address that the server's certificate must have.
  Session(const Context& context, std::string peer);

  // Takes bytes from the server, at first none, and appends to `plain` what they say. Handshakes as
  // far as the bytes permit. The error says what the operator has to change.
  Result<void> receive(std::string_view bytes, std::string& plain);
  // Takes bytes for the server. REQUIRES: established().
  Result<void> send(std::string_view plain);
  // Appends to `bytes` what has to go to the server.
  void take_output(std::string& bytes);

  // Why the connection ended: with `error`, an errno, or if that is 0 because the server closed it.
  std::string end_in_words(int error) const;

  // The handshake is done: the server has proved who it is.
  bool established() const { return established_; }
  // The server has ended the connection in an orderly way.
  bool ended() const { return ended_; }

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  std::string fault_in_words() const;

  std::string const peer_;
  Context const context_;
  std::unique_ptr<ssl_st, Free> ssl_;
  bio_st* in_ = nullptr;  // ssl_ owns both
  bio_st* out_ = nullptr;
  bool checks_peer_ = false;  // OpenSSL takes `peer_` as a name or an address
  bool established_ = false;
  bool ended_ = false;
  bool got_bytes_ = false;  // from the server, behind the handshake
};

}  // namespace huntd::tls
