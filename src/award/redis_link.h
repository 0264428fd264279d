// One core's connection to Redis: commands queue up during a tick and leave in one write; replies
// come back in order. hiredis parses the replies; the bytes travel on our Stream.
#pragma once
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "award/redis_reply.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "io/outside.h"
#include "stats/core_stats.h"

namespace huntd {

// A Lua script as Redis knows it.
struct RedisScript {
  std::string text;
  std::string sha1;  // 40 hex digits, from SCRIPT LOAD; empty before the first connect
};

class RedisLink final : private StreamUser, private ConnectUser {
 public:
  struct Options {
    Address address;       // resolved
    std::string password;  // empty: no AUTH
    uint32_t database = 0;
    uint64_t linger_ns = 0;  // commands leave at most this often
  };
  RedisLink(Network& network, Scheduler& scheduler, Clock& clock, CoreStats& stats,
            Options options);
  ~RedisLink();

  // Scripts are loaded at every connect, before any other command. Only before run().
  RedisScript* add_script(std::string text);
  // Connects, and connects again with back-off whenever the connection ends; for the life of the
  // core.
  Task<> run();

  bool up() const { return up_; }
  // Waits until the link is up; false where the deadline came first.
  Task<bool> until_up(uint64_t deadline_at_ns);

  // Queues one command and waits for its reply, at most until `deadline_at_ns`. A lost reply says
  // nothing of whether the command ran. Where the link is down or full it is lost at once.
  Task<RedisReply> command(List<std::string_view> words, uint64_t deadline_at_ns);
  // The same by EVALSHA; where Redis has forgotten the script (NOSCRIPT: it did not run) it is
  // loaded and asked again.
  Task<RedisReply> evaluate(const RedisScript& script, List<std::string_view> keys,
                            List<std::string_view> arguments, uint64_t deadline_at_ns);
  // A reply that can't be the answer to its command: the connection is made anew, and what is under
  // way on it is lost.
  void disbelieve(std::string_view command);
  // Queues a command whose reply interests nobody; false where the link is down.
  bool send_and_forget(List<std::string_view> words);

  // Hands the commands of this tick, and of those before it within linger_ns, to the ring.
  enum class Leave { when_due, now };
  void flush(Leave leave);
  size_t in_flight() const { return waiting_.size(); }

 private:
  void on_connected(Result<StreamPtr> stream) override;
  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;

  // Ends a wait of the core for something to do; flush() then sees that it is time.
  struct Linger final : Deadline {
    void on_deadline() override {}
  };
  bool append(std::span<const std::string_view> words, Slot<RedisReply>* slot);
  void write(std::span<const std::string_view> words);
  void append_mark();
  bool take(RedisReply reply);
  void deliver(size_t count);
  Task<bool> greet();
  void drop(const char* why);

  Network& network_;
  Scheduler& scheduler_;
  Clock& clock_;
  CoreStats& stats_;
  Options options_;
  std::deque<RedisScript> scripts_;

  Slot<Signal> event_{scheduler_};  // run() waits here for what happens to the connection
  StreamPtr stream_;
  bool connecting_ = false;
  bool connected_ = false;
  bool up_ = false;
  bool demoted_ = false;  // it has answered READONLY
  std::string last_error_;
  redisReader* reader_ = nullptr;
  std::string out_;
  uint64_t sent_at_ns_ = 0;  // the last of it
  Linger linger_;
  // Commands and marks sent or about to be, oldest first. Tickets count from first_ticket_.
  struct Waiting {
    Slot<RedisReply>* slot;  // null where nobody waits any more
    uint64_t queued_at_ns;
    uint64_t mark;     // 0: a command
    RedisReply reply;  // held until the next mark
  };
  Queue<Waiting> waiting_;
  size_t answered_ = 0;  // of waiting_, from the front
  uint64_t last_mark_ = 0;
  uint64_t first_ticket_ = 0;
  std::vector<Slot<Signal>*> up_waiters_;
};

}  // namespace huntd
