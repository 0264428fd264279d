// SPDX-License-Identifier: Apache-2.0
#include "chance/seed_secrets.h"

#include <doctest/doctest.h>

using namespace huntd;

namespace {

std::string secret_of(char letter) { return std::string(64, letter); }

}  // namespace

TEST_CASE("the highest number is in use, and earlier secrets are found by number") {
  SeedSecrets secrets;
  CHECK(secrets.empty());
  CHECK(secrets.newest().empty());
  for (const auto& [field, letter] : {std::pair{"9", 'a'}, {"10", 'b'}, {"2", 'c'}})
    CHECK(secrets.add(field, secret_of(letter)));
  CHECK(secrets.newest() == secret_of('b'));
  CHECK(secrets.numbered(2) == secret_of('c'));
  CHECK(secrets.numbered(3).empty());
}

TEST_CASE("a malformed field is an error that does not contain the secret") {
  SeedSecrets secrets;
  for (const char* field : {"", "0", "01", "-1", "1x", "1234567", "one"}) {
    Result<void> const added = secrets.add(field, secret_of('a'));
    CHECK(!added);
    CHECK(added.error().message.find(secret_of('a')) == std::string::npos);
  }
  for (const std::string& value :
       {std::string(), std::string(23, 'a'), std::string(129, 'a'), secret_of('a') + "\n"})
    CHECK(!secrets.add("1", value));
  CHECK(secrets.empty());
}
