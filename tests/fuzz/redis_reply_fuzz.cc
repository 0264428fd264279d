// SPDX-License-Identifier: Apache-2.0
// Any bytes from Redis, in pieces of any size: rejected, or replies whose every part can be read;
// all replies are released to the pool.
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "core/ledger/redis_reply.h"

namespace {

size_t walk(const huntd::server::RedisReply& reply) {
  size_t seen = reply.text().size() + static_cast<size_t>(reply.number() & 1);
  for (size_t i = 0; i < reply.size(); ++i) seen += walk(reply[i]);
  return seen + (reply[reply.size()].lost() ? 1 : 0);  // none after the last
}

struct Free {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  size_t const piece = 1 + data[0] % 64;
  std::unique_ptr<redisReader, Free> const reader(
      redisReaderCreateWithFunctions(huntd::server::RedisReply::functions()));
  for (size_t at = 1; at < size; at += piece) {
    size_t const bytes = std::min(piece, size - at);
    if (redisReaderFeed(reader.get(), reinterpret_cast<const char*>(data + at), bytes) != REDIS_OK)
      return 0;
    for (;;) {
      void* taken = nullptr;
      if (redisReaderGetReply(reader.get(), &taken) != REDIS_OK) return 0;
      if (taken == nullptr) break;
      walk(huntd::server::RedisReply(static_cast<huntd::server::RedisReply::Node*>(taken)));
    }
  }
  return 0;
}
