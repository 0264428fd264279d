// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/failed_run.h"

#include <doctest/doctest.h>

#include <string>

#include "base/limits.h"
#include "metrics/error_table.h"

using namespace huntd;
using namespace huntd::server;

namespace {

std::string example_with(size_t loots, std::string_view loot_id) {
  RequestName const name{"gold", "ada", "key", "0123"};
  RunResult run;
  run.held.emplace();
  for (size_t i = 0; i < loots; ++i) run.held->loot.emplace_back(PoolString(loot_id), 1);
  return failed_run_json(name, R"({"a":1})", run, 1000);
}

}  // namespace

TEST_CASE("an example has what hunt.left() returned, if the run has asked") {
  RequestName const name{"gold", "ada", "key", "0123"};
  RunResult run;
  CHECK(failed_run_json(name, "", run, 1000).find("left") == std::string::npos);
  run.left = {{"cup", 3}, {"crown", 0}};
  CHECK(failed_run_json(name, "", run, 1000).find(R"(,"left":{"cup":3,"crown":0},)") !=
        std::string::npos);
  run.left.resize(limits::left_asked_max, {PoolString(limits::id_bytes_max, 'x'), 1'000'000'000});
  std::string const large = failed_run_json(name, "", run, 1000);
  CHECK(large.size() <= error_sample_bytes_max);
  CHECK((large.find(R"("left":{)") != std::string::npos) !=
        (large.find(R"("lacks":["left")") != std::string::npos));
}

TEST_CASE("an example has what the hunter held, or says that it had no room") {
  std::string const small = example_with(2, "iron");
  CHECK(small.find(R"("held":{"iron":1,"iron":1})") != std::string::npos);
  CHECK(small.find(R"("lacks":[])") != std::string::npos);
  // By its number alone, and by its bytes.
  for (std::string const& large :
       {example_with(5000, "i"), example_with(500, "a-name-of-loot-that-is-long")}) {
    CHECK(large.find(R"("held":)") == std::string::npos);
    CHECK(large.find(R"("lacks":["held"])") != std::string::npos);
    CHECK(large.find(R"("input":)") != std::string::npos);
    CHECK(large.size() <= error_sample_bytes_max);
  }
}
