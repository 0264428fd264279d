// SPDX-License-Identifier: Apache-2.0
// How a core gets to Redis.
#pragma once
#include <string>
#include <vector>

#include "config/config.h"

namespace huntd::server {

// The user as whom a core logs in.
struct RedisLogin {
  std::string user;           // of Redis' ACL; empty: the default user
  std::string password_file;  // empty: no AUTH
  std::string password;       // what the file had when it was read last
};

struct RedisLogins {
  RedisLogin redis;
  RedisLogin sentinel;
};

// The servers to try.
struct RedisServers {
  // Tried in turn until one is a primary that lets huntd in. Names are looked up at each connect.
  std::vector<Address> addresses;
  // If there are any, they are asked for the primary, and `addresses` is empty.
  std::vector<Address> sentinels;
  std::string primary;   // the name by which they know it
  bool cluster = false;  // `addresses` are of some nodes of a Redis Cluster
};

}  // namespace huntd::server
