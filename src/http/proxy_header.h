// SPDX-License-Identifier: Apache-2.0
// The header of the PROXY protocol, versions 1 and 2, with which a proxy begins a connection
// (HAProxy's doc/proxy-protocol.txt). Strict; no I/O, allocates nothing.
#pragma once
#include <cstddef>
#include <optional>
#include <string_view>

#include "base/ip_address.h"
#include "http/parser.h"

namespace huntd {

// With its TLVs; nginx has the same bound.
inline constexpr size_t proxy_header_bytes_max = 4096;

struct ProxyHeader {
  size_t bytes = 0;  // its length
  // The address that the proxy accepted the connection from. Nothing: the proxy does not know it
  // (UNKNOWN, UNSPEC, a unix socket), or the connection is its own.
  std::optional<IpAddress> client;
  bool local = false;      // the connection is the proxy's own (LOCAL)
  const char* fault = "";  // after ParseStatus::bad: the reason
};

// Parses the header at the front of `bytes`. While the result is need_more, call again with the same
// bytes and more after them: a header has at most proxy_header_bytes_max. On bad, the
// connection must be closed: it is unknown where the first request starts.
ParseStatus parse_proxy_header(std::string_view bytes, ProxyHeader& header);

}  // namespace huntd
