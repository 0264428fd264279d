// SPDX-License-Identifier: Apache-2.0
#include <simdjson.h>

#include "sample_metrics.h"
// doctest's CHECK is the one meant below.
#undef CHECK
#include <doctest/doctest.h>

#include "metrics/hlog.h"
#include "metrics/hunts_json.h"
#include "metrics/metrics_json.h"
#include "metrics/prometheus.h"

using namespace huntd;

namespace {

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

std::string metrics_of(const MetricsSnapshot& snapshot) {
  return write_prometheus(snapshot,
                          std::vector<std::optional<ProcessFigures>>(snapshot.cores.size()));
}

}  // namespace

TEST_CASE("metrics show each counter and gauge of each core") {
  SharedRegion region = testing::sample_region(2, 1);
  region.core(1).add(Counter::hunts_shed_queue_full, 5);
  region.core(1).set(Gauge::connections_open, 17);
  std::string const text = metrics_of(take_snapshot(region));
  CHECK(has_line(text, R"(huntd_hunts_total{core="0",outcome="ok"} 100)"));
  CHECK(has_line(text, R"(huntd_hunts_total{core="1",outcome="ok"} 101)"));
  CHECK(has_line(text, R"(huntd_hunts_total{core="1",outcome="shed_queue_full"} 5)"));
  CHECK(has_line(text, R"(huntd_connections_open{core="1"} 17)"));
  CHECK(has_line(text, R"(huntd_core_state{core="0",state="ready"} 1)"));
  CHECK(has_line(text, R"(huntd_core_state{core="0",state="down"} 0)"));
}

TEST_CASE("a stage's buckets in the metrics add up to its count") {
  Result<SharedRegion> region = SharedRegion::create(1, "1", 0);
  REQUIRE(region);
  for (uint64_t ns : {9'000U, 40'000U, 40'001U, 2'000'000U})
    region->core(0).record(Stage::queue, ns);
  region->core(0).record(Stage::queue, 11'000'000'000);
  std::string const text = metrics_of(take_snapshot(*region));
  std::string const bucket = R"(huntd_stage_duration_seconds_bucket{core="0",stage="queue",le=)";
  CHECK(has_line(text, bucket + R"("1e-05"} 1)"));
  CHECK(has_line(text, bucket + R"("2.5e-05"} 1)"));
  CHECK(has_line(text, bucket + R"("5e-05"} 3)"));
  CHECK(has_line(text, bucket + R"("0.0025"} 4)"));
  CHECK(has_line(text, bucket + R"("10"} 4)"));
  CHECK(has_line(text, bucket + R"("+Inf"} 5)"));
  CHECK(has_line(text, R"(huntd_stage_duration_seconds_count{core="0",stage="queue"} 5)"));
  CHECK(has_line(text, R"(huntd_stage_duration_seconds_sum{core="0",stage="queue"} 11.002089001)"));
}

TEST_CASE("a quote in a version can't break out of its label") {
  Result<SharedRegion> region = SharedRegion::create(1, "a\"b\\c\nd", 0);
  REQUIRE(region);
  CHECK(
      has_line(metrics_of(take_snapshot(*region)), R"(huntd_build_info{version="a\"b\\c\nd"} 1)"));
}

TEST_CASE("metrics show each hunt of each core, and the other hunts together") {
  SharedRegion region = testing::sample_region(2, 1);
  HuntTable& hunts = region.core(1).hunts;
  hunts.assign(1, "a\"b\\c");  // never a hunt_id, but it must not break the format
  hunts.count(1, HuntOutcome::failed);
  for (uint64_t ns : {250'000U, 250'001U, 2'000'000U}) hunts.record(1, ns);
  hunts.record(1, 70'000'000'000);
  std::string const text = metrics_of(take_snapshot(region));
  CHECK(has_line(text, R"(huntd_hunt_runs_total{core="0",hunt="gold",outcome="ok"} 90)"));
  CHECK(has_line(text, R"(huntd_hunt_runs_total{core="0",hunt="gold",outcome="refused"} 3)"));
  CHECK(has_line(text, R"_(huntd_hunt_runs_total{core="1",hunt="(other)",outcome="ok"} 11)_"));
  CHECK(has_line(text, R"(huntd_hunt_runs_total{core="1",hunt="a\"b\\c",outcome="failed"} 1)"));
  std::string const name = "huntd_hunt_duration_seconds";
  std::string const labels = R"({core="1",hunt="a\"b\\c")";
  CHECK(has_line(text, name + "_bucket" + labels + R"(,le="0.00025"} 1)"));
  CHECK(has_line(text, name + "_bucket" + labels + R"(,le="0.001"} 2)"));
  CHECK(has_line(text, name + "_bucket" + labels + R"(,le="5"} 3)"));
  CHECK(has_line(text, name + "_bucket" + labels + R"(,le="+Inf"} 4)"));
  CHECK(has_line(text, name + "_sum" + labels + "} 70.002500001"));
  CHECK(has_line(text, name + "_count" + labels + "} 4"));
}

TEST_CASE("the rate of the other hunts does not jump when a hunt loses its slot") {
  SharedRegion region = testing::sample_region(1, 1);
  region.core(0).hunts.assign(0, "silver");
  std::string const text = metrics_of(take_snapshot(region));
  CHECK(has_line(text, R"(huntd_hunt_runs_total{core="0",hunt="silver",outcome="ok"} 0)"));
  CHECK(has_line(text, R"_(huntd_hunt_runs_total{core="0",hunt="(other)",outcome="ok"} 10)_"));
  CHECK(text.find(R"(hunt="gold")") == std::string::npos);
}

TEST_CASE("hunts.json has the hunts of all cores, the most runs first") {
  SharedRegion region = testing::sample_region(2, 1);
  region.core(0).hunts.assign(1, "silver");
  for (int i = 0; i < 500; ++i) region.core(0).hunts.count(1, HuntOutcome::failed);
  CHECK(write_hunts_json(take_snapshot(region, SnapshotDepth::with_hunts)) ==
        R"({"hunts":[)"
        R"({"hunt":"silver","runs":500,"ok":0,"failed":500,"refused":0,"p50_ms":0.000,)"
        R"("p99_ms":0.000},)"
        R"({"hunt":"gold","runs":186,"ok":180,"failed":0,"refused":6,"p50_ms":2.000,)"
        R"("p99_ms":2.000},)"
        R"({"hunt":null,"other":true,"runs":21,"ok":21,"failed":0,"refused":0,"p50_ms":0.000,)"
        R"("p99_ms":0.000}],"hunts_max":100})");
}

TEST_CASE("hunts.json names at most 100 hunts, and its runs are all hunts that there were") {
  SharedRegion region = testing::sample_region(2, 1);
  for (uint32_t core : {0U, 1U}) {
    HuntTable& hunts = region.core(core).hunts;
    for (size_t slot = 1; slot < HuntTable::slots; ++slot) {  // half of them are on both cores
      hunts.assign(slot, "hunt-" + std::to_string(slot + core * 50));
      hunts.count(slot, HuntOutcome::ok);
      region.core(core).add(Counter::hunts_ok);
    }
  }
  region.core(1).hunts.assign(0, "instead-of-gold");
  MetricsSnapshot const snapshot = take_snapshot(region, SnapshotDepth::with_hunts);
  uint64_t counted = 0;
  for (const CoreSnapshot& core : snapshot.cores)
    for (const auto& row : counter_rows)
      if (row.metric == "huntd_hunts_total") counted += core.value(row.which);
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  REQUIRE_FALSE(parser.parse(write_hunts_json(snapshot)).get(document));
  simdjson::dom::array const hunts = document["hunts"];
  CHECK(hunts.size() == limits::hunts_counted_max + 1);
  CHECK(bool(hunts.at(limits::hunts_counted_max)["other"]));
  CHECK(hunts.at(limits::hunts_counted_max)["hunt"].is_null());
  uint64_t runs = 0;
  for (simdjson::dom::element const hunt : hunts) {
    runs += uint64_t(hunt["runs"]);
    CHECK(uint64_t(hunt["runs"]) ==
          uint64_t(hunt["ok"]) + uint64_t(hunt["failed"]) + uint64_t(hunt["refused"]));
  }
  CHECK(runs == counted);
}

TEST_CASE("process figures exist for a live process and not for a dead one") {
  std::optional<ProcessFigures> const own = read_process_figures(static_cast<uint64_t>(getpid()));
  REQUIRE(own);
  CHECK(own->resident_bytes > 0);
  CHECK(own->open_descriptors >= 3);
  CHECK_FALSE(read_process_figures(0));
  CHECK_FALSE(read_process_figures(UINT64_MAX));
}

TEST_CASE("a host that is drained, or is about to stop, says so") {
  SharedRegion region = testing::sample_region(1, 1);
  CHECK(has_line(metrics_of(take_snapshot(region)), "huntd_drained 0"));
  for (HostState const state : {HostState::drained, HostState::stopping}) {
    region.set_host_state(state);
    CHECK(has_line(metrics_of(take_snapshot(region)), "huntd_drained 1"));
  }
}

TEST_CASE("latency.json has each stage's percentiles, per core and for all cores") {
  SharedRegion region = testing::sample_region(2, 500);
  MetricsSnapshot const snapshot = take_snapshot(region);
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  REQUIRE_FALSE(parser.parse(write_latency_json(snapshot)).get(document));
  auto const script = document.at_pointer("/cores/1/stages/script");
  const HistogramSnapshot& values = snapshot.cores[1].stages[static_cast<size_t>(Stage::script)];
  CHECK(uint64_t(script["count"]) == 500);
  CHECK(double(script["p99_us"]) ==
        doctest::Approx(static_cast<double>(values.percentile_ns(99)) / 1e3));
  CHECK(uint64_t(document.at_pointer("/all/stages/script/count")) == 1000);
  CHECK(uint64_t(document.at_pointer("/all/stages/kafka_ack/count")) == 0);
  uint64_t in_distribution = 0;
  for (simdjson::dom::element const cell : simdjson::dom::array(script["distribution"]))
    in_distribution += uint64_t(cell.at(1));
  CHECK(in_distribution == 500);
}

TEST_CASE("status.json has each core's state, bundle and counters") {
  SharedRegion region = testing::sample_region(2, 1);
  region.core(0).redis_server.set("Redis 7.0.15, master, AOF on");
  region.core(1).redis_reason.set("maxmemory-policy is allkeys-lru");
  region.core(0).redis_address.set("10.0.0.1:6379");
  region.core(0).kafka_reason.set("all brokers are down");
  for (uint32_t const core : {0U, 1U}) region.core(core).kafka_address.set("10.0.0.2:9092");
  region.core(1).note_end("signal 9");
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::string const json =
      write_status_json(take_snapshot(region, SnapshotDepth::without_histograms));
  REQUIRE_FALSE(parser.parse(json).get(document));
  CHECK(uint64_t(document["pid"]) == static_cast<uint64_t>(getpid()));
  CHECK(std::string_view(document["host"]) == "serving");
  CHECK(std::string_view(document.at_pointer("/cores/0/state")) == "ready");
  CHECK(std::string_view(document.at_pointer("/cores/1/state")) == "down");
  CHECK(uint64_t(document.at_pointer("/cores/1/pid")) == 0);
  CHECK(std::string_view(document.at_pointer("/cores/0/bundle")) ==
        "00112233445566778899aabbccddeeff");
  CHECK(std::string_view(document.at_pointer("/cores/0/redis/server")) ==
        "Redis 7.0.15, master, AOF on");
  CHECK(std::string_view(document.at_pointer("/cores/0/redis/address")) == "10.0.0.1:6379");
  CHECK(std::string_view(document.at_pointer("/cores/0/kafka/reason")) == "all brokers are down");
  CHECK(std::string_view(document.at_pointer("/cores/0/kafka/address")) == "10.0.0.2:9092");
  CHECK(std::string_view(document.at_pointer("/cores/1/kafka/address")) == "");
  CHECK(std::string_view(document.at_pointer("/cores/0/last_end")) == "");
  CHECK(std::string_view(document.at_pointer("/cores/1/last_end")) == "signal 9");
  CHECK(std::string_view(document.at_pointer("/cores/1/redis/reason")) == "");
  simdjson::dom::object const numbers = document.at_pointer("/cores/0/counters");
  CHECK(uint64_t(numbers[R"(huntd_hunts_total{outcome="ok"})"]) == 100);
}

TEST_CASE("the hlog has one line per stage with values") {
  SharedRegion region = testing::sample_region(1, 10);
  std::string const log = write_hlog(take_snapshot(region));
  CHECK(log.find("#[Histogram log format version 1.3]\n") != std::string::npos);
  CHECK(log.find("\nTag=core0.script,") != std::string::npos);
  CHECK(log.find("kafka_ack") == std::string::npos);
  CHECK(log.find(",HIST") != std::string::npos);
}

TEST_CASE("the newest reload and the parent are in status.json and in the metrics") {
  SharedRegion region = testing::sample_region(1, 1);
  region.set_parent(4711, 12'345);
  CHECK(has_line(metrics_of(take_snapshot(region)), "huntd_reload_rejected 0"));
  ReloadStatus status;
  status.started = 3;
  status.finished = 2;
  status.applied = status.rejected = 1;
  status.result = ReloadResult::rejected;
  status.error = "x.lua:1: no\nline two";
  region.reload().set(status);
  region.reload().set_progress("checking scripts: 1 of 2");
  std::string const text = metrics_of(take_snapshot(region));
  CHECK(has_line(text, "huntd_reload_rejected 1"));
  CHECK(has_line(text, R"(huntd_reloads_total{result="applied"} 1)"));
  CHECK(has_line(text, R"(huntd_reloads_total{result="rejected"} 1)"));
  simdjson::dom::parser parser;
  simdjson::dom::element document;
  std::string const json =
      write_status_json(take_snapshot(region, SnapshotDepth::without_histograms));
  REQUIRE_FALSE(parser.parse(json).get(document));
  CHECK(uint64_t(document.at_pointer("/pid")) == 4711);
  CHECK(uint64_t(document.at_pointer("/start_ticks")) == 12'345);
  CHECK(uint64_t(document.at_pointer("/reload/started")) == 3);
  CHECK(std::string_view(document.at_pointer("/reload/result")) == "rejected");
  CHECK(std::string_view(document.at_pointer("/reload/error")) == "x.lua:1: no\nline two");
  CHECK(std::string_view(document.at_pointer("/reload/progress")) == "checking scripts: 1 of 2");
}

TEST_CASE("a process has the same start time each time, and none without a process") {
  std::optional<uint64_t> const mine = process_start_ticks(static_cast<uint64_t>(getpid()));
  REQUIRE(mine);
  CHECK(*mine > 0);
  CHECK(process_start_ticks(static_cast<uint64_t>(getpid())) == mine);
  CHECK_FALSE(process_start_ticks(0));
  CHECK_FALSE(process_start_ticks(UINT32_MAX));
}
