// SPDX-License-Identifier: Apache-2.0
// Reads one request with llhttp, the parser that Node.js uses, for comparison with ours. Tests and
// benchmarks only.
#pragma once
#include <llhttp.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace huntd::tests {

struct LlhttpRequest {
  enum class Status { done, need_more, bad };
  Status status = Status::need_more;
  std::string reason;   // bad: the text of llhttp
  size_t consumed = 0;  // done: bytes of the head and the body
  std::string method;
  std::string target;
  int minor_version = 0;
  bool keep_alive = false;
  std::vector<std::pair<std::string, std::string>> headers;  // no trailers; values trimmed
  std::string body;
};

// `bytes` starts with the request; more bytes may follow it.
LlhttpRequest read_with_llhttp(std::string_view bytes);

}  // namespace huntd::tests
