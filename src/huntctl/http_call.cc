#include "huntctl/http_call.h"

#include <fmt/format.h>
#include <httplib.h>

#include <chrono>
#include <functional>

#include "base/config.h"

namespace huntd::huntctl {
namespace {

constexpr std::chrono::seconds connect_timeout{2};
constexpr std::chrono::seconds answer_timeout{30};

Result<HttpAnswer> call(const std::string& address_text, const std::string& which,
                        const std::function<httplib::Result(httplib::Client&)>& send) {
  Result<Address> const address = parse_address(address_text);
  if (!address) return address.error();
  if (address->unix_socket)
    return Error{fmt::format("{}: {} is no host:port", which, address_text)};
  httplib::Client client(address->host, address->port);
  client.set_connection_timeout(connect_timeout);
  client.set_read_timeout(answer_timeout);
  httplib::Result const got = send(client);
  if (!got && got.error() == httplib::Error::Connection)
    return Error{fmt::format(
        "nothing listens on {}, the {}: start it, or give the right address or config file (-c)",
        address_text, which)};
  if (!got)
    return Error{
        fmt::format("no answer from {}, the {}: {}", address_text, which, to_string(got.error()))};
  return HttpAnswer{got->status, got->body, got->get_header_value("Hunt-Bundle")};
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

Result<HttpAnswer> http_get(const std::string& address, const std::string& which,
                            const std::string& path,
                            const std::map<std::string, std::string>& headers) {
  return call(address, which, [&](httplib::Client& client) {
    return client.Get(path, httplib::Headers(headers.begin(), headers.end()));
  });
}

Result<HttpAnswer> http_post(const std::string& address, const std::string& which,
                             const std::string& path, const std::string& json_body,
                             const std::map<std::string, std::string>& headers) {
  return call(address, which, [&](httplib::Client& client) {
    return client.Post(path, httplib::Headers(headers.begin(), headers.end()), json_body,
                       json_body.empty() ? "" : "application/json");
  });
}

}  // namespace huntd::huntctl
