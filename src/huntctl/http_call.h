// One HTTP call to huntd, with errors that say what to do.
#pragma once
#include <map>
#include <string>

#include "base/result.h"

namespace huntd::huntctl {

struct HttpAnswer {
  int status = 0;
  std::string body;
  std::string bundle;  // of the header Hunt-Bundle; empty where there is none
};

// An address to listen on as one to call: any-address becomes loopback.
std::string callable_address(const std::string& listen_address);

// `address` is host:port or [v6]:port. `which` names the port and the option that changes it, such
// as "admin port (--admin)", for the message when nothing listens there. Any status is an answer.
Result<HttpAnswer> http_get(const std::string& address, const std::string& which,
                            const std::string& path,
                            const std::map<std::string, std::string>& headers = {});
Result<HttpAnswer> http_post(const std::string& address, const std::string& which,
                             const std::string& path, const std::string& json_body,
                             const std::map<std::string, std::string>& headers);

}  // namespace huntd::huntctl
