// SPDX-License-Identifier: Apache-2.0
// Records on disk, the memory that the operator grants, and the order of what is found.
#include "reconcile/spool.h"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>

#include <string>
#include <vector>

#include "reconcile/memory_plan.h"
#include "reconcile/record.h"
#include "reconcile/report.h"

using namespace huntd::reconcile;
using huntd::Result;

namespace {

std::vector<std::string> records_of(const Spool& spool, uint32_t partition) {
  std::vector<std::string> records;
  Result<void> const read = spool.each(partition, [&](std::string_view record) {
    records.emplace_back(record);
    return true;
  });
  CHECK(static_cast<bool>(read));
  return records;
}

bool add(Spool& spool, uint32_t partition, std::string_view record) {
  return static_cast<bool>(spool.add(partition, record));
}

}  // namespace

TEST_CASE("spool: records come back by partition and in order, of any size") {
  for (size_t block_bytes : {1, 7, 64, 4096}) {
    TempFile file(temp_directory());
    Spool spool(file, 3, block_bytes);
    std::vector<std::vector<std::string>> expected(3);
    for (uint32_t i = 0; i < 600; ++i) {
      uint32_t const partition = i % 7 % 3;
      std::string const record = fmt::format("{}-{}", i, std::string(i * i % 977, 'x'));
      CHECK(add(spool, partition, record));
      expected[partition].push_back(record);
    }
    for (uint32_t partition = 0; partition < 3; ++partition) {
      CHECK(records_of(spool, partition) == expected[partition]);
      CHECK(spool.records(partition) == expected[partition].size());
    }
    CHECK(spool.records() == 600);
    CHECK(file.size() > 0);
  }
}

TEST_CASE("spool: what fits into the buffers needs no file") {
  TempFile file("/nonexistent");
  Spool spool(file, 2, 4096);
  CHECK(add(spool, 0, ""));
  CHECK(add(spool, 0, "small"));
  CHECK(records_of(spool, 0) == std::vector<std::string>{"", "small"});
  CHECK(records_of(spool, 1).empty());
  CHECK(file.size() == 0);
}

TEST_CASE("spool: a directory that cannot be written is an error that names it and TMPDIR") {
  TempFile file("/nonexistent");
  Spool spool(file, 1, 8);
  Result<void> const added = spool.add(0, std::string(100, 'x'));
  REQUIRE_FALSE(static_cast<bool>(added));
  CHECK(added.error().message.find("/nonexistent") != std::string::npos);
  CHECK(added.error().message.find("TMPDIR") != std::string::npos);
  CHECK(added.error().kind == huntd::ErrorKind::unreachable);
}

TEST_CASE("spool: reading stops when the handler has enough") {
  TempFile file(temp_directory());
  Spool spool(file, 1, 16);
  for (int i = 0; i < 100; ++i) CHECK(add(spool, 0, fmt::format("record {}", i)));
  int seen = 0;
  CHECK(static_cast<bool>(spool.each(0, [&](std::string_view) { return ++seen < 10; })));
  CHECK(seen == 10);
}

TEST_CASE("record: numbers and texts come back as they were written") {
  RecordWriter writer;
  writer.byte(200).number(0).number(127).number(128).number(UINT64_MAX).fixed(UINT64_MAX - 1);
  writer.text("").text(std::string(300, 'y'));
  RecordReader reader(writer.bytes());
  CHECK(reader.byte() == 200);
  for (uint64_t number : {uint64_t{0}, uint64_t{127}, uint64_t{128}, UINT64_MAX})
    CHECK(reader.number() == number);
  CHECK(reader.fixed() == UINT64_MAX - 1);
  CHECK(reader.text().empty());
  CHECK(reader.text() == std::string(300, 'y'));
}

TEST_CASE("memory: sizes are read, and too little is an error") {
  CHECK(read_memory("512M") == uint64_t{512} << 20);
  CHECK(read_memory("2G") == uint64_t{2} << 30);
  CHECK(read_memory("700000K") == uint64_t{700'000} << 10);
  CHECK(read_memory("134217728") == uint64_t{134'217'728});
  for (const char* wrong :
       {"", "M", "1T", "-1", "1.5G", "1 G", "99999999999999999999", "99999999999999G"})
    CHECK_FALSE(read_memory(wrong).has_value());
  Result<MemoryPlan> const least = plan_memory(memory_min_bytes);
  REQUIRE(static_cast<bool>(least));
  CHECK(least->group_bytes > (8U << 20));
  Result<MemoryPlan> const less = plan_memory(memory_min_bytes - 1);
  REQUIRE_FALSE(static_cast<bool>(less));
  CHECK(less.error().message.find("at least 128M") != std::string::npos);
  CHECK(less.error().kind == huntd::ErrorKind::usage);
}

TEST_CASE("memory: all parts together are less than what the operator grants") {
  for (uint64_t mebibytes : {128, 256, 512, 1024, 4096, 65'536}) {
    Result<MemoryPlan> const plan = plan_memory(mebibytes << 20);
    REQUIRE(static_cast<bool>(plan));
    // The check of a session copies its events.
    uint64_t const used = memory_reserve_bytes + 2 * plan->group_bytes + plan->doubts_bytes +
                          1536 * plan->block_bytes;
    CHECK(used <= (mebibytes << 20));
  }
}

TEST_CASE("findings: the list is the first by hunter and hunt, in any order of discovery") {
  auto const text = [](std::initializer_list<int> order) {
    Findings findings(4);
    findings.add_unreadable("partition 0 offset 100", "b");
    findings.add_unreadable("partition 0 offset 41", "a");
    for (int i : order)
      for (const char* kind : {"first", "second"})
        findings.add({.kind = kind,
                      .hunter_id = i == 0 ? "" : fmt::format("h{}", i),
                      .hunt_id = "chest",
                      .detail = ""});
    return report_json(findings.take(), false);
  };
  std::string const expected = text({1, 2, 0});
  CHECK(text({0, 2, 1}) == expected);
  CHECK(text({2, 0, 1}) == expected);
  CHECK(expected.find(R"("differences_total":8)") != std::string::npos);
  Findings findings(50);
  findings.add_unreadable("partition 0 offset 100", "b");
  findings.add_unreadable("partition 0 offset 41", "a");
  findings.add({.kind = "held_seq", .hunter_id = "ada", .hunt_id = "chest", .detail = "x"});
  Report const report = findings.take();
  REQUIRE(report.differences.size() == 3);
  CHECK(report.differences[0].kind == "held_seq");
  CHECK(report.differences[1].detail == "partition 0 offset 41: a");
}
