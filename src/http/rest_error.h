// Errors as clients of the Kafka REST proxy (v2) know them: {"error_code":N,"message":"…"}.
#pragma once
#include <string_view>

#include "http/problem.h"

namespace huntd {

inline constexpr std::string_view rest_type = "application/vnd.kafka.v2+json";

// A code is an HTTP status, or one with two digits behind it that say more.
namespace rest_code {
inline constexpr int bad_request = 400;
inline constexpr int unprocessable = 422;
inline constexpr int unauthorized = 40101;
inline constexpr int forbidden = 40301;
inline constexpr int no_such_topic = 40401;
inline constexpr int not_an_event = 42203;  // the proxy's "not as the schema has it"
// Of one record, in an answer with status 200.
inline constexpr int kafka = 50002;
inline constexpr int kafka_try_again = 50003;
}  // namespace rest_code

Response rest_error(int code, std::string_view message);
// The same refusal as problem_response's, in this format.
Response rest_error(Problem problem, std::string_view detail);

}  // namespace huntd
