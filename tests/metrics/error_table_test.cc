// SPDX-License-Identifier: Apache-2.0
#include "metrics/error_table.h"

#include "metrics/errors_json.h"
#include "metrics/shared_region.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>

using namespace huntd;

namespace {

SharedRegion region_of(uint32_t cores) {
  Result<SharedRegion> region = SharedRegion::create(cores, "test", 0);
  REQUIRE(region);
  return std::move(*region);
}

ScriptErrorKind kind_of(const std::string& hunt_id, uint32_t line, const std::string& message) {
  return {hunt_id, FailureReason::script_error, line, message};
}

uint64_t count_of_all(const ErrorTable& table) {
  uint64_t count = table.no_room();
  for (const ErrorRow& row : table.rows()) count += row.count;
  return count;
}

}  // namespace

TEST_CASE("an error has its kind, its count, its times and an example") {
  SharedRegion region = region_of(1);
  ErrorTable& table = region.core(0).errors;
  CHECK(table.rows().empty());
  std::optional<size_t> const slot = table.add(kind_of("gold", 4, "gold.lua:4: no item 17"), 1000);
  REQUIRE(slot);
  table.set_sample(*slot, R"({"hunter_id":"ada"})", 1000);
  CHECK(!table.add(kind_of("gold", 4, "gold.lua:4: no item 4"), 1500));  // the same kind
  REQUIRE(table.rows().size() == 1);
  ErrorRow const row = table.rows()[0];
  CHECK(row.kind.hunt_id == "gold");
  CHECK(row.kind.line == 4);
  CHECK(row.kind.reason == FailureReason::script_error);
  CHECK(row.kind.message == "gold.lua:4: no item 17");
  CHECK(row.count == 2);
  CHECK(row.first_ms == 1000);
  CHECK(row.last_ms == 1500);
  CHECK(row.sample == R"({"hunter_id":"ada"})");
}

TEST_CASE("a newer example is due after a while, and after the clock was set back") {
  SharedRegion region = region_of(1);
  ErrorTable& table = region.core(0).errors;
  ScriptErrorKind const kind = kind_of("gold", 4, "gold.lua:4: bad");
  std::optional<size_t> const slot = table.add(kind, 5000);
  REQUIRE(slot);
  table.set_sample(*slot, "{}", 5000);
  CHECK(!table.add(kind, 5000 + error_sample_every_ms - 1));
  CHECK(table.add(kind, 5000 + error_sample_every_ms));
  CHECK(table.add(kind, 100));
  CHECK(table.rows()[0].count == 4);
}

TEST_CASE("many messages of one line, and many lines, take bounded room and lose no count") {
  SharedRegion region = region_of(1);
  ErrorTable& table = region.core(0).errors;
  for (int i = 0; i < 100; ++i)
    table.add(kind_of("noisy", 1, "noisy.lua:1: " + std::string(1 + i % 50, 'x')), 1000 + i);
  CHECK(table.rows().size() == error_messages_max);
  for (uint32_t line = 1; line <= 200; ++line)
    table.add(kind_of("long", line, fmt::format("long.lua:{}: bad", line)), 2000 + line);
  CHECK(table.rows().size() == error_kinds_max);
  CHECK(count_of_all(table) == 300);
  // Those that were seen last have stayed.
  std::vector<ErrorRow> const rows = table.rows();
  CHECK(std::any_of(rows.begin(), rows.end(),
                    [](const ErrorRow& row) { return row.kind.line == 200; }));
}

TEST_CASE("a message per hunter makes no example per error") {
  SharedRegion region = region_of(1);
  ErrorTable& table = region.core(0).errors;
  size_t due = 0;
  for (int i = 0; i < 500; ++i) {
    std::string const message = "bad.lua:1: " + std::string(1 + i % 50, 'x');
    std::optional<size_t> const slot = table.add(kind_of("bad", 1, message), 1000 + i);
    if (!slot) continue;
    ++due;
    table.set_sample(*slot, "{}", 1000 + i);
  }
  CHECK(due == error_messages_max);
  REQUIRE(table.rows().size() == error_messages_max);
  for (const ErrorRow& row : table.rows()) CHECK(row.sample == "{}");
  CHECK(count_of_all(table) == 500);
}

TEST_CASE("a message with any bytes and of any length is one line") {
  SharedRegion region = region_of(1);
  ErrorTable& table = region.core(0).errors;
  std::string message("a\0b\nc", 5);
  message.append(2000, 'z');
  std::optional<size_t> const slot = table.add(kind_of("odd", 0, message), 1);
  REQUIRE(slot);
  table.set_sample(*slot, std::string(error_sample_bytes_max + 1, 'x'), 1);
  REQUIRE(table.rows().size() == 1);
  CHECK(table.rows()[0].kind.message.starts_with("a b c"));
  CHECK(table.rows()[0].kind.message.size() == error_message_bytes_max);
  CHECK(table.rows()[0].sample.empty());
}

TEST_CASE("the JSON adds the cores up and has the newest example, unless it is private") {
  SharedRegion region = region_of(2);
  for (uint32_t core = 0; core < 2; ++core) {
    ErrorTable& table = region.core(core).errors;
    int64_t const at_ms = 1000 + core;
    std::optional<size_t> const slot = table.add(kind_of("gold", 4, "gold.lua:4: bad"), at_ms);
    REQUIRE(slot);
    table.set_sample(*slot, fmt::format(R"({{"hunter_id":"h{}"}})", core), at_ms);
  }
  simdjson::dom::parser parser;
  std::string const shown = write_errors_json(region, Private::shown);
  simdjson::dom::element const document = parser.parse(shown);
  CHECK(simdjson::dom::array(document["errors"]).size() == 1);
  simdjson::dom::element const error = document["errors"].at(0);
  CHECK(uint64_t(error["count"]) == 2);
  CHECK(int64_t(error["first_ms"]) == 1000);
  CHECK(int64_t(error["last_ms"]) == 1001);
  CHECK(std::string_view(error["example"]["hunter_id"]) == "h1");
  std::string const hidden = write_errors_json(region, Private::hidden);
  CHECK(hidden.find("hunter_id") == std::string::npos);
  CHECK(hidden.find(R"("count":2)") != std::string::npos);
}

TEST_CASE("the newest lines are kept, with the number of all") {
  SharedRegion region = region_of(1);
  HuntLines& lines = region.core(0).lines;
  CHECK(lines.snapshot().lines.empty());
  for (size_t i = 0; i < hunt_lines_max + 5; ++i) lines.add(fmt::format(R"({{"n":{}}})", i));
  HuntLines::Snapshot const copy = lines.snapshot();
  CHECK(copy.added == hunt_lines_max + 5);
  REQUIRE(copy.lines.size() == hunt_lines_max - 1);  // the core may be replacing the oldest one
  CHECK(copy.lines.front() == R"({"n":6})");
  CHECK(copy.lines.back() == fmt::format(R"({{"n":{}}})", hunt_lines_max + 4));
  CHECK(write_lines_json(region, Private::shown).find(R"([6,{"n":6}])") != std::string::npos);
  CHECK(write_lines_json(region, Private::hidden).find(R"("n")") == std::string::npos);
}

TEST_CASE("a reader sees each line under its own number, also while lines are added") {
  SharedRegion region = region_of(1);
  HuntLines& lines = region.core(0).lines;
  std::atomic<bool> ended = false;
  std::thread writer([&] {
    for (size_t i = 0; i < 100'000; ++i) lines.add(std::to_string(i));
    ended = true;
  });
  size_t wrong = 0;
  while (!ended) {
    HuntLines::Snapshot const copy = lines.snapshot();
    uint64_t number = copy.added - copy.lines.size();
    for (const std::string& line : copy.lines) {
      if (!line.empty() && line != std::to_string(number)) ++wrong;
      ++number;
    }
  }
  writer.join();
  CHECK(wrong == 0);
}
