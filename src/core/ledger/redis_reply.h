// SPDX-License-Identifier: Apache-2.0
// One reply of Redis. The accessors never fail: a reply of another type has an empty text, the
// number 0 and no elements.
#pragma once
#include <hiredis/hiredis.h>

#include <cstdint>
#include <memory>
#include <string_view>

namespace huntd::server {

class RedisReply {
 public:
  // A reply or an element of one, in the pool's memory. hiredis' parser builds it by means of
  // functions().
  struct Node;

  RedisReply() = default;
  explicit RedisReply(Node* taken) : owned_(taken), node_(taken) {}
  // An element of another reply; valid while the latter lives.
  static RedisReply part(const Node* borrowed) {
    RedisReply reply;
    reply.node_ = borrowed;
    return reply;
  }
  // For redisReaderCreateWithFunctions: functions that create Nodes. Static.
  static redisReplyObjectFunctions* functions();

  // No reply arrived before the connection ended or the deadline passed. It is unknown whether the
  // command was executed.
  bool lost() const { return node_ == nullptr; }
  // Too few replicas had what the command wrote or read when the reply came
  // (RedisLink::Copies::replicas).
  bool few_copies() const { return few_copies_; }
  void note_few_copies() { few_copies_ = true; }
  bool is_error() const { return is(REDIS_REPLY_ERROR); }
  bool is_nil() const { return is(REDIS_REPLY_NIL); }
  bool is_text() const { return is(REDIS_REPLY_STRING) || is(REDIS_REPLY_STATUS); }
  bool is_number() const { return is(REDIS_REPLY_INTEGER); }
  bool is_array() const { return is(REDIS_REPLY_ARRAY); }
  // The text of a string, status or error.
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
  bool few_copies_ = false;
};

}  // namespace huntd::server
