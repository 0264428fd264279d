// SPDX-License-Identifier: Apache-2.0
#include "tls/session.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

using namespace huntd;

namespace {

constexpr const char* host = "redis.example";

// A certificate for `host` that signs itself, and a server that has it, in memory.
class Server {
 public:
  Server()
      : key_(EVP_EC_gen("P-256")),
        certificate_(X509_new()),
        context_(SSL_CTX_new(TLS_server_method())) {
    X509_set_version(certificate_, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate_), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate_), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate_), 3600);
    X509_set_pubkey(certificate_, key_);
    auto const* text = reinterpret_cast<const unsigned char*>(host);
    X509_NAME* const name = X509_get_subject_name(certificate_);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0);
    X509_set_issuer_name(certificate_, name);
    X509_EXTENSION* const names = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name,
                                                      "DNS:redis.example,IP:10.1.2.3");
    X509_add_ext(certificate_, names, -1);
    X509_EXTENSION_free(names);
    X509_sign(certificate_, key_, EVP_sha256());
    SSL_CTX_use_certificate(context_, certificate_);
    SSL_CTX_use_PrivateKey(context_, key_);
    ssl_ = SSL_new(context_);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_accept_state(ssl_);
  }
  ~Server() {
    SSL_free(ssl_);
    SSL_CTX_free(context_);
    X509_free(certificate_);
    EVP_PKEY_free(key_);
    std::filesystem::remove(path_);
  }

  // Trusts the server's certificate.
  tls::Context client_context() {
    std::FILE* const file = std::fopen(path_.c_str(), "w");
    REQUIRE(file != nullptr);
    PEM_write_X509(file, certificate_);
    std::fclose(file);
    Result<tls::Context> context = tls::load_context({path_, "", ""});
    REQUIRE(context);
    return *context;
  }

  // Takes bytes of the client and returns those for it; what they decrypt to is appended to `plain`.
  std::string reply(const std::string& bytes, std::string& plain) {
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    char buffer[16 * 1024];
    int got = 0;
    while ((got = SSL_read(ssl_, buffer, sizeof buffer)) > 0)
      plain.append(buffer, static_cast<size_t>(got));
    return output();
  }
  void say(const std::string& plain) {
    REQUIRE(SSL_write(ssl_, plain.data(), static_cast<int>(plain.size())) > 0);
  }
  void end() { SSL_shutdown(ssl_); }
  std::string output() {
    std::string bytes(BIO_ctrl_pending(out_), '\0');
    if (!bytes.empty()) BIO_read(out_, bytes.data(), static_cast<int>(bytes.size()));
    return bytes;
  }

 private:
  std::string const path_ = std::filesystem::temp_directory_path() /
                            ("session_test-" + std::to_string(getpid()) + ".pem");
  EVP_PKEY* key_;
  X509* certificate_;
  SSL_CTX* context_;
  SSL* ssl_;
  BIO* in_;
  BIO* out_;
};

// Carries bytes until both are done or the client has an error; `piece_bytes` at a time to the client.
Result<void> handshake(Server& server, tls::Session& client, size_t piece_bytes = SIZE_MAX) {
  std::string unused;
  Result<void> done = client.receive({}, unused);
  for (int round = 0; done && round < 4; ++round) {
    std::string bytes;
    client.take_output(bytes);
    std::string const reply = server.reply(bytes, unused);
    for (size_t at = 0; done && at < reply.size(); at += std::min(piece_bytes, reply.size() - at))
      done = client.receive(std::string_view(reply).substr(at, piece_bytes), unused);
  }
  CHECK(unused.empty());
  return done;
}

std::string fault(Result<void> done) { return done ? "" : done.error().message; }

}  // namespace

TEST_CASE("bytes pass both ways, however they are cut") {
  Server server;
  tls::Session client(server.client_context(), host);
  REQUIRE(handshake(server, client, 7));
  REQUIRE(client.established());
  std::string const large(100'000, 'x');
  REQUIRE(client.send(large));
  std::string bytes;
  client.take_output(bytes);
  std::string decrypted;
  CHECK(server.reply(bytes, decrypted) == "");
  CHECK(decrypted == large);

  server.say(large);
  std::string const reply = server.output();
  std::string received;
  for (size_t at = 0; at < reply.size(); at += 1000)
    REQUIRE(client.receive(std::string_view(reply).substr(at, 1000), received));
  CHECK(received == large);
  CHECK(!client.ended());
}

TEST_CASE("the certificate must be for the peer") {
  for (const char* good : {host, "10.1.2.3"}) {
    Server server;
    tls::Session client(server.client_context(), good);
    CHECK(fault(handshake(server, client)) == "");
    CHECK(client.established());
  }
  for (const char* bad : {"other.example", "10.1.2.4", "example"}) {
    Server server;
    tls::Session client(server.client_context(), bad);
    CHECK(fault(handshake(server, client)) ==
          "the server's certificate is not for " + std::string(bad) +
              ": set redis.tls_server_name to a name that it has");
    CHECK(!client.established());
  }
}

TEST_CASE("a name that no certificate can have is an error") {
  for (std::string const& name : {std::string(300, 'x'), std::string("fe80::1%lo")}) {
    Server server;
    tls::Session client(server.client_context(), name);
    CHECK(fault(handshake(server, client)).ends_with("set redis.tls_server_name"));
  }
}

TEST_CASE("a certificate that is not trusted is rejected") {
  Server server;
  Server other;
  tls::Session client(other.client_context(), host);
  CHECK(fault(handshake(server, client)) ==
        "no authority that is trusted has issued the server's certificate: see redis.tls_ca_file");
}

TEST_CASE("what is not TLS is an error") {
  Server server;
  tls::Session client(server.client_context(), host);
  std::string plain;
  REQUIRE(client.receive({}, plain));
  CHECK(fault(client.receive("-ERR unknown command\r\n", plain)).find("has no TLS") !=
        std::string::npos);
}

TEST_CASE("a changed record is an error, and gives no bytes") {
  Server server;
  tls::Session client(server.client_context(), host);
  REQUIRE(handshake(server, client));
  std::string plain;
  server.say("+OK\r\n");
  std::string bytes = server.output();
  bytes.back() ^= 1;
  CHECK(!client.receive(bytes, plain));
  CHECK(plain == "");
}

TEST_CASE("an orderly end is seen, behind the bytes before it") {
  Server server;
  tls::Session client(server.client_context(), host);
  REQUIRE(handshake(server, client));
  server.say("+OK\r\n");
  server.end();
  std::string plain;
  REQUIRE(client.receive(server.output(), plain));
  CHECK(plain == "+OK\r\n");
  CHECK(client.ended());
}
