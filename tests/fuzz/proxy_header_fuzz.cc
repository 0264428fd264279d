// SPDX-License-Identifier: Apache-2.0
// Any bytes as a header of the PROXY protocol: the parser reads only the input, keeps the bound, and
// every split of the input gives the same result.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/check.h"
#include "http/proxy_header.h"

namespace {

using huntd::ParseStatus;
using huntd::ProxyHeader;

// In a block of the heap of exactly that size, so that AddressSanitizer sees the first byte too
// many.
ParseStatus parse(const uint8_t* data, size_t size, ProxyHeader& header) {
  auto const block = std::make_unique<char[]>(size);
  std::copy(data, data + size, block.get());
  return huntd::parse_proxy_header({block.get(), size}, header);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ProxyHeader whole;
  ParseStatus const status = parse(data, size, whole);
  CHECK(status != ParseStatus::need_more || size < huntd::proxy_header_bytes_max);
  CHECK((status == ParseStatus::bad) == (*whole.fault != '\0'));
  if (status == ParseStatus::done)
    CHECK(whole.bytes > 0 && whole.bytes <= std::min(size, huntd::proxy_header_bytes_max));
  for (size_t part = 0; part < size; ++part) {
    ProxyHeader header;
    ParseStatus const of_part = parse(data, part, header);
    if (status == ParseStatus::done && part >= whole.bytes)
      CHECK(of_part == status && header.client == whole.client && header.bytes == whole.bytes);
    else if (status != ParseStatus::bad)
      CHECK(of_part == ParseStatus::need_more);
    else  // what is malformed stays so
      CHECK(of_part != ParseStatus::done);
    if (part > 2 * huntd::proxy_header_bytes_max) break;
  }
  return 0;
}
