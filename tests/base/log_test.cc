// SPDX-License-Identifier: Apache-2.0
// What is written to the log can't be made to look like something else by what it is about.
#include "base/log.h"

#include <doctest/doctest.h>

#include <random>

#include "base/utf8.h"

namespace huntd::log {
namespace {

std::string with(std::string_view value) {
  std::string const line = line_of(Level::info, "m", {{"k", value}, {"after", 1}});
  REQUIRE(line.starts_with("<6>m k="));
  REQUIRE(line.ends_with(" after=1\n"));
  return line.substr(7, line.size() - 7 - std::string_view(" after=1\n").size());
}

TEST_CASE("a value that is one plain word is not quoted") {
  CHECK(with("alice") == "alice");
  CHECK(with("A-Z_0.9") == "A-Z_0.9");
  CHECK(with("/v1/hunts") == "/v1/hunts");
}

TEST_CASE("a value with spaces, quotes or equals signs is quoted") {
  CHECK(with("") == R"("")");
  CHECK(with("a b") == R"("a b")");
  CHECK(with("a=1") == R"("a=1")");
  CHECK(with("a\" core=7 b=\"") == R"("a\" core=7 b=\"")");
  CHECK(with("\\\"") == R"("\\\"")");
  CHECK(with("h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80") ==
        "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"");
}

TEST_CASE("a field that is not set is left out") {
  CHECK(line_of(Level::info, "m", {{"a", 1}, if_set("b", ""), if_set("c", "2"), {"d", ""}}) ==
        "<6>m a=1 c=2 d=\"\"\n");
}

TEST_CASE("line breaks and control characters are escaped") {
  CHECK(with("a\n<3>forged core=1") == R"("a\n<3>forged core=1")");
  CHECK(with("a\r\nb\tc") == R"("a\x0d\nb\tc")");
  CHECK(with(std::string_view("a\0b", 3)) == R"("a\x00b")");
  CHECK(with("\x1b[2J\x1b[31mred") == R"("\x1b[2J\x1b[31mred")");
  CHECK(with("\x7f") == R"("\x7f")");
  CHECK(with("\v\f\b") == R"("\x0b\x0c\x08")");
}

TEST_CASE("control characters outside ASCII are escaped") {
  CHECK(with("\xc2\x9b"
             "31m") == R"("\xc2\x9b31m")");                           // CSI of C1
  CHECK(with("\xc2\x85") == R"("\xc2\x85")");                         // next line
  CHECK(with("\xe2\x80\xa8") == R"("\xe2\x80\xa8")");                 // line separator
  CHECK(with("\xe2\x80\xae") == R"("\xe2\x80\xae")");                 // right-to-left override
  CHECK(with("\xe2\x81\xa6") == R"("\xe2\x81\xa6")");                 // left-to-right isolate
  CHECK(with("\xd8\x9c") == R"("\xd8\x9c")");                         // arabic letter mark
  CHECK(with("\xc2\xa0\xe2\x80\xaf") == "\"\xc2\xa0\xe2\x80\xaf\"");  // no-break spaces are fine
}

TEST_CASE("invalid UTF-8 is escaped byte by byte") {
  CHECK(with("\xff\xfe") == R"("\xff\xfe")");
  CHECK(with("\x9b"
             "31m") == R"("\x9b31m")");
  CHECK(with("\xc0\x8a") == R"("\xc0\x8a")");          // an overlong line feed
  CHECK(with("\xed\xa0\x80") == R"("\xed\xa0\x80")");  // a surrogate
  CHECK(with("a\xe2\x82") == R"("a\xe2\x82")");        // cut off
}

TEST_CASE("a message is one line for any content") {
  CHECK(line_of(Level::error, "can't read \"x\ny\x1b[1m\"") == "<3>can't read \"x\\ny\\x1b[1m\"\n");
}

TEST_CASE("a line that is too long is cut between characters and marked") {
  for (size_t pad = 0; pad < 4; ++pad) {
    std::string value(pad, 'x');
    while (value.size() < 5000) value += "\xf0\x9f\x98\x80";
    std::string const line = line_of(Level::info, "m", {{"k", value}});
    CHECK(line.size() <= 4096 + std::string_view(" [truncated]\n").size());
    CHECK(line.ends_with("\xf0\x9f\x98\x80 [truncated]\n"));
  }
}

TEST_CASE("random bytes make one printable line of UTF-8") {
  std::mt19937 random(11);  // NOLINT: the same bytes every time
  for (int turn = 0; turn < 20'000; ++turn) {
    std::string value(random() % 40, '\0');
    for (char& c : value)
      c = random() % 2 == 0 ? static_cast<char>(random())
                            : "\n\r\x1b\"\\\xc2\x9b\xe2\x80\xa8"[random() % 10];
    std::string const line = line_of(Level::info, "m", {{"k", value}});
    CAPTURE(line);
    REQUIRE(line.find('\n') == line.size() - 1);
    for (std::string_view rest(line.data(), line.size() - 1); !rest.empty();) {
      size_t const length = utf8_sequence_bytes(rest);
      REQUIRE(length > 0);
      REQUIRE((length > 1 || (rest[0] >= ' ' && rest[0] != 0x7f)));
      REQUIRE_FALSE((length == 2 && rest[0] == '\xc2' && static_cast<uint8_t>(rest[1]) < 0xa0));
      rest.remove_prefix(length);
    }
  }
}

}  // namespace
}  // namespace huntd::log
