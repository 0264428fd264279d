// SPDX-License-Identifier: Apache-2.0
#include "huntctl/http_call.h"

#include <fmt/format.h>
#include <httplib.h>

#include <chrono>
#include <functional>

#include "config/config.h"

namespace huntd::huntctl {
namespace {

constexpr std::chrono::seconds connect_timeout{2};
constexpr std::chrono::seconds response_timeout{30};

Result<HttpResponse> call(const std::string& address_text, const std::string& which,
                          const std::function<httplib::Result(httplib::Client&)>& send) {
  Result<Address> const address = parse_address(address_text);
  if (!address) return address.error();
  if (address->unix_socket)
    return Error{fmt::format("{}: {} is not host:port", which, address_text)};
  httplib::Client client(address->host, address->port);
  client.set_connection_timeout(connect_timeout);
  client.set_read_timeout(response_timeout);
  httplib::Result const got = send(client);
  if (!got && got.error() == httplib::Error::Connection)
    return Error{fmt::format(
        "nothing listens on {}, the {}: start the server, or check the address or config file (-c)",
        address_text, which)};
  if (!got)
    return Error{fmt::format("no response from {}, the {}: {}", address_text, which,
                             to_string(got.error()))};
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
  return call(address, which, [&](httplib::Client& client) {
    return client.Get(path, httplib::Headers(headers.begin(), headers.end()));
  });
}

Result<HttpResponse> http_post(const std::string& address, const std::string& which,
                               const std::string& path, const std::string& json_body,
                               const std::map<std::string, std::string>& headers) {
  return call(address, which, [&](httplib::Client& client) {
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
