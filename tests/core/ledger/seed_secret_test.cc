// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/seed_secret.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <vector>

using namespace huntd;
using namespace huntd::server;

namespace {

RedisReply reply_of(const std::string& bytes) {
  redisReader* const reader = redisReaderCreateWithFunctions(RedisReply::functions());
  redisReaderFeed(reader, bytes.data(), bytes.size());
  void* reply = nullptr;
  CHECK(redisReaderGetReply(reader, &reply) == REDIS_OK);
  redisReaderFree(reader);
  return RedisReply(static_cast<RedisReply::Node*>(reply));
}

// The reply to HGETALL.
RedisReply hash_of(const std::vector<std::string>& words) {
  std::string bytes = fmt::format("*{}\r\n", words.size());
  for (const std::string& word : words) bytes += fmt::format("${}\r\n{}\r\n", word.size(), word);
  return reply_of(bytes);
}

std::string secret_of(char letter) { return std::string(64, letter); }

}  // namespace

TEST_CASE("the secret with the highest number is in use, in any order of the reply") {
  CHECK(*newest_seed_secret(hash_of({"1", secret_of('a')})) == secret_of('a'));
  std::vector<std::string> const pairs{"9", secret_of('a'), "10", secret_of('b'),
                                       "2", secret_of('c')};
  CHECK(*newest_seed_secret(hash_of(pairs)) == secret_of('b'));
}

TEST_CASE("a ledger without a secret is not an error: its first core draws one") {
  Result<std::string> const none = newest_seed_secret(hash_of({}));
  REQUIRE(none);
  CHECK(none->empty());
}

TEST_CASE("a malformed field is an error, and the error does not show a secret") {
  for (const char* number : {"", "0", "01", "-1", "+1", "1 ", "x", "1000000"}) {
    CAPTURE(number);
    Result<std::string> const secret =
        newest_seed_secret(hash_of({"1", secret_of('a'), number, secret_of('b')}));
    REQUIRE_FALSE(secret);
    CHECK(secret.error().message.find("seed_secret is malformed") != std::string::npos);
    CHECK(secret.error().message.find("aaa") == std::string::npos);
  }
  for (const std::string& value : {std::string(), std::string("short"), std::string(129, 'a'),
                                   std::string(30, 'a') + " ", std::string(30, '\n')})
    CHECK_FALSE(newest_seed_secret(hash_of({"1", value})));
}

TEST_CASE("an error, another type or no reply is not an empty ledger") {
  CHECK(newest_seed_secret(reply_of("-NOPERM no\r\n")).error().message == "HGETALL: NOPERM no");
  CHECK_FALSE(newest_seed_secret(reply_of("+OK\r\n")));
  CHECK_FALSE(newest_seed_secret(reply_of("$-1\r\n")));
  CHECK_FALSE(newest_seed_secret(hash_of({"1", secret_of('a'), "2"})));
  CHECK_FALSE(newest_seed_secret(RedisReply()));
}
