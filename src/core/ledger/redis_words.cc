// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_words.h"

namespace huntd::server {
namespace {

struct Fault {
  std::string_view error;  // a part of the text
  std::string_view words;
};

// The first that matches.
constexpr Fault faults[] = {
    {"Connection refused", "nothing listens there"},
    {"timed out", "timed out: the host does not answer"},
    {"No route to host", "no route to the host"},
    {"Network is unreachable", "no route to the host"},
    {"No such file or directory", "there is no such unix socket"},
    {"Permission denied", "the unix socket is not permitted to huntd"},
    {"closed the connection", "the connection was closed by Redis"},
    {"Connection reset", "the connection was closed by Redis"},
    {"Name or service not known", "the name is not resolved"},
    {"name resolution", "the name is not resolved"},
    {"No address associated", "the name is not resolved"},
    {"no reply", "timed out: connected, and Redis does not reply"},
    {"NOAUTH", "Redis asks for a password: set redis.password_file"},
    {"WRONGPASS", "wrong password: see redis.password_file"},
    {"wrong number of arguments for 'auth'", "this Redis has no users: redis.user needs Redis 6.0"},
    {"invalid password", "wrong password: see redis.password_file"},
    {"no password is set", "Redis has no password, but redis.password_file is set"},
    {"without any password", "Redis has no password, but redis.password_file is set"},
    {"LOADING", "loading: Redis reads its data from disk"},
    {"MASTERDOWN", "a replica without its primary"},
    {"BUSY", "busy: a script of another client runs in Redis"},
};

}  // namespace

std::string redis_fault_in_words(std::string_view error) {
  if (error.starts_with("redis.tls_")) return std::string(error);  // of a file, with its key
  for (const Fault& fault : faults) {
    if (error.find(fault.error) == error.npos) continue;
    return std::string(fault.words).append(" (").append(error).append(")");
  }
  return std::string(error);
}

bool is_login_rejection(std::string_view error) {
  for (std::string_view const text : {"WRONGPASS", "NOAUTH", "invalid password"})
    if (error.find(text) != error.npos) return true;
  return false;
}

}  // namespace huntd::server
