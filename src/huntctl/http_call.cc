// SPDX-License-Identifier: Apache-2.0
#include "huntctl/http_call.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "base/clock.h"
#include "config/config.h"
#include "huntctl/deadline.h"
#include "huntctl/unix_http.h"

namespace huntd::huntctl {
namespace {

constexpr int64_t connect_timeout_ms = 2000;

// A malformed address is wrong usage; one of the config was checked when it was read.
Result<Address> http_address(const std::string& text, const std::string& which) {
  Result<Address> const address = parse_address(text);
  if (address) return *address;
  return Error{fmt::format("{}: {}", which, address.error().message), ErrorKind::usage};
}

Error no_response(const std::string& address, const std::string& which, httplib::Error error,
                  int64_t started_ms, int64_t timeout_ms) {
  if (error == httplib::Error::Connection)
    return {fmt::format(
                "nothing listens on {}, the {}: start the server, or check the address or config "
                "file (-c)",
                address, which),
            ErrorKind::unreachable};
  // httplib has one error for a connection that is closed and one that is silent.
  if (monotonic_ms() - started_ms >= timeout_ms)
    return {fmt::format("no response from {}, the {}, within {}", address, which,
                        seconds_text(timeout_ms)),
            ErrorKind::unreachable};
  return {fmt::format("no response from {}, the {}: {}", address, which, to_string(error)),
          ErrorKind::unreachable};
}

// `request.socket_path` is set here if `address_text` is of a unix socket.
Result<HttpResponse> call(const std::string& address_text, const std::string& which,
                          UnixHttpRequest request,
                          const std::function<httplib::Result(httplib::Client&)>& send) {
  Result<Address> const address = http_address(address_text, which);
  if (!address) return address.error();
  int64_t const timeout_ms = answer_timeout_ms();
  std::string const peer = fmt::format("{}, the {}", address_text, which);
  int64_t const started_ms = monotonic_ms();
  // The timeouts of either client are for each read and write.
  PeerCall const bounded(peer, timeout_ms);
  if (address->unix_socket) {
    request.socket_path = address->host;
    return call_over_unix(request, peer, timeout_ms);
  }
  httplib::Client client(address->host, address->port);
  client.set_connection_timeout(
      std::chrono::milliseconds(std::min(timeout_ms, connect_timeout_ms)));
  client.set_read_timeout(std::chrono::milliseconds(timeout_ms));
  client.set_write_timeout(std::chrono::milliseconds(timeout_ms));
  httplib::Result const got = send(client);
  if (!got) return no_response(address_text, which, got.error(), started_ms, timeout_ms);
  return HttpResponse{got->status, got->body, got->get_header_value("Hunt-Bundle")};
}

}  // namespace

std::string callable_address(const std::string& listen_address) {
  Result<Address> const address = parse_address(listen_address);
  if (!address || address->unix_socket) return listen_address;
  if (address->host == "0.0.0.0" || address->host == "*")
    return fmt::format("127.0.0.1:{}", address->port);
  if (address->host == "::") return fmt::format("[::1]:{}", address->port);
  return listen_address;
}

Result<HttpResponse> http_get(const std::string& address, const std::string& which,
                              const std::string& path,
                              const std::map<std::string, std::string>& headers) {
  return call(address, which, {{}, "GET", path, headers}, [&](httplib::Client& client) {
    return client.Get(path, httplib::Headers(headers.begin(), headers.end()));
  });
}

Result<HttpResponse> http_post(const std::string& address, const std::string& which,
                               const std::string& path, const std::string& json_body,
                               const std::map<std::string, std::string>& headers) {
  UnixHttpRequest const over_unix{{}, "POST", path, headers, json_body};
  return call(address, which, over_unix, [&](httplib::Client& client) {
    return client.Post(path, httplib::Headers(headers.begin(), headers.end()), json_body,
                       json_body.empty() ? "" : "application/json");
  });
}

Result<std::string> get_from_admin_port(const std::string& address, const std::string& path) {
  Result<HttpResponse> const response = http_get(address, admin_port, path);
  if (!response) return response.error();
  if (response->status != 200)
    return Error{fmt::format("{} responds to {} with status {}: is it huntd's admin port?", address,
                             path, response->status)};
  return response->body;
}

}  // namespace huntd::huntctl
