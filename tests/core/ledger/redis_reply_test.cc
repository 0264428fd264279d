// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_reply.h"

#include <doctest/doctest.h>

#include <string>

using namespace huntd;
using namespace huntd::server;

namespace {

struct Reader {
  redisReader* reader = redisReaderCreateWithFunctions(RedisReply::functions());
  ~Reader() { redisReaderFree(reader); }
  void feed(std::string_view bytes) { redisReaderFeed(reader, bytes.data(), bytes.size()); }
  // The next reply; lost if none is complete yet, or the bytes are malformed.
  RedisReply next(int wanted = REDIS_OK) {
    void* reply = nullptr;
    CHECK(redisReaderGetReply(reader, &reply) == wanted);
    return RedisReply(static_cast<RedisReply::Node*>(reply));
  }
};

}  // namespace

TEST_CASE("each type of reply is read, and has no value of another type") {
  Reader reader;
  reader.feed("+OK\r\n-ERR no\r\n:-42\r\n");
  CHECK(reader.next().text() == "OK");
  RedisReply const error = reader.next();
  CHECK(error.is_error());
  CHECK(error.text() == "ERR no");
  CHECK(error.size() == 0);
  RedisReply const number = reader.next();
  CHECK(number.number() == -42);
  CHECK(number.text() == "");
}

TEST_CASE("texts may have any byte; nil is neither a text nor lost") {
  Reader reader;
  reader.feed(std::string_view("$3\r\na\0b\r\n$-1\r\n*-1\r\n$0\r\n\r\n", 25));
  CHECK(reader.next().text() == std::string_view("a\0b", 3));
  for (int i = 0; i < 2; ++i) {
    RedisReply const nil = reader.next();
    CHECK(nil.is_nil());
    CHECK_FALSE(nil.lost());
  }
  RedisReply const empty = reader.next();
  CHECK(empty.is_text());
  CHECK(empty.text().empty());
  CHECK(reader.next().lost());
}

TEST_CASE("nested arrays are read, in pieces of any size") {
  std::string const bytes = "*3\r\n$1\r\na\r\n*2\r\n:1\r\n*1\r\n$2\r\nbc\r\n:3\r\n";
  for (size_t cut = 0; cut <= bytes.size(); ++cut) {
    Reader reader;
    reader.feed(std::string_view(bytes).substr(0, cut));
    RedisReply complete = reader.next();
    CHECK(complete.lost() == (cut < bytes.size()));
    reader.feed(std::string_view(bytes).substr(cut));
    if (complete.lost()) complete = reader.next();
    REQUIRE(complete.size() == 3);
    CHECK(complete[0].text() == "a");
    CHECK(complete[1][0].number() == 1);
    CHECK(complete[1][1][0].text() == "bc");
    CHECK(complete[2].number() == 3);
    CHECK(complete[3].lost());
    CHECK(complete[0][0].lost());
  }
}

TEST_CASE("an array with an impossible length ends the parsing, not the process") {
  for (const char* bytes : {"*2000000000\r\n", "*2\r\n:1\r\n*1000000000\r\n", "*-2\r\n", "?\r\n"}) {
    Reader reader;
    reader.feed(bytes);
    CHECK(reader.next(REDIS_ERR).lost());
  }
}

TEST_CASE("the memory of an incomplete reply is released") {
  Reader reader;
  reader.feed("*2\r\n$1\r\na\r\n*2\r\n:1\r\n");
  CHECK(reader.next().lost());
}
