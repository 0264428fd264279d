// SPDX-License-Identifier: Apache-2.0
#include "auth/authenticator.h"
#include "auth/hunter_token.h"
#include "auth/secrets.h"
#include "base/private_file.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>

#include <fmt/format.h>

using namespace huntd;
using Outcome = Authenticator::Outcome;

namespace {

constexpr int64_t now_ms = 1'800'000'000'000;
constexpr int64_t later_s = now_ms / 1000 + 60;
const std::string old_key = "an-old-key-of-enough-letters";
const std::string new_key = "a-new-key-of-enough-letters!";

Authenticator authenticator_of(AuthMode mode, std::vector<std::string> texts) {
  return Authenticator({mode, std::move(texts)});
}

std::string token(const std::string& key, const std::string& hunter,
                  int64_t expires_at_s = later_s) {
  return "Bearer " + make_hunter_token(SigningKey(key), hunter, expires_at_s);
}

// A temporary file; by default only its owner may read it.
struct SecretsFile {
  explicit SecretsFile(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path) << text;
    chmod(path.c_str(), mode);
  }
  ~SecretsFile() { std::filesystem::remove(path); }
  std::string path =
      std::filesystem::temp_directory_path() / ("huntd-secrets-" + std::to_string(getpid()));
};

std::string error_of(const std::string& text, mode_t mode = 0600) {
  SecretsFile const file(text, mode);
  auto const read = read_secrets_file(file.path, "auth.tokens_file");
  return read ? "" : read.error().message;
}

}  // namespace

TEST_CASE("with mode none every request is allowed") {
  CHECK(authenticator_of(AuthMode::none, {}).check("", "eve", now_ms) == Outcome::allowed);
}

TEST_CASE("each bearer token of the file may act for every hunter; others are rejected") {
  Authenticator authenticator = authenticator_of(AuthMode::bearer, {old_key, new_key});
  for (const std::string& good : {old_key, new_key}) {
    CHECK(authenticator.check("Bearer " + good, "eve", now_ms) == Outcome::allowed);
    CHECK(authenticator.check("bEARER   " + good, "", now_ms) == Outcome::allowed);
    CHECK(authenticator.check("Bearer " + good + "x", "eve", now_ms) == Outcome::bad_token);
    CHECK(authenticator.check("Bearer " + good.substr(1), "eve", now_ms) == Outcome::bad_token);
    CHECK(authenticator.check("Bearer " + good + std::string(1, '\0'), "eve", now_ms) ==
          Outcome::bad_token);
    CHECK(authenticator.check("Bearer " + good + " ", "eve", now_ms) == Outcome::bad_token);
  }
  CHECK(authenticator.check("Bearer " + std::string(5000, 'a'), "eve", now_ms) ==
        Outcome::bad_token);
  for (const char* none :
       {"", "Bearer", "Bearer ", "Bearer    ", "Basic ZXZlOmV2ZQ==", "Bearer\tx", "Bearerx"})
    CHECK(authenticator.check(none, "eve", now_ms) == Outcome::no_token);
  CHECK(authenticator_of(AuthMode::bearer, {})
            .check("Bearer " + std::string(24, '\0'), "eve", now_ms) == Outcome::bad_token);
}

TEST_CASE("a hunter's token acts as its hunter until it expires") {
  Authenticator authenticator = authenticator_of(AuthMode::hunter, {new_key, old_key});
  CHECK(authenticator.check(token(new_key, "eve"), "eve", now_ms) == Outcome::allowed);
  CHECK(authenticator.check(token(old_key, "eve"), "eve", now_ms) == Outcome::allowed);
  CHECK(authenticator.check(token(old_key, "eve"), "", now_ms) == Outcome::allowed);
  CHECK(authenticator.check(token(new_key, "eve"), "ev", now_ms) == Outcome::forbidden);
  CHECK(authenticator.check(token(new_key, "eve"), "EVE", now_ms) == Outcome::forbidden);
  CHECK(authenticator.check(token(new_key, "e.v.e"), "e.v.e", now_ms) == Outcome::allowed);
  CHECK(authenticator.check(token(new_key, "eve", now_ms / 1000 + 1), "eve", now_ms) ==
        Outcome::allowed);
  CHECK(authenticator.check(token(new_key, "eve", now_ms / 1000), "eve", now_ms) ==
        Outcome::expired);
  CHECK(authenticator.check(token("some-other-key-of-enough-letters", "eve"), "eve", now_ms) ==
        Outcome::bad_token);
  CHECK(authenticator.check("Bearer " + new_key, "eve", now_ms) == Outcome::bad_token);
}

TEST_CASE("a token needs the key that it names, or a key without a name if it names none") {
  std::string const line = "2026-12 " + new_key;
  Authenticator authenticator = authenticator_of(AuthMode::hunter, {line, old_key});
  std::string const named = token(line, "e.v.e");
  CHECK(named.starts_with("Bearer hunter2.2026-12.e.v.e.1800000060."));
  CHECK(authenticator.check(named, "e.v.e", now_ms) == Outcome::allowed);
  CHECK(authenticator.check(named, "eve", now_ms) == Outcome::forbidden);
  CHECK(authenticator.check(token(old_key, "eve"), "eve", now_ms) == Outcome::allowed);
  // Each text is signed with the right key by the wrong name.
  CHECK(authenticator.check(token(new_key, "eve"), "eve", now_ms) == Outcome::bad_token);
  CHECK(authenticator.check(token("2026-11 " + new_key, "eve"), "eve", now_ms) ==
        Outcome::bad_token);
  CHECK(authenticator.check(token("2026-12 " + old_key, "eve"), "eve", now_ms) ==
        Outcome::bad_token);
  for (const char* text : {"hunter2.eve.1800000060.", "hunter2..eve.1800000060.",
                           "hunter2.a/b.eve.1800000060.", "hunter2.2026-12.1800000060."})
    CHECK_FALSE(read_hunter_token(text + std::string(43, 'A')));
}

TEST_CASE("a revoked token and the tokens of a revoked hunter are rejected") {
  std::string const eves = token(new_key, "eve");
  std::string const id = eves.substr(eves.rfind('.') + 1);
  auto const outcome = [&](const std::string& list, const std::string& of, const char* hunter) {
    Result<Revoked> revoked = read_revoked(list);
    REQUIRE(revoked);
    return Authenticator({AuthMode::hunter, {new_key}, {}, {}, *revoked}).check(of, hunter, now_ms);
  };
  CHECK(outcome("", eves, "eve") == Outcome::allowed);
  CHECK(outcome("# eve lost her phone\n\ntoken " + id + "\r\n", eves, "eve") == Outcome::revoked);
  CHECK(outcome("hunter eve\n", eves, "eve") == Outcome::revoked);
  CHECK(outcome("hunter eve", eves, "ada") == Outcome::revoked);
  CHECK(outcome("hunter ada\ntoken eve\n", eves, "eve") == Outcome::allowed);
}

TEST_CASE("a malformed list of what is revoked is rejected with its line") {
  for (const char* bad : {"eve", "hunter", "hunter a b", "token ", "token a b", "Hunter eve"}) {
    Result<Revoked> const read = read_revoked(std::string("hunter ada\n") + bad + "\n");
    REQUIRE_FALSE(read);
    CHECK(read.error().message == R"(line 2: write "token ID" or "hunter ID")");
  }
  std::string many;
  for (int i = 0; i <= 4096; ++i) many += fmt::format("hunter h{}\n", i);
  CHECK(read_revoked(many).error().message.starts_with("line 4097: more than 4096 entries"));
}

TEST_CASE("only keys of hunters may have ids, each of its own") {
  SecretsFile const file("a " + old_key + "\nb " + new_key + "\n");
  CHECK(read_secrets_file(file.path, "auth.hunter_keys_file", SecretNames::allowed));
  CHECK_FALSE(read_secrets_file(file.path, "auth.tokens_file"));
  SecretsFile const twice("a " + old_key + "\na " + new_key + "\n");
  CHECK(read_secrets_file(twice.path, "auth.hunter_keys_file", SecretNames::allowed)
            .error()
            .message.ends_with(":2: another key has this id"));
}

TEST_CASE("acting for all hunters needs a bearer token, or mode none") {
  Authenticator hunters = authenticator_of(AuthMode::hunter, {new_key});
  CHECK(hunters.check_for_all(token(new_key, "eve"), now_ms) == Outcome::forbidden);
  CHECK(hunters.check_for_all(token(new_key, "eve", now_ms / 1000), now_ms) == Outcome::expired);
  CHECK(hunters.check_for_all(token(old_key, "eve"), now_ms) == Outcome::bad_token);
  CHECK(hunters.check_for_all("", now_ms) == Outcome::no_token);
  Authenticator bearer = authenticator_of(AuthMode::bearer, {new_key});
  CHECK(bearer.check_for_all("Bearer " + new_key, now_ms) == Outcome::allowed);
  CHECK(bearer.check_for_all("Bearer " + old_key, now_ms) == Outcome::bad_token);
  CHECK(bearer.check_for_all("", now_ms) == Outcome::no_token);
  CHECK(authenticator_of(AuthMode::none, {}).check_for_all("", now_ms) == Outcome::allowed);
}

TEST_CASE("the signature is the HMAC-SHA256 that openssl computes") {
  // printf hunter1.eve.1800000060 | openssl dgst -sha256 -hmac a-new-key-of-enough-letters! -binary
  // | base64
  CHECK(make_hunter_token(SigningKey(new_key), "eve", 1'800'000'060) ==
        "hunter1.eve.1800000060.xCms-2jFzoEBIrHpDaP-gFW-VVRTuj20yRB02zZTuZQ");
}

TEST_CASE("a key signs a text the same way each time") {
  SigningKey const key(new_key);
  SigningKey::Signature const first = key.sign("a");
  CHECK(key.sign("b") != first);
  CHECK(key.sign("a") == first);
}

TEST_CASE("a token with one changed character, or truncated, is rejected") {
  Authenticator authenticator = authenticator_of(AuthMode::hunter, {new_key});
  std::string const good = token(new_key, "eve");
  for (size_t at = 7; at < good.size(); ++at) {
    for (int c = 1; c < 256; ++c) {
      std::string changed = good;
      if (changed[at] == static_cast<char>(c)) continue;
      changed[at] = static_cast<char>(c);
      // The last base64 character has two unused bits, but signatures are compared as text.
      Outcome const outcome = authenticator.check(changed, "eve", now_ms);
      if (outcome != Outcome::bad_token) FAIL_CHECK("at ", at, ": ", changed);
    }
    if (authenticator.check(good.substr(0, at), "eve", now_ms) == Outcome::allowed)
      FAIL_CHECK("truncated at ", at);
  }
}

TEST_CASE("every text that is read as a token is written again as the same text") {
  std::mt19937 random(7);
  std::string const alphabet = "hunter1.eve.1800000060-_Aa09\0\n\xff";
  for (int round = 0; round < 200'000; ++round) {
    std::string text = random() % 2 == 0 ? "hunter1." : "";
    for (size_t size = random() % 80; size > 0; --size)
      text.push_back(alphabet[random() % alphabet.size()]);
    std::optional<HunterToken> const read = read_hunter_token(text);
    if (!read) continue;
    CHECK(text ==
          fmt::format("hunter1.{}.{}.{}", read->hunter_id, read->expires_at_s, read->signature));
  }
}

TEST_CASE("a secrets file has one secret per line, and may have comments") {
  SecretsFile const file("# the old one\n" + old_key + "\n\n" + new_key + "\r\n");
  auto const read = read_secrets_file(file.path, "auth.tokens_file");
  REQUIRE(read);
  CHECK(*read == std::vector<std::string>{old_key, new_key});
}

TEST_CASE("a malformed or world-readable secrets file is rejected without showing a secret") {
  CHECK(error_of(old_key + "\n", 0604).find("chmod") != std::string::npos);
  CHECK(error_of(old_key + "\n", 0602).find("chmod") != std::string::npos);
  CHECK(error_of(old_key + "\n", 0640).empty());
  CHECK(error_of("").find("has no secret") != std::string::npos);
  CHECK(error_of("# nothing\n").find("has no secret") != std::string::npos);
  for (const std::string& bad : {std::string("short"), std::string(129, 'a'),
                                 old_key + " " + new_key, old_key + "\xc3\xa9"}) {
    std::string const error = error_of(new_key + "\n" + bad + "\n");
    CHECK(error.find(":2: a secret must be 24 to 128 visible ASCII characters") !=
          std::string::npos);
    CHECK(error.find(bad) == std::string::npos);
  }
  std::string many;
  for (int i = 0; i < 17; ++i) many += old_key + std::to_string(i) + "\n";
  CHECK(error_of(many).find(":17: more than 16 secrets") != std::string::npos);
  CHECK_FALSE(read_secrets_file("/nowhere", "auth.tokens_file"));
  CHECK_FALSE(read_secrets_file("/", "auth.tokens_file"));
  CHECK(error_of(std::string(64 * 1024 + 1, '#')).find("has more than") != std::string::npos);
}

TEST_CASE("a FIFO without a writer is rejected at once") {
  SecretsFile const file("");
  std::filesystem::remove(file.path);
  REQUIRE(mkfifo(file.path.c_str(), 0600) == 0);
  CHECK_FALSE(read_secrets_file(file.path, "auth.tokens_file"));
}

TEST_CASE("a single secret is the first line of a file that is not world-readable") {
  auto const read = [](const std::string& text, mode_t mode) {
    SecretsFile const file(text, mode);
    return read_secret(file.path, "redis.password_file");
  };
  for (const char* text : {"open sesame", "open sesame\n", "open sesame\r\nmore\n"}) {
    auto const secret = read(text, 0400);
    REQUIRE(secret);
    CHECK(*secret == "open sesame");
  }
  CHECK(read("open sesame\n", 0440));
  CHECK_FALSE(read("open sesame\n", 0444));
  CHECK_FALSE(read("", 0400));
  CHECK(read("\nopen sesame\n", 0400)
            .error()
            .message.starts_with("redis.password_file: the first line"));
}
