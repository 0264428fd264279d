// SPDX-License-Identifier: Apache-2.0
#include "core/client/trusted_proxies.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "http/characters.h"

namespace huntd::server {
namespace {

constexpr std::string_view forwarded_for = "x-forwarded-for";

// An element of X-Forwarded-For: an address, or one with a port, as some proxies write it:
// 192.0.2.1:80, [2001:db8::1]:80, [2001:db8::1].
std::optional<IpAddress> element_address(std::string_view text) {
  if (std::optional<IpAddress> const plain = parse_ip(text)) return plain;
  size_t const end = text.starts_with('[') ? text.find(']') : text.find(':');
  if (end == std::string_view::npos) return std::nullopt;
  bool const bracketed = text.front() == '[';
  std::string_view const port = text.substr(bracketed ? end + 1 : end);
  bool const digits = port.size() > 1 && port.size() <= 6 && port.front() == ':' &&
                      port.find_first_not_of("0123456789", 1) == std::string_view::npos;
  if (!digits && !(bracketed && port.empty())) return std::nullopt;
  return parse_ip(bracketed ? text.substr(1, end - 1) : text.substr(0, end));
}

}  // namespace

TrustedProxies::TrustedProxies(const std::vector<std::string>& entries) {
  for (const std::string& entry : entries) {
    if (entry == "unix:") {
      unix_socket_ = true;
      continue;
    }
    Result<Cidr> const network = parse_cidr(entry);
    CHECK(static_cast<bool>(network));  // load_config() has checked it
    networks_.push_back(*network);
  }
}

bool TrustedProxies::trusts(const Peer& peer) const {
  if (peer.kind == Peer::Kind::unix_socket) return unix_socket_;
  if (peer.kind == Peer::Kind::unknown) return false;
  return std::ranges::any_of(networks_,
                             [&](const Cidr& network) { return network.contains(peer.address); });
}

Peer TrustedProxies::client_of(const RequestHead& head, const Peer& peer) const {
  Peer client = peer;
  // Several headers are one list in their order (RFC 9110 section 5.3), which is read from its end.
  for (size_t i = head.header_count; i > 0; --i) {
    if (!http::same_name(head.headers[i - 1].name, forwarded_for)) continue;
    std::string_view list = head.headers[i - 1].value;
    for (bool more = true; more;) {
      size_t const comma = list.rfind(',');
      more = comma != std::string_view::npos;
      std::string_view const element = http::trim(more ? list.substr(comma + 1) : list);
      list = list.substr(0, more ? comma : 0);
      if (element.empty()) continue;  // RFC 9110 section 5.6.1.2
      std::optional<IpAddress> const address = element_address(element);
      if (!address) return client;
      client = {Peer::Kind::ip, *address};
      if (!trusts(client)) return client;
    }
  }
  return client;
}

}  // namespace huntd::server
