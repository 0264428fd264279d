// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/schema.h"

#include <doctest/doctest.h>

#include <string>

using huntd::aggregator::schema_script;

namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the printed schema names its schema and its roles, quoted") {
  std::string const script = schema_script("my \"loot\"", {"writer", "dash board"});
  CHECK(has(script, "CREATE SCHEMA \"my \"\"loot\"\"\""));
  CHECK(has(script, "SET LOCAL search_path = \"my \"\"loot\"\"\""));
  CHECK(has(script, "TO \"dash board\""));
  CHECK(has(script, "GRANT INSERT, UPDATE, DELETE ON hunt_session,"));
  CHECK(script.ends_with("COMMIT;\n"));
}

TEST_CASE("without a schema and roles the printed schema grants nothing and sets no path") {
  std::string const script = schema_script("", {});
  CHECK_FALSE(has(script, "GRANT"));
  CHECK_FALSE(has(script, "search_path"));
}

TEST_CASE("a version newer than the program is an error") {
  CHECK(huntd::aggregator::check_version(huntd::aggregator::schema_version()));
  CHECK_FALSE(huntd::aggregator::check_version(huntd::aggregator::schema_version() + 1));
}

TEST_CASE("PostgreSQL from version 14 on is accepted") {
  CHECK(huntd::check_server_version(140'000));
  CHECK(huntd::check_server_version(170'002));
  CHECK_FALSE(huntd::check_server_version(130'018));
}
