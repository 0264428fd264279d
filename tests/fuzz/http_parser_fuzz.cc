// SPDX-License-Identifier: Apache-2.0
// Any bytes as a request: the parser reads only the input, keeps the bounds, and gives the same
// result for any split of the input.
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "../http/read_request.h"
#include "base/check.h"

namespace {

using huntd::ParseStatus;
using huntd::tests::read_request;
using huntd::tests::ReadRequest;

// Each turn's bytes in a block of the heap of exactly their size, so that AddressSanitizer sees the
// first byte too many.
ReadRequest read_in_pieces(std::string_view bytes, const std::vector<size_t>& cuts) {
  std::unique_ptr<char[]> block;
  return read_request(bytes, cuts, [&](std::string_view received) {
    block = std::make_unique<char[]>(received.size());
    received.copy(block.get(), received.size());
    return std::string_view(block.get(), received.size());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view const bytes(reinterpret_cast<const char*>(data), size);
  ReadRequest const whole = read_in_pieces(bytes, {size});
  if (whole.status == ParseStatus::done) {
    CHECK(whole.consumed <= size);
    CHECK(whole.body.size() <= huntd::limits::request_body_bytes_max);
    CHECK(whole.chunked || whole.body.size() == whole.content_length);
    CHECK(!whole.path.empty());
    // The request alone is the same request, and no front of it is one.
    CHECK(read_in_pieces(bytes.substr(0, whole.consumed), {whole.consumed}) == whole);
    CHECK(read_in_pieces(bytes.substr(0, whole.consumed - 1), {whole.consumed - 1}).status ==
          ParseStatus::need_more);
  }
  uint64_t hash = 0xcbf29ce484222325;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3;
  size_t const cut = static_cast<size_t>(hash % (size + 1));
  CHECK(read_in_pieces(bytes, {cut, size}) == whole);
  if (size <= 600) {
    std::vector<size_t> each;
    for (size_t i = 0; i <= size; ++i) each.push_back(i);
    CHECK(read_in_pieces(bytes, each) == whole);
  }
  return 0;
}
