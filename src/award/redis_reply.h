// One reply of Redis, owned; reading it never fails, it answers what is there.
#pragma once
#include <hiredis/hiredis.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace huntd {

class RedisReply {
 public:
  RedisReply() = default;
  explicit RedisReply(redisReply* taken) : owned_(taken), reply_(taken) {}
  // An element of another reply; valid while that lives.
  static RedisReply part(const redisReply* borrowed) {
    RedisReply reply;
    reply.reply_ = borrowed;
    return reply;
  }

  // No reply at all: the connection ended, or the deadline came, before one arrived. Whether the
  // command ran is unknown.
  bool lost() const { return reply_ == nullptr; }
  bool is_error() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ERROR; }
  bool is_nil() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_NIL; }
  bool is_text() const {
    return reply_ != nullptr &&
           (reply_->type == REDIS_REPLY_STRING || reply_->type == REDIS_REPLY_STATUS);
  }
  bool is_number() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_INTEGER; }
  bool is_array() const { return reply_ != nullptr && reply_->type == REDIS_REPLY_ARRAY; }
  // The text of a string, status or error; empty for anything else.
  std::string_view text() const {
    return is_text() || is_error() ? std::string_view(reply_->str, static_cast<size_t>(reply_->len))
                                   : "";
  }
  int64_t number() const { return is_number() ? reply_->integer : 0; }
  size_t size() const { return is_array() ? reply_->elements : 0; }
  RedisReply operator[](size_t index) const {
    return index < size() ? part(reply_->element[index]) : RedisReply();
  }

 private:
  struct Free {
    void operator()(redisReply* reply) const { freeReplyObject(reply); }
  };
  std::unique_ptr<redisReply, Free> owned_;
  const redisReply* reply_ = nullptr;
};

}  // namespace huntd
