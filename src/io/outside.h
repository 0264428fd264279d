// The one seam between a core's logic and the world: clock, byte streams, messages to sibling
// processes, workers, and the event log. uring/ implements it on the kernel; a simulation
// implements it on virtual time. Everything here is called and calls back on the core's one thread.
// Call-backs happen in the tick's reap step and may only note what came and mark coroutines ready.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/config.h"
#include "base/pool.h"
#include "base/result.h"

namespace huntd {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual uint64_t now_ns() = 0;  // monotonic
  virtual int64_t wall_ms() = 0;  // since the epoch
  virtual uint64_t random() = 0;  // 64 bits nobody can foresee
};

// What a stream tells its user.
class StreamUser {
 public:
  virtual void on_bytes(std::string_view bytes) = 0;  // valid only during the call
  virtual void on_end(int error) = 0;   // 0: the peer ended it; else an errno; last call of reading
  virtual void on_sent(int error) = 0;  // the send in flight is done; 0 or an errno
  // What release() asked for: a descriptor, now the user's, or a negative errno.
  virtual void on_released(int) {}

 protected:
  ~StreamUser() = default;
};

// A connected byte stream. Owned through StreamPtr; letting go ends it: no call-back after that,
// and what the kernel still holds is waited for behind the scenes.
class Stream {
 public:
  virtual void set_user(StreamUser& user) = 0;
  // Reading goes on by itself until pause() or on_end. pause() may still deliver bytes that had
  // come; on_end with ECANCELED says that it took hold.
  virtual void read() = 0;
  virtual void pause() = 0;
  // Sends all of `bytes`, whose memory it takes by swapping (so capacity is reused); one send at a
  // time.
  virtual void send(std::string& bytes) = 0;
  virtual bool sending() const = 0;
  // Takes the connection out as a descriptor, for another process: on_released tells, perhaps from
  // within this call. Only while paused and not sending; where it failed the stream goes on.
  virtual void release() = 0;
  // Tells the peer that nothing more will be sent; reading goes on.
  virtual void finish_sending() = 0;
  virtual void let_go() = 0;

 protected:
  ~Stream() = default;
};
struct StreamLetGo {
  void operator()(Stream* stream) const { stream->let_go(); }
};
using StreamPtr = std::unique_ptr<Stream, StreamLetGo>;

// Somebody who wants a connection of ours made; called once.
class ConnectUser {
 public:
  virtual void on_connected(Result<StreamPtr> stream) = 0;

 protected:
  ~ConnectUser() = default;
};

// Whom a connection came from, as far as a bound tells clients apart: an IPv4 address, or an IPv6
// network of 64 bits, since that is the least that a customer is given (RFC 6177, RFC 4291).
struct ClientAddress {
  bool v6 = false;
  uint64_t bits = 0;
  bool operator==(const ClientAddress&) const = default;
};

// Where clients come in.
class AcceptUser {
 public:
  // `from` is known only where start_accepting() was told to ask, and of TCP.
  virtual void on_accepted(StreamPtr stream, std::optional<ClientAddress> from) = 0;
  // How many more it takes. Past it clients wait in the backlog.
  virtual size_t room() const = 0;

 protected:
  ~AcceptUser() = default;
};

class Network {
 public:
  virtual ~Network() = default;
  virtual void connect(const Address& address, ConnectUser& user) = 0;
  // `tell_addresses`: each client is asked for its address, which costs one more operation.
  virtual void start_accepting(AcceptUser& user, bool tell_addresses) = 0;
  virtual void stop_accepting() = 0;
  // A connection whose descriptor another core handed over; takes the descriptor.
  virtual StreamPtr adopt(int descriptor) = 0;
  // Whose connection a descriptor is; nothing where it is not known.
  virtual std::optional<ClientAddress> address_of(int descriptor) = 0;
  // Ends a connection whose descriptor release() gave and nobody took.
  virtual void drop(int descriptor) = 0;
};

// Whole messages to and from one sibling process (another core, the parent). What is sent in a tick
// leaves as one packet at its end, in order.
class MessageUser {
 public:
  // One message; `descriptor` is -1 or now the receiver's to close.
  virtual void on_message(std::string_view message, int descriptor) = 0;
  virtual void on_messages_end() = 0;  // the other side is gone

 protected:
  ~MessageUser() = default;
};
class MessageLink {
 public:
  virtual ~MessageLink() = default;
  virtual void set_user(MessageUser& user) = 0;
  // Queues one message of at most limits::peer_message_bytes_max; takes the descriptor (-1 for
  // none) and closes it once sent. False where the queue is full (limits::peer_queue_bytes_max);
  // nothing is taken then.
  virtual bool send(std::string_view message, int descriptor) = 0;
};

// How a worker comes to be.
enum class Birth : uint8_t {
  spawn,  // vfork and exec: a program of its own
  fork,   // forked from a zygote that holds the program
};

// Runs one hunt_worker per place. A place is the pool's index, in use from start() to
// on_worker_exit.
class WorkerUser {
 public:
  virtual void on_worker_started(uint32_t place, uint64_t started_at_ns) = 0;
  virtual void on_worker_frame(uint32_t place,
                               std::string_view frame) = 0;  // valid during the call
  // The worker is gone (or never came: `spawn_errno` then says why). `wait_status` as waitpid(2)
  // gives it.
  virtual void on_worker_exit(uint32_t place, int spawn_errno, int wait_status) = 0;

 protected:
  ~WorkerUser() = default;
};
class WorkerHost {
 public:
  virtual ~WorkerHost() = default;
  virtual void set_user(WorkerUser& user) = 0;
  // Starts a worker for `hunter_id` that finds `job` on its socket. All starts of a tick leave
  // together.
  virtual void start(uint32_t place, std::string_view hunter_id, std::string_view job) = 0;
  // Starts one that waits for a job, whoever's it will be.
  virtual void start_spare(uint32_t place) = 0;
  // A frame to a worker: an answer to one of its own, or a spare's job.
  virtual void send(uint32_t place, std::string_view frame) = 0;
  virtual void kill(uint32_t place) = 0;  // SIGKILL, by pidfd
  // Its last outcome is in, so how it ends is of no interest: on_worker_exit comes without a
  // status.
  virtual void dismiss(uint32_t place) = 0;
  // The same for one that waits for a job: there will be none.
  virtual void retire(uint32_t place) = 0;
  // Workers started from now on run this bundle and are born this way; takes the descriptor.
  virtual void use_bundle(int bundle_descriptor, Birth birth) = 0;
};

// The stream of loot events.
struct EventRecord {
  Text key;        // hunter_id
  Text value;      // JSON
  uint64_t token;  // given back with the acknowledgement
};
// What became of one record.
struct DeliveryReport {
  enum class Fate : uint8_t {
    stored,
    refused,        // it is not in the log, and would be refused again
    no_such_topic,  // the same, for this reason
    not_now,        // it is not in the log; later it may be taken
    unknown,        // it may be in the log or not
  };
  Fate fate = Fate::unknown;
  int32_t partition = -1;  // stored: where it is
  int64_t offset = -1;
  const char* why = "no report came in time";  // not stored: static text
};
class EventLogUser {
 public:
  virtual void on_report(uint64_t token, const DeliveryReport& report) = 0;

 protected:
  ~EventLogUser() = default;
};
class EventLog {
 public:
  virtual ~EventLog() = default;
  virtual void set_user(EventLogUser& user) = 0;
  // Hands over a tick's records in order, in one batch. One that is not taken (the queue is full)
  // is reported at once as not stored.
  virtual void produce(const List<EventRecord>& records) = 0;
};

struct Outside {
  Clock& clock;
  Network& network;
  WorkerHost& workers;
  EventLog* events;  // null where no Kafka is configured
};

}  // namespace huntd
