// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/redis_reply.h"

#include "base/limits.h"
#include "base/pool.h"

namespace huntd::server {

struct RedisReply::Node {
  int type = REDIS_REPLY_NIL;
  int64_t number = 0;
  PoolString text;
  PoolVector<Node*> parts;  // null: not read yet
};

namespace {

using Node = RedisReply::Node;

constexpr size_t element_bytes_min = 4;  // ":1\r\n"

void free_node(void* made) {
  auto* node = static_cast<Node*>(made);
  if (node == nullptr) return;
  for (Node* part : node->parts) free_node(part);
  node->~Node();
  Pool::release(node, sizeof(Node));
}

// Creates the node of an element and puts it into the array around it.
Node* make(const redisReadTask* task, int type) {
  // The pool's blocks have the requested size (tests/base/pool_test.cc); clang-tidy 14 miscounts.
  // NOLINTNEXTLINE(clang-analyzer-cplusplus.PlacementNew)
  Node* node = new (Pool::allocate(sizeof(Node))) Node;
  node->type = type;
  if (task->parent != nullptr)
    static_cast<Node*>(task->parent->obj)->parts[static_cast<size_t>(task->idx)] = node;
  return node;
}

void* make_text(const redisReadTask* task, char* text, size_t length) {
  Node* node = make(task, task->type);
  node->text.assign(text, length);
  return node;
}

// The count is an int to older versions of hiredis and a size_t to newer ones.
template <class Count>
void* make_array(const redisReadTask* task, Count count) {
  // More elements than fit the bytes of a reply: null ends the parsing, as if memory were
  // exhausted.
  if (static_cast<size_t>(count) > limits::redis_reply_bytes_max / element_bytes_min)
    return nullptr;
  Node* node = make(task, REDIS_REPLY_ARRAY);
  node->parts.resize(static_cast<size_t>(count));
  return node;
}

void* make_number(const redisReadTask* task, long long number) {
  Node* node = make(task, REDIS_REPLY_INTEGER);
  node->number = number;
  return node;
}

void* make_nil(const redisReadTask* task) { return make(task, REDIS_REPLY_NIL); }

template <class Functions>
Functions table() {
  Functions functions{};
  functions.createString = make_text;
  functions.createArray = make_array;
  functions.createInteger = make_number;
  functions.createNil = make_nil;
  functions.freeObject = free_node;
  // Types of RESP3, which is never enabled. Without a function the parser would return numbers
  // instead of objects.
  if constexpr (requires { functions.createDouble; })
    functions.createDouble = [](const redisReadTask* task, double, char*, size_t) {
      return make_nil(task);
    };
  if constexpr (requires { functions.createBool; })
    functions.createBool = [](const redisReadTask* task, int) { return make_nil(task); };
  return functions;
}

}  // namespace

redisReplyObjectFunctions* RedisReply::functions() {
  static redisReplyObjectFunctions functions = table<redisReplyObjectFunctions>();
  return &functions;
}

void RedisReply::Free::operator()(Node* node) const { free_node(node); }

bool RedisReply::is(int type) const { return node_ != nullptr && node_->type == type; }

std::string_view RedisReply::text() const {
  return is_text() || is_error() ? std::string_view(node_->text) : "";
}

int64_t RedisReply::number() const { return is_number() ? node_->number : 0; }

size_t RedisReply::size() const { return is_array() ? node_->parts.size() : 0; }

RedisReply RedisReply::operator[](size_t index) const {
  return index < size() ? part(node_->parts[index]) : RedisReply();
}

}  // namespace huntd::server
