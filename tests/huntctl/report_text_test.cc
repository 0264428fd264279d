// SPDX-License-Identifier: Apache-2.0
#include "huntctl/http_call.h"
#include "huntctl/json_pretty.h"
#include "huntctl/latency_svg.h"
#include "huntctl/latency_text.h"
#include "huntctl/metrics_text.h"
#include "huntctl/output.h"
#include "huntctl/text_table.h"
// doctest defines its own CHECK.
#undef CHECK
#include <doctest/doctest.h>

using namespace huntd;
using namespace huntd::huntctl;

namespace {

constexpr const char* two_cores =
    R"({"version":"0.1.0","started_at_ms":1000,"taken_at_ms":301000,"cores":[
{"core":0,"stages":{"queue":{"count":0,"mean_us":0,"p50_us":0,"p90_us":0,"p99_us":0,"p99_9_us":0,"max_us":0,
"distribution":[]},
"request":{"count":12345,"mean_us":900,"p50_us":815.1,"p90_us":1500,"p99_us":9994,"p99_9_us":12000,"max_us":1500000,
"distribution":[[794.328,10000],[1584.893,2300],[10000.000,44],[1584893.192,1]]}}},
{"core":1,"stages":{"queue":{"count":0,"mean_us":0,"p50_us":0,"p90_us":0,"p99_us":0,"p99_9_us":0,"max_us":0,
"distribution":[]},
"request":{"count":1,"mean_us":1,"p50_us":1,"p90_us":1,"p99_us":1,"p99_9_us":1,"max_us":1,
"distribution":[[1.000,1]]}}}],
"all":{"stages":{"queue":{"count":0,"mean_us":0,"p50_us":0,"p90_us":0,"p99_us":0,"p99_9_us":0,"max_us":0,
"distribution":[]},
"request":{"count":12346,"mean_us":900,"p50_us":815.1,"p90_us":1500,"p99_us":9994,"p99_9_us":12000,"max_us":1500000,
"distribution":[[1.000,1],[794.328,10000],[1584.893,2300],[10000.000,44],[1584893.192,1]]}}}})";

LatencyReport report_of(const char* json) {
  Result<LatencyReport> report = read_latency_report(json);
  REQUIRE(report);
  return std::move(*report);
}

}  // namespace

TEST_CASE("times have three digits and a fitting unit") {
  CHECK(time_text(0.063) == "<0.1 µs");
  CHECK(time_text(0.127) == "0.13 µs");
  CHECK(time_text(9.994) == "9.99 µs");
  CHECK(time_text(9.996) == "10.0 µs");
  CHECK(time_text(99.96) == "100 µs");
  CHECK(time_text(999.4) == "999 µs");
  CHECK(time_text(999.6) == "1.00 ms");
  CHECK(time_text(999'600) == "1.00 s");
  CHECK(time_text(120'000'000) == "120 s");
}

TEST_CASE("a number that JavaScript cannot hold is a string in JSON") {
  CHECK(json_number(0) == "0");
  CHECK(json_number(9'007'199'254'740'991) == "9007199254740991");
  CHECK(json_number(9'007'199'254'740'992) == R"("9007199254740992")");
  CHECK(json_number(UINT64_MAX) == R"("18446744073709551615")");
}

TEST_CASE("a member is appended to an object, whether it has members or not") {
  std::string object = "{}";
  add_member(object, "a", "1");
  CHECK(object == R"({"a":1})");
  add_member(object, "b", json_string("x\"y"));
  CHECK(object == R"({"a":1,"b":"x\"y"})");
  std::string open = "{";
  add_member(open, "a", "1");
  add_member(open, "b", "2");
  CHECK(open == R"({"a":1,"b":2)");
}

TEST_CASE("counts are grouped by thousands") {
  CHECK(count_text(0) == "0");
  CHECK(count_text(999) == "999");
  CHECK(count_text(1000) == "1 000");
  CHECK(count_text(1'234'567) == "1 234 567");
  CHECK(sum_text(1000) == "1 000");
  CHECK(sum_text(-1000) == "-1 000");
  CHECK(sum_text(INT64_MIN) == "-9 223 372 036 854 775 808");
}

TEST_CASE("spans are in their largest unit") {
  CHECK(span_text(-5) == "0 s");
  CHECK(span_text(59'999) == "59 s");
  CHECK(span_text(60'000) == "1 min");
  CHECK(span_text(7'200'000) == "2 h");
  CHECK(span_text(3 * 86'400'000LL) == "3 d");
}

TEST_CASE("a table's columns are aligned with UTF-8 and colours in its cells") {
  TextTable table;
  table.add_column("name", TextTable::Align::left);
  table.add_column("time", TextTable::Align::right);
  table.add_column("bar", TextTable::Align::left);
  table.add_row({"a", "1 µs", "\x1b[32m█\x1b[0m"});
  table.add_row({"long", "100 ms", ""});
  CHECK(table.str() ==
        "name    time  bar\n"
        "a       1 µs  \x1b[32m█\x1b[0m\n"
        "long  100 ms\n");
}

TEST_CASE("the latency tables are one per core, then their sum") {
  CHECK(latency_text(report_of(two_cores), false) ==
        "core 0    count     p50      p90      p99    p99.9     max  1µs       100µs     10ms      "
        "1s\n"
        "queue         0       -        -        -        -       -\n"
        "request  12 345  815 µs  1.50 ms  9.99 ms  12.0 ms  1.50 s                █▄   ▁         "
        " ▁\n"
        "\n"
        "core 1   count      p50      p90      p99    p99.9      max  1µs       100µs     10ms     "
        " 1s\n"
        "queue        0        -        -        -        -        -\n"
        "request      1  1.00 µs  1.00 µs  1.00 µs  1.00 µs  1.00 µs  █\n"
        "\n"
        "all cores   count     p50      p90      p99    p99.9     max  1µs       100µs     10ms    "
        "  1s\n"
        "queue           0       -        -        -        -       -\n"
        "request    12 346  815 µs  1.50 ms  9.99 ms  12.0 ms  1.50 s  ▁             █▄   ▁       "
        "   ▁\n"
        "\n"
        "since the start, 5 min ago\n");
}

TEST_CASE("the latency tables have colour only on request") {
  LatencyReport const report = report_of(two_cores);
  CHECK(latency_text(report, false).find('\x1b') == std::string::npos);
  CHECK(latency_text(report, true).find("\x1b[31m▁\x1b[0m") != std::string::npos);
}

TEST_CASE("a response that is not latency.json is rejected with the reason") {
  CHECK_FALSE(read_latency_report("<html>"));
  Result<LatencyReport> const other = read_latency_report(R"({"version":"1"})");
  REQUIRE_FALSE(other);
  CHECK(other.error().message.find("the server is not huntd") != std::string::npos);
}

TEST_CASE("the picture has a strip per core and stage with their figures") {
  std::string const svg = latency_svg(report_of(two_cores));
  CHECK(svg.starts_with("<svg "));
  CHECK(svg.ends_with("</svg>\n"));
  CHECK(svg.find(">core 1</text>") != std::string::npos);
  CHECK(svg.find(">nothing recorded</text>") != std::string::npos);
  CHECK(svg.find(">9.99 ms</text>") != std::string::npos);
}

TEST_CASE("a time below the histogram's resolution is written as valid XML") {
  LatencyReport report = report_of(two_cores);
  report.cores[0].stages[1].p50_us = 0.063;
  std::string const svg = latency_svg(report);
  CHECK(svg.find(">&lt;0.1 µs</text>") != std::string::npos);
}

TEST_CASE("the picture of many cores shows their sum") {
  LatencyReport report = report_of(two_cores);
  while (report.cores.size() <= svg_cores_max) report.cores.push_back(report.cores[0]);
  std::string const svg = latency_svg(report);
  CHECK(svg.find(">all cores</text>") != std::string::npos);
  CHECK(svg.find(">core 0</text>") == std::string::npos);
}

TEST_CASE("JSON is formatted with short values on one line") {
  CHECK(pretty_json(R"({"a":[],"b":{"c":1,"d":"x\"y"},"e":[{"f":[1]}]})") ==
        "{\n"
        "  \"a\": [],\n"
        "  \"b\": {\"c\":1,\"d\":\"x\\\"y\"},\n"
        "  \"e\": [\n"
        "    {\n"
        "      \"f\": [1]\n"
        "    }\n"
        "  ]\n"
        "}");
  CHECK(pretty_json("not json") == "not json");
}

TEST_CASE("a wildcard address to listen on is called on loopback") {
  CHECK(callable_address("0.0.0.0:8080") == "127.0.0.1:8080");
  CHECK(callable_address("[::]:9") == "[::1]:9");
  CHECK(callable_address("10.1.2.3:80") == "10.1.2.3:80");
}

TEST_CASE("samples are read by name and labels, and comments are skipped") {
  Result<Samples> const samples = read_samples(
      "# HELP a_total A.\n# TYPE a_total counter\na_total 12\n\nup{peer=\"a b\"} 1\nlag 0.25\nbig "
      "1e+06\n");
  REQUIRE(samples);
  CHECK(*samples == Samples{{"a_total", 12}, {"up{peer=\"a b\"}", 1}, {"lag", 0.25}, {"big", 1e6}});
}

TEST_CASE("the error quotes a line that is not a sample") {
  for (const char* text : {"a\n", "a b\n", "a 1\n<html>\n", "a 1 x"}) {
    Result<Samples> const samples = read_samples(text);
    REQUIRE_FALSE(samples);
    CHECK(samples.error().message.starts_with("not a sample: "));
  }
}
