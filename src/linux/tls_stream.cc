// SPDX-License-Identifier: Apache-2.0
#include "linux/tls_stream.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "linux/tls_limits.h"

namespace huntd::server {

TlsStream::Call::~Call() {
  if (--stream_.calls_ == 0 && stream_.closed_) delete &stream_;
}

TlsStream::TlsStream(Scheduler& scheduler, const tls::Context& context, std::string peer,
                     StreamPtr plain, ConnectUser& user)
    : scheduler_(scheduler),
      session_(context, std::move(peer)),
      plain_(std::move(plain)),
      connecting_(&user) {}

void TlsStream::open(Scheduler& scheduler, const tls::Context& context, std::string peer,
                     StreamPtr plain, ConnectUser& user) {
  // Frees itself when it is closed.
  auto* const stream = new TlsStream(scheduler, context, std::move(peer), std::move(plain), user);
  Call const call(*stream);
  scheduler.arm(*stream, scheduler.now_ns() + limits::tls_handshake_ns);
  stream->plain_->set_user(*stream);
  stream->plain_->read();
  stream->receive({});
}

// Takes bytes of the server: continues the handshake, or has them for the user.
void TlsStream::receive(std::string_view bytes) {
  Result<void> const received = session_.receive(bytes, received_);
  flush();
  if (!received) return fail(EPROTO, received.error().message);
  if (connecting_ != nullptr && session_.established()) {
    scheduler_.disarm(*this);
    std::exchange(connecting_, nullptr)->on_connected(StreamPtr(this));
  }
  deliver();
}

void TlsStream::on_bytes(std::string_view bytes) {
  Call const call(*this);
  if (!closed_ && !ended_) receive(bytes);
}

void TlsStream::read() {
  reading_ = true;
  if (calls_ > 0) return;  // in on_connected(), behind which receive() delivers
  Call const call(*this);
  deliver();
}

void TlsStream::deliver() {
  if (closed_ || ended_ || !reading_) return;
  if (!received_.empty()) user_->on_bytes(std::exchange(received_, {}));
  if (!closed_ && session_.ended()) end(0);
}

void TlsStream::send(std::string& bytes) {
  CHECK(!sending_);
  Call const call(*this);
  sending_ = true;
  Result<void> const sent = session_.send(bytes);
  bytes.clear();
  if (sent) return flush();
  fail(EPROTO, sent.error().message);
}

// Sends what the session has for the server, unless a send is in flight.
void TlsStream::flush() {
  session_.take_output(out_);
  if (!out_.empty() && plain_ && !plain_->sending()) plain_->send(out_);
}

void TlsStream::on_sent(int error) {
  Call const call(*this);
  if (closed_) return;
  if (error != 0) return on_end(error);
  flush();
  if (plain_->sending() || !std::exchange(sending_, false)) return;
  user_->on_sent(0);
}

void TlsStream::on_end(int error) {
  Call const call(*this);
  if (!closed_ && !ended_) fail(error, session_.end_in_words(error));
}

void TlsStream::on_deadline() {
  Call const call(*this);
  fail(ETIMEDOUT, "the server does not complete the TLS handshake: is this address one with TLS?");
}

// Ends the connection.
void TlsStream::fail(int error, std::string why) {
  fault_ = std::move(why);
  if (connecting_ == nullptr) return end(error);
  if (armed()) scheduler_.disarm(*this);
  ConnectUser& user = *std::exchange(connecting_, nullptr);
  close();
  user.on_connected(Error{fault_});
}

// Reports that no more bytes come. It closes the stream, perhaps within the call.
void TlsStream::end(int error) {
  if (std::exchange(ended_, true)) return;
  if (user_ != nullptr) user_->on_end(error);
}

void TlsStream::close() {
  Call const call(*this);
  closed_ = true;
  plain_.reset();
}

void TlsStream::pause() { CHECK(false); }
void TlsStream::release() { CHECK(false); }

}  // namespace huntd::server
