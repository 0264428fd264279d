// SPDX-License-Identifier: Apache-2.0
// One HTTP request over a unix socket: cpp-httplib 0.11 of Debian 12 knows none.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"
#include "huntctl/http_call.h"

namespace huntd::huntctl {

struct UnixHttpRequest {
  std::string socket_path;  // of 1 to 107 bytes
  const char* method = "GET";
  std::string target;
  std::map<std::string, std::string> headers = {};
  std::string json_body = {};
};

// Larger responses are an error: the largest of huntd, /metrics of 64 cores, has a few MiB.
inline constexpr size_t unix_response_bytes_max = 64 << 20;

// Each read and write may take `timeout_ms`. `peer` names the server in errors, which are
// of kind `unreachable`.
Result<HttpResponse> call_over_unix(const UnixHttpRequest& request, std::string_view peer,
                                    int64_t timeout_ms);

// The response whose connection has ended after `bytes`; the error says what is wrong with it.
Result<HttpResponse> read_whole_response(std::string_view bytes);

}  // namespace huntd::huntctl
