// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_words.h"

#include <doctest/doctest.h>

#include <set>
#include <string>

using namespace huntd;
using namespace huntd::server;

TEST_CASE("a fault of Redis is named in words, and keeps its own text") {
  CHECK(redis_fault_in_words("connect: Connection refused") ==
        "nothing listens there (connect: Connection refused)");
  CHECK(redis_fault_in_words("NOAUTH Authentication required.") ==
        "Redis asks for a password: set redis.password_file (NOAUTH Authentication required.)");
  CHECK(redis_fault_in_words("maxmemory-policy is allkeys-lru") ==
        "maxmemory-policy is allkeys-lru");
  CHECK(redis_fault_in_words("") == "");
}

TEST_CASE("faults with different remedies have different words") {
  std::set<std::string> words;
  auto const add = [&words](std::string_view error) {
    std::string const text = redis_fault_in_words(error);
    CHECK(text.ends_with("(" + std::string(error) + ")"));
    CHECK(words.insert(text.substr(0, text.find(" ("))).second);
  };
  add("connect: Connection refused");
  add("connect: Connection timed out");
  add("no reply to SCRIPT");
  add("NOAUTH Authentication required.");
  add("WRONGPASS invalid username-password pair or user is disabled.");
  add("ERR AUTH <password> called without any password configured for the default user");
  add("LOADING Redis is loading the dataset in memory");
  add("connect: No such file or directory");
  add("redis.example: Temporary failure in name resolution");
}
