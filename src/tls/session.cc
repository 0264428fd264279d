// SPDX-License-Identifier: Apache-2.0
#include "tls/session.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <climits>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/net.h"

namespace huntd::tls {
namespace {

// A record's payload is at most that long (RFC 8446, 5.1).
constexpr size_t record_bytes_max = 16 * 1024;

// Of the server's certificate, by X509_verify_cert_error_string(3). Empty for another fault.
std::string certificate_fault(long result, const std::string& peer) {
  switch (result) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return "no authority that is trusted has issued the server's certificate: see "
             "redis.tls_ca_file";
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "the server's certificate, or one of its chain, has expired: renew it";
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return "the server's certificate is not valid yet: see the clocks of both hosts";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format(
          "the server's certificate is not for {}: set redis.tls_server_name to a name that it has",
          peer);
    default:
      return fmt::format("the server's certificate is not valid: {}",
                         X509_verify_cert_error_string(result));
  }
}

// The words for a code of OpenSSL's error queue; empty if there are none.
std::string_view words_of(int reason) {
  switch (reason) {
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE:
      return "the server wants a certificate of its client (redis.tls_cert_file), or no cipher suits "
             "both";
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
      return "the server rejects the certificate in redis.tls_cert_file";
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
      return "the certificate in redis.tls_cert_file has expired: renew it";
    case SSL_R_WRONG_VERSION_NUMBER:
      return "the server has no TLS at this address (redis.tls)";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
      return "the server has neither TLS 1.2 nor 1.3";
    default:
      return {};
  }
}

}  // namespace

void Session::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Session::Session(const Context& context, std::string peer)
    : peer_(std::move(peer)), context_(context), ssl_(SSL_new(context.get())) {
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  CHECK(ssl_ != nullptr && in_ != nullptr && out_ != nullptr);
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_connect_state(ssl_.get());
  X509_VERIFY_PARAM* const wanted = SSL_get0_param(ssl_.get());
  if (is_numeric(peer_))
    checks_peer_ = X509_VERIFY_PARAM_set1_ip_asc(wanted, peer_.c_str()) == 1;
  else
    checks_peer_ = X509_VERIFY_PARAM_set1_host(wanted, peer_.c_str(), peer_.size()) == 1 &&
                   SSL_set_tlsext_host_name(ssl_.get(), peer_.c_str()) == 1;
}

// REQUIRES: the last call has failed.
std::string Session::fault_in_words() const {
  long const verified = SSL_get_verify_result(ssl_.get());
  unsigned long const code = ERR_peek_last_error();
  std::string const reason = take_error();
  if (!established_ && verified != X509_V_OK) return certificate_fault(verified, peer_);
  std::string_view const words =
      ERR_GET_LIB(code) == ERR_LIB_SSL ? words_of(ERR_GET_REASON(code)) : std::string_view();
  if (words.empty()) return fmt::format("TLS: {}", reason);
  return fmt::format("{} ({})", words, reason);
}

Result<void> Session::receive(std::string_view bytes, std::string& plain) {
  CHECK(bytes.size() <= INT_MAX);
  ERR_clear_error();
  if (!checks_peer_)
    return Error{fmt::format("no certificate can be for {}: set redis.tls_server_name", peer_)};
  if (!bytes.empty())
    CHECK(BIO_write(in_, bytes.data(), static_cast<int>(bytes.size())) ==
          static_cast<int>(bytes.size()));
  if (!established_) {
    int const done = SSL_do_handshake(ssl_.get());
    established_ = done == 1;
    if (!established_ && SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return {};
    if (!established_) return Error{fault_in_words()};
  }
  char buffer[record_bytes_max];
  int got = 0;
  while ((got = SSL_read(ssl_.get(), buffer, sizeof buffer)) > 0)
    plain.append(buffer, static_cast<size_t>(got));
  got_bytes_ = got_bytes_ || !plain.empty();
  int const why = SSL_get_error(ssl_.get(), got);
  ended_ = why == SSL_ERROR_ZERO_RETURN;
  if (ended_ || why == SSL_ERROR_WANT_READ) return {};
  return Error{fault_in_words()};
}

Result<void> Session::send(std::string_view plain) {
  CHECK(established_ && plain.size() <= INT_MAX);
  ERR_clear_error();
  if (plain.empty()) return {};
  // Into memory, so all of it is taken at once.
  int const taken = SSL_write(ssl_.get(), plain.data(), static_cast<int>(plain.size()));
  if (taken == static_cast<int>(plain.size())) return {};
  return Error{fault_in_words()};
}

std::string Session::end_in_words(int error) const {
  std::string const what = error == 0 ? "the server closed the connection" : std::strerror(error);
  if (!established_) return what + " during the TLS handshake";
  if (got_bytes_) return what;
  // By then the server may have read the client's certificate, and what it says of it can be lost with
  // the connection (RFC 8446, 4.4.2.4).
  return what +
         " before its first reply: perhaps the server wants a certificate of its client, or "
         "rejects the one in redis.tls_cert_file";
}

void Session::take_output(std::string& bytes) {
  char* data = nullptr;
  long const size = BIO_get_mem_data(out_, &data);
  if (size <= 0) return;
  bytes.append(data, static_cast<size_t>(size));
  CHECK(BIO_reset(out_) == 1);
}

}  // namespace huntd::tls
