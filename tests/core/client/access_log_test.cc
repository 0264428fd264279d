// SPDX-License-Identifier: Apache-2.0
#include "core/client/access_log.h"

#undef CHECK  // base/check.h's
#include <doctest/doctest.h>

#include "core/hunt/request.h"

namespace huntd::server {
namespace {

constexpr std::string_view id = "0123456789abcdef0123456789abcdef";

struct TestClock final : Clock {
  uint64_t now_ns() override { return 1; }
  int64_t wall_ms() override { return 0; }
  uint64_t random() override { return next++; }
  uint64_t next = 0;
};

TEST_CASE("each value of http.access_log names the responses that get a line") {
  TestClock clock;
  for (int status : {200, 404, 503}) {
    CAPTURE(status);
    CHECK_FALSE(AccessLog{access_log_mode("off")}.wants(status, clock));
    CHECK(AccessLog{access_log_mode("errors")}.wants(status, clock) == (status != 200));
    CHECK(AccessLog{access_log_mode("all")}.wants(status, clock));
  }
  CHECK(clock.next == 0);
  CHECK_FALSE(AccessLog{}.on());
}

TEST_CASE("one response of `sample` gets a line") {
  TestClock clock;
  AccessLog const sampled{access_log_mode("sampled"), 50};
  int lines = 0;
  for (int i = 0; i < 1000; ++i) lines += sampled.wants(200, clock) ? 1 : 0;
  CHECK(lines == 20);
  AccessLog const each{access_log_mode("sampled"), 1};
  CHECK(each.wants(200, clock));
}

TEST_CASE("the line of a hunt has what is known of it") {
  Access access;
  RequestFacts head;
  head.method = Method::post;
  head.path = "/v1/hunts/gold/hunters/ann";
  head.trace_context = "fedcba9876543210fedcba9876543210-0123456789abcdef-01";
  access.take(head, find_route(head.method, head.path));
  access.client = "192.0.2.1";
  access.status = 200;
  access.bytes = 512;
  access.duration_ns = 1'234'567;
  Response response;
  report_outcome(response, Counter::hunts_ok);
  response.report.stage_ns = {999, 500'000, 20'000, 90'900};
  CHECK(
      access_line(access, id, response.report) ==
      "<6>access method=POST call=run_hunt hunt_id=gold hunter_id=ann client=192.0.2.1 status=200 "
      "outcome=ok request_id=0123456789abcdef0123456789abcdef trace_id=fedcba9876543210fedcba9876543210 "
      "duration_us=1234 queue_us=0 worker_start_us=500 script_us=20 redis_commit_us=90 "
      "bytes=512\n");
}

TEST_CASE("the line of a request that was not read has only what is known") {
  Access access;
  access.take(RequestFacts(), find_route(Method::get, ""));
  access.status = 400;
  access.bytes = 300;
  CHECK(access_line(access, id, HuntReport()) ==
        "<6>access status=400 request_id=0123456789abcdef0123456789abcdef bytes=300\n");
}

TEST_CASE("every outcome of a hunt has a name") {
  for (auto outcome = static_cast<uint8_t>(Counter::hunts_ok);
       outcome <= static_cast<uint8_t>(Counter::hunts_supplies_full); ++outcome) {
    HuntReport report;
    report.outcome = outcome;
    std::string const label(counter_rows[outcome].label);  // outcome="NAME"
    std::string const name = label.substr(9, label.size() - 10);
    CHECK(access_line(Access(), id, report).find(" outcome=" + name + " ") != std::string::npos);
  }
}

}  // namespace
}  // namespace huntd::server
