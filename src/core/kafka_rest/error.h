// SPDX-License-Identifier: Apache-2.0
// Errors in the format of the Kafka REST proxy (v2): {"error_code":N,"message":"…"}.
#pragma once
#include <string_view>

#include "http/problem.h"

namespace huntd::server {

inline constexpr std::string_view rest_type = "application/vnd.kafka.v2+json";

// An error code is an HTTP status, or a status followed by two more digits.
namespace rest_code {
inline constexpr int bad_request = 400;
inline constexpr int unprocessable = 422;
inline constexpr int unauthorized = 40101;
inline constexpr int forbidden = 40301;
inline constexpr int no_such_topic = 40401;
inline constexpr int not_an_event = 42203;  // the proxy's code for a violated schema
// Of one record, in a response with status 200:
inline constexpr int kafka = 50002;
inline constexpr int kafka_retriable = 50003;
}  // namespace rest_code

Response rest_error(int code, std::string_view message);
// The counterpart of problem_response().
Response rest_error(Problem problem, std::string_view detail);

}  // namespace huntd::server
