// SPDX-License-Identifier: Apache-2.0
// One HTTP request to huntd or hunt-aggregator. Errors say what to do.
#pragma once
#include <map>
#include <string>

#include "base/result.h"

namespace huntd::huntctl {

inline constexpr const char* admin_port = "admin port (--admin)";  // in errors

struct HttpResponse {
  int status = 0;
  std::string body;
  std::string bundle;  // the header Hunt-Bundle; empty if there is none
};

// Returns the address to call for an address to listen on: a wildcard address becomes loopback.
std::string callable_address(const std::string& listen_address);

// `address` is host:port, [v6]:port or unix:/path. `which` names the port in errors, and the option
// that changes it, such as "admin port (--admin)". A response with any status is a success. Without a
// response in the time of --timeout the error is of kind `unreachable`.
Result<HttpResponse> http_get(const std::string& address, const std::string& which,
                              const std::string& path,
                              const std::map<std::string, std::string>& headers = {});
Result<HttpResponse> http_post(const std::string& address, const std::string& which,
                               const std::string& path, const std::string& json_body,
                               const std::map<std::string, std::string>& headers);

// GET on the admin port; returns the body. A status other than 200 is an error.
Result<std::string> get_from_admin_port(const std::string& address, const std::string& path);

}  // namespace huntd::huntctl
