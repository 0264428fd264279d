// SPDX-License-Identifier: Apache-2.0
#include "core/hunt/request.h"

#include <doctest/doctest.h>

#include <string>

namespace huntd::server {
namespace {

const std::string request_id = "0123456789abcdef0123456789abcdef";

TEST_CASE("an unknown outcome with a key asks for a repeat") {
  Response const response = outcome_unknown(true, request_id);
  CHECK(response.status == 503);
  CHECK(response.retry_after_s > 0);
  CHECK(response.body.find("urn:huntd:problem:outcome-unknown") != std::string::npos);
  CHECK(response.body.find(request_id) == std::string::npos);
}

TEST_CASE("an unknown outcome without a key names one, and asks no tool for a repeat") {
  Response const response = outcome_unknown(false, request_id);
  CHECK(response.status == 424);
  CHECK(response.retry_after_s == 0);
  CHECK(response.body.find("urn:huntd:problem:outcome-unknown") != std::string::npos);
  CHECK(response.body.find("within 60 s with Idempotency-Key: " + request_id) != std::string::npos);
  CHECK(response.body.ends_with(R"(,"request_id":")" + request_id + "\"}"));
}

TEST_CASE("a detail of one attempt does not claim anything of earlier ones") {
  PoolString const attempt =
      "this attempt awarded nothing, an earlier one may have: repeat with the same Idempotency-Key";
  CHECK(detail_of_attempt("") == attempt);
  CHECK(detail_of_attempt("nothing was awarded") == attempt);
  CHECK(detail_of_attempt("nothing was awarded: why") == attempt + "; why");
  CHECK(detail_of_attempt("the queue is full") == attempt + "; the queue is full");
}

}  // namespace
}  // namespace huntd::server
