// SPDX-License-Identifier: Apache-2.0
// Any text as an address and as a network: what is accepted is printed as a text that means the
// same, and a network has its first address.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/ip_address.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string const text(reinterpret_cast<const char*>(data), size);
  if (std::optional<huntd::IpAddress> const address = huntd::parse_ip(text); address) {
    CHECK(huntd::parse_ip(huntd::ip_text(*address)) == address);
    huntd::Result<huntd::Cidr> const alone = huntd::parse_cidr(huntd::ip_text(*address));
    CHECK(alone && alone->contains(*address) && alone->bits == 128);
  }
  huntd::Result<huntd::Cidr> const cidr = huntd::parse_cidr(text);
  if (!cidr) {
    CHECK(!cidr.error().message.empty());
    return 0;
  }
  CHECK(cidr->bits <= 128 && cidr->v4 == cidr->network.is_v4());
  CHECK(cidr->contains(cidr->network));
  // Another value of a bit that counts is outside, and of one that does not is inside.
  for (unsigned bit : {0U, 63U, 95U, 96U, 127U}) {
    huntd::IpAddress other = cidr->network;
    other.bytes[bit / 8] ^= static_cast<uint8_t>(0x80 >> bit % 8);
    bool const inside = bit >= cidr->bits && other.is_v4() == cidr->v4;
    CHECK(cidr->contains(other) == inside);
  }
  return 0;
}
