// SPDX-License-Identifier: Apache-2.0
// How a core gets to Redis.
#pragma once
#include <string>

namespace huntd::server {

// The user as whom a core logs in.
struct RedisLogin {
  std::string user;           // of Redis' ACL; empty: the default user
  std::string password_file;  // empty: no AUTH
  std::string password;       // what the file had when it was read last
};

}  // namespace huntd::server
