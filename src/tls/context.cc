// SPDX-License-Identifier: Apache-2.0
#include "tls/context.h"

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"
#include "base/private_file.h"

namespace huntd::tls {
namespace {

Error unusable(const char* key, const std::string& path, const std::string& why) {
  return Error{fmt::format("redis.tls_{}_file: {}: {}", key, path, why)};
}

// OpenSSL's own texts of a missing file say neither which nor why.
Result<void> check_readable(const char* key, const std::string& path) {
  if (access(path.c_str(), R_OK) != 0) return unusable(key, path, std::strerror(errno));
  return {};
}

Result<void> trust(ssl_ctx_st* context, const std::string& ca_file) {
  if (ca_file.empty()) {
    // Not its folder beside, whose files would be read during a handshake.
    static_cast<void>(SSL_CTX_set_default_verify_file(context));
    ERR_clear_error();
    if (sk_X509_OBJECT_num(X509_STORE_get0_objects(SSL_CTX_get_cert_store(context))) > 0) return {};
    return Error{fmt::format("redis.tls_ca_file: set it: the system has no authorities in {}",
                             X509_get_default_cert_file())};
  }
  if (Result<void> readable = check_readable("ca", ca_file); !readable) return readable;
  if (SSL_CTX_load_verify_file(context, ca_file.c_str()) == 1) return {};
  ERR_clear_error();
  return unusable("ca", ca_file, "there is no certificate in it (PEM)");
}

// A key that asks for a passphrase has no terminal to ask on.
int no_passphrase(char*, int, int, void*) { return 0; }

Result<void> identify(ssl_ctx_st* context, const Files& files) {
  if (files.certificate.empty()) return {};
  if (Result<void> readable = check_readable("cert", files.certificate); !readable) return readable;
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    ERR_clear_error();
    return unusable("cert", files.certificate, "there is no certificate in it (PEM)");
  }
  Result<std::string> const text =
      read_private_file(files.key, "redis.tls_key_file", PrivateFile::regular);
  if (!text) return text.error();
  std::unique_ptr<BIO, decltype(&BIO_free_all)> const bytes(
      BIO_new_mem_buf(text->data(), static_cast<int>(text->size())), &BIO_free_all);
  CHECK(bytes != nullptr);
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> const key(
      PEM_read_bio_PrivateKey(bytes.get(), nullptr, &no_passphrase, nullptr), &EVP_PKEY_free);
  ERR_clear_error();
  if (!key) return unusable("key", files.key, "there is no key without a passphrase in it (PEM)");
  // The first alone does not compare a key of another type with the certificate.
  if (SSL_CTX_use_PrivateKey(context, key.get()) == 1 && SSL_CTX_check_private_key(context) == 1)
    return {};
  ERR_clear_error();
  return unusable("key", files.key, "the key is not that of redis.tls_cert_file");
}

}  // namespace

Files files_of(const Config::Redis& redis) {
  return {redis.tls_ca_file, redis.tls_cert_file, redis.tls_key_file};
}

std::string take_error() {
  unsigned long const code = ERR_peek_last_error();
  ERR_clear_error();
  const char* const reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

Result<Context> load_context(const Files& files) {
  Context context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  CHECK(context != nullptr);
  CHECK(SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) == 1);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  // What is sent is taken at once, also in TLS 1.2.
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  // An idle connection keeps no buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS);
  if (Result<void> trusted = trust(context.get(), files.ca); !trusted) return trusted.error();
  if (Result<void> identified = identify(context.get(), files); !identified)
    return identified.error();
  return context;
}

}  // namespace huntd::tls
