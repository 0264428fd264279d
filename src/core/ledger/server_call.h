// SPDX-License-Identifier: Apache-2.0
// A question to a server beside the link: to a sentinel, or to a node of a cluster.
#pragma once
#include <hiredis/hiredis.h>

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/scheduler.h"
#include "base/task.h"
#include "core/ledger/lookup.h"
#include "core/ledger/redis_reply.h"
#include "environment/environment.h"
#include "environment/redis_access.h"

namespace huntd::server {

using Commands = std::vector<std::vector<std::string>>;
using Replies = std::vector<RedisReply>;

// One question to one server, over a connection of its own. Reusable.
class ServerCall final : private StreamUser, private ConnectUser {
 public:
  ServerCall(Network& network, Scheduler& scheduler, size_t reply_bytes_max)
      : network_(network), scheduler_(scheduler), reply_bytes_max_(reply_bytes_max) {}
  ~ServerCall();
  ServerCall(const ServerCall&) = delete;
  ServerCall& operator=(const ServerCall&) = delete;

  // A connect can't be cancelled: until it has ended the object stays in use.
  bool free() const { return !connecting_; }
  // The replies to the commands, none of which is an error; the error of the first that is one is
  // returned. Waits for limits::server_call_wait_ns at most, and until `deadline_at_ns`. `rejected`:
  // whether the login was. REQUIRES: free(); `at` is numeric; one coroutine at a time.
  Task<Result<Replies>> ask(Address at, Commands commands, const RedisLogin& login,
                            uint64_t deadline_at_ns, bool& rejected);
  // Ends ask(), if it waits, with an error.
  void give_up();

 private:
  void on_connected(Result<StreamPtr> stream) override;
  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;
  void send(const Commands& commands, const RedisLogin& login);
  Result<Replies> take_replies(size_t count, bool& rejected);
  void close();

  Network& network_;
  Scheduler& scheduler_;
  size_t reply_bytes_max_;
  OneShot<Signal> changed_{scheduler_};
  bool connecting_ = false;
  bool waited_for_ = false;  // by ask()
  StreamPtr stream_;
  redisReader* reader_ = nullptr;
  size_t expected_ = 0;
  Replies replies_;
  std::string failure_;
};

// Questions with one login, whose password file is read again if a server rejects the password.
class ServerCalls {
 public:
  // Errors of the system and of servers in words for operators.
  using InWords = std::string (*)(std::string_view error);
  // `password_key` names the file in errors, and is a literal.
  ServerCalls(Network& network, Lookup& lookup, Scheduler& scheduler, RedisLogin login,
              const char* password_key, InWords in_words, size_t reply_bytes_max)
      : network_(network),
        lookup_(lookup),
        scheduler_(scheduler),
        login_(std::move(login)),
        password_key_(password_key),
        in_words_(in_words),
        reply_bytes_max_(reply_bytes_max) {}

  // Logs in so from the next call on.
  void use(RedisLogin login) { login_ = std::move(login); }
  // As ServerCall::ask(). At most limits::server_calls_max connects hang at the same time.
  Task<Result<Replies>> ask(Address at, Commands commands, uint64_t deadline_at_ns);
  // Ends ask(), if it waits, with an error.
  void give_up();

 private:
  Network& network_;
  Lookup& lookup_;
  Scheduler& scheduler_;
  RedisLogin login_;
  const char* password_key_;
  InWords in_words_;
  size_t reply_bytes_max_;
  std::deque<ServerCall> calls_;
};

}  // namespace huntd::server
