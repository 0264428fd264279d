// One reply of Redis, owned; reading it never fails, it answers what is there.
#pragma once
#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>
#include <string_view>

namespace huntd {

class RedisReply {
 public:
  // A reply, or a part of one, as hiredis' parser is told to build it: in the pool's memory.
  struct Node;

  RedisReply() = default;
  explicit RedisReply(Node* taken) : owned_(taken), node_(taken) {}
  // An element of another reply; valid while that lives.
  static RedisReply part(const Node* borrowed) {
    RedisReply reply;
    reply.node_ = borrowed;
    return reply;
  }
  // What redisReaderCreateWithFunctions takes, so that it makes Nodes; static.
  static redisReplyObjectFunctions* functions();

  // No reply at all: the connection ended, or the deadline came, before one arrived. Whether the
  // command ran is unknown.
  bool lost() const { return node_ == nullptr; }
  bool is_error() const { return is(REDIS_REPLY_ERROR); }
  bool is_nil() const { return is(REDIS_REPLY_NIL); }
  bool is_text() const { return is(REDIS_REPLY_STRING) || is(REDIS_REPLY_STATUS); }
  bool is_number() const { return is(REDIS_REPLY_INTEGER); }
  bool is_array() const { return is(REDIS_REPLY_ARRAY); }
  // The text of a string, status or error; empty for anything else.
  std::string_view text() const;
  int64_t number() const;
  size_t size() const;
  RedisReply operator[](size_t index) const;

 private:
  struct Free {
    void operator()(Node* node) const;
  };
  bool is(int type) const;

  std::unique_ptr<Node, Free> owned_;
  const Node* node_ = nullptr;
};

}  // namespace huntd
