// SPDX-License-Identifier: Apache-2.0
// Messages between the parent and a core, over a SOCK_SEQPACKET pair. A message is its kind and,
// for some kinds, a value. MessageLink frames the messages.
#pragma once
#include <cstdint>
#include <string>

#include "auth/secrets.h"
#include "core/hunt/worker_pool.h"
#include "environment/redis_access.h"
#include "wire/message_codec.h"

namespace huntd::server {

enum class ControlMessage : uint8_t {
  // Parent to core:
  peer = 1,          // PeerUpdate: another core came up or went down
  bundle = 2,        // WorkerLimits, and the descriptor of a bundle: new hunts use both
  secrets = 3,       // Secrets: they authenticate callers from now on
  drain = 4,         // finish the requests that run, then end
  end = 5,           // all cores are idle
  leaving = 8,       // bool: whether the host says that it is not ready, so that clients should go
  redis_logins = 9,  // RedisLogins: of the connections to Redis that are made from now on
  // Core to parent:
  listening = 6,  // the core accepts connections
  idle = 7,       // the core drains and has no work of its own; it still runs its peers' requests
};

struct PeerUpdate {
  uint32_t core = 0;
  bool up = false;
  uint32_t incarnation = 0;  // counts the starts of that core
};

template <class Value>
void append_value(WireWriter<std::string>& writer, const Value& value) {
  writer.number(value);
}

inline void append_value(WireWriter<std::string>& writer, const Secrets& secrets) {
  writer.number(secrets.mode);
  writer.number(static_cast<uint32_t>(secrets.texts.size()));
  for (const std::string& text : secrets.texts) writer.text(text);
  writer.number(static_cast<uint32_t>(secrets.jwt_keys.size()));
  for (const JwtKey& key : secrets.jwt_keys) {
    writer.text(key.id);
    writer.number(key.algorithm);
    writer.text(key.der);
  }
  writer.text(secrets.jwt.issuer);
  writer.text(secrets.jwt.audience);
  for (uint32_t const number :
       {secrets.jwt.leeway_s, secrets.jwt.cache_tokens, secrets.jwt.cache_s})
    writer.number(number);
  writer.number(static_cast<uint32_t>(secrets.revoked.hashes().size()));
  for (uint64_t const hash : secrets.revoked.hashes()) writer.number(hash);
}

inline void append_value(WireWriter<std::string>& writer, const RedisLogins& logins) {
  for (const RedisLogin* login : {&logins.redis, &logins.sentinel}) {
    writer.text(login->user);
    writer.text(login->password_file);
    writer.text(login->password);
  }
}

// Encodes a message. REQUIRES: `value` is what the comment of its kind names, if it names one.
template <class... Value>
std::string encode(ControlMessage kind, const Value&... value) {
  std::string message;
  WireWriter writer(message);
  writer.number(kind);
  (append_value(writer, value), ...);
  return message;
}

// Reads the value of a `redis_logins` message.
inline RedisLogins read_redis_logins(WireReader& reader) {
  RedisLogins logins;
  for (RedisLogin* login : {&logins.redis, &logins.sentinel}) {
    login->user = reader.text();
    login->password_file = reader.text();
    login->password = reader.text();
  }
  return logins;
}

// Reads the value of a `secrets` message; the other kinds' values are read with number().
inline Secrets read_secrets(WireReader& reader) {
  Secrets secrets;
  secrets.mode = reader.number<AuthMode>();
  secrets.texts.resize(reader.number<uint32_t>());
  for (std::string& text : secrets.texts) text = reader.text();
  secrets.jwt_keys.resize(reader.number<uint32_t>());
  for (JwtKey& key : secrets.jwt_keys) {
    key.id = reader.text();
    key.algorithm = reader.number<JwtAlgorithm>();
    key.der = reader.text();
  }
  secrets.jwt.issuer = reader.text();
  secrets.jwt.audience = reader.text();
  for (uint32_t* number : {&secrets.jwt.leeway_s, &secrets.jwt.cache_tokens, &secrets.jwt.cache_s})
    *number = reader.number<uint32_t>();
  std::vector<uint64_t> revoked(reader.number<uint32_t>());
  for (uint64_t& hash : revoked) hash = reader.number<uint64_t>();
  secrets.revoked = Revoked(std::move(revoked));
  return secrets;
}

}  // namespace huntd::server
