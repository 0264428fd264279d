// SPDX-License-Identifier: Apache-2.0
// Servers that do what a test says, on a network of their own, for tests of RedisLink.
#pragma once
#include <hiredis/hiredis.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/limits.h"
#include "base/scheduler.h"
#include "core/ledger/redis_link.h"

namespace huntd::server {

using Words = std::vector<std::string>;

inline std::string bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

// A process that listens.
struct FakeServer {
  // The reply to a command, as bytes; empty: none, ever.
  std::function<std::string(const Words&)> reply_to;
  bool accepts = true;  // false: a connect neither succeeds nor fails
  int connects = 0;
};

class FakeStream final : public Stream {
 public:
  explicit FakeStream(FakeServer& server) : server_(server), reader_(redisReaderCreate()) {}
  ~FakeStream() { redisReaderFree(reader_); }

  void set_user(StreamUser& user) override { user_ = &user; }
  void read() override {}
  void pause() override {}
  void send(std::string& bytes) override {
    redisReaderFeed(reader_, bytes.data(), bytes.size());
    bytes.clear();
    void* parsed = nullptr;
    while (redisReaderGetReply(reader_, &parsed) == REDIS_OK && parsed != nullptr) {
      auto* command = static_cast<redisReply*>(parsed);
      Words words;
      for (size_t i = 0; i < command->elements; ++i)
        words.emplace_back(command->element[i]->str, command->element[i]->len);
      freeReplyObject(command);
      unread_ += server_.reply_to(words);
    }
  }
  bool sending() const override { return false; }
  void release() override {}
  void finish_sending() override {}
  void close() override { user_ = nullptr; }

  // Delivers what the server has replied.
  void deliver() {
    std::string const bytes = std::exchange(unread_, "");
    if (user_ != nullptr && !bytes.empty()) user_->on_bytes(bytes);
  }
  // Delivers bytes of a server that replies late.
  void receive(std::string_view bytes) {
    if (user_ != nullptr) user_->on_bytes(bytes);
  }
  // The server closes the connection.
  void end() {
    if (user_ != nullptr) user_->on_end(0);
  }
  bool is_open() const { return user_ != nullptr; }
  const FakeServer& server() const { return server_; }

 private:
  FakeServer& server_;
  redisReader* reader_;
  StreamUser* user_ = nullptr;
  std::string unread_;
};

struct FakeNetwork final : Network {
  void connect(const Address& address, ConnectUser& user) override {
    tried.push_back(address_text(address));
    auto const found = servers.find(tried.back());
    if (found == servers.end()) return user.on_connected(Error{"connect: Connection refused"});
    if (!found->second->accepts) return;
    ++found->second->connects;
    streams.push_back(std::make_unique<FakeStream>(*found->second));
    user.on_connected(StreamPtr(streams.back().get()));
  }
  void start_accepting(AcceptUser& user, bool with_addresses) override {}
  void stop_accepting() override {}
  StreamPtr adopt(int descriptor) override { return nullptr; }

  std::map<std::string, FakeServer*> servers;  // by address
  std::vector<std::string> tried;
  std::deque<std::unique_ptr<FakeStream>> streams;
};

struct FakeClock final : Clock {
  uint64_t now_ns() override { return 0; }
  int64_t wall_ms() override { return 0; }
  uint64_t random() override { return 0; }
};

// Each name has the addresses of `hosts`.
struct FakeNames final : Resolver {
  void resolve(const Address& name, ResolveUser& user) override {
    if (hangs) return;
    auto const found = hosts.find(name.host);
    if (found == hosts.end())
      return user.on_resolved(Error{"cannot resolve " + name.host + ": there is no such name"});
    std::vector<Address> addresses;
    for (const std::string& host : found->second) addresses.push_back({false, host, name.port});
    user.on_resolved(std::move(addresses));
  }
  void give_up() override { ++given_up; }
  bool hangs = false;
  int given_up = 0;
  std::map<std::string, std::vector<std::string>> hosts;
};

struct FakeFiles final : SecretFiles {
  void read(const std::string& path, const char* key, SecretUser& user) override {
    ++reads;
    if (hangs) return;
    auto const found = content.find(path);
    if (found == content.end())
      return user.on_secret(Error{std::string(key) + ": " + path + ": No such file or directory"});
    user.on_secret(found->second);
  }
  void give_up() override { ++given_up; }
  std::map<std::string, std::string> content;  // by path
  bool hangs = false;
  int reads = 0;
  int given_up = 0;
};

// What a primary, or a replica, on which each script succeeds replies.
inline std::string reply_of_redis(const Words& words, std::string_view role = "master") {
  if (words[0] == "ECHO") return bulk(words[1]);
  if (words[0] == "SCRIPT") return bulk(std::string(40, 'a'));
  if (words[0] == "EVALSHA") return "*0\r\n";
  if (words[0] == "AUTH" || words[0] == "SELECT") return "+OK\r\n";
  return bulk("# Server\r\nrun_id:1\r\nrole:" + std::string(role) +
              "\r\nmaxmemory_policy:noeviction\r\n");
}

// A link and its world. Never destroyed: the link's coroutine does not end.
struct LinkWorld {
  void start(RedisLink::Options options) {
    link = new RedisLink({network, names, files, scheduler, clock, *metrics}, std::move(options));
    scheduler.set_now(now_ns);
    huntd::start(link->run());
    settle();
  }
  // As many ticks as it takes until nothing happens, without time.
  void settle() {
    for (int i = 0; i < 50; ++i) tick();
  }
  void pass(uint64_t ns) {
    now_ns += ns;
    settle();
  }
  std::string reason() { return std::string(link->reason()); }

  uint64_t now_ns = 1000 * ns_per_s;
  Scheduler scheduler;
  FakeClock clock;
  FakeNames names;
  FakeFiles files;
  FakeNetwork network;
  std::unique_ptr<CoreMetrics> metrics = std::make_unique<CoreMetrics>();
  RedisLink* link = nullptr;

 private:
  void tick() {
    scheduler.set_now(now_ns);
    for (size_t i = 0; i < network.streams.size(); ++i) network.streams[i]->deliver();
    scheduler.expire(now_ns);
    scheduler.run_ready();
    link->flush(RedisLink::Leave::now);
  }
};

// Reachable until the end, so LeakSanitizer does not report it.
inline LinkWorld& make_link_world() {
  static auto& all = *new std::vector<LinkWorld*>;
  return *all.emplace_back(new LinkWorld);
}

}  // namespace huntd::server
