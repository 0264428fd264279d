// One client's connection: read → parse → answer → write, until it closes.
#pragma once
#include <optional>
#include <string>

#include "auth/doorkeeper.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "http/response.h"
#include "hunt/request.h"
#include "io/outside.h"
#include "rest/request.h"
#include "stats/core_stats.h"

namespace huntd {

// What a connection needs of its core.
class HttpService {
 public:
  struct Deadlines {
    uint32_t header_ms;      // from a request's first byte to the end of its body
    uint32_t first_byte_ms;  // of the first request, from the connection's start
    uint32_t idle_ms;        // between requests
    uint32_t send_ms;        // for a peer that does not read
  };
  HttpService(Scheduler& scheduler_ref, Clock& clock_ref, CoreStats& stats_ref, Deadlines d)
      : scheduler(scheduler_ref), clock(clock_ref), stats(stats_ref), deadlines(d) {}

  // The answer to a hunt's request, wherever it runs.
  virtual Task<Response> answer(HuntRequest request) = 0;
  // The answer to a produce call, on this core.
  virtual Task<Response> produce(ProduceRequest request) = 0;
  // The core that this hunter's connection should be handed to, or -1 where it is well here.
  virtual int better_core(std::string_view hunter_id) = 0;
  // Hands a connection over with the bytes read from it; takes the descriptor.
  virtual void hand_over(int core, int descriptor, std::string_view bytes) = 0;
  virtual std::string_view core_map_json() = 0;
  virtual const Doorkeeper& doorkeeper() const = 0;
  virtual bool draining() const = 0;

  Scheduler& scheduler;
  Clock& clock;
  CoreStats& stats;
  Deadlines deadlines;
  DateText date;

 protected:
  ~HttpService() = default;
};

// One open connection, as its core sees it: something that can be told to finish.
class Connection final : private StreamUser {
 public:
  // `first_bytes` were read by the core that handed it over; `accepted` where this core took it
  // from the listening socket (it may then be handed over, once).
  Connection(HttpService& service, StreamPtr stream, std::string first_bytes, bool accepted);

  // Serves the connection to its end.
  Task<> serve();
  // Answers without having read a request, and ends the connection.
  Task<> refuse(Response response);
  // The server is going away: an idle connection ends now, one with a request after its answer.
  void drain();

 private:
  enum class Came { bytes, end, deadline, drained };
  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;
  void on_released(int descriptor) override;

  Task<Came> read_more(uint64_t deadline_at_ns);
  Task<bool> write(const Response& response, Framing framing);
  Task<bool> flush_out();
  Task<bool> hand_over_to(int core);
  Task<> linger();

  HttpService& service_;
  StreamPtr stream_;
  Slot<Signal> event_;
  std::string in_;   // received, not yet consumed
  std::string out_;  // an answer on its way
  std::string body_;
  bool reading_ = false;
  bool ended_ = false;  // the peer sends nothing more
  bool sent_ = false;
  int send_error_ = 0;
  std::optional<int> released_;  // the descriptor to hand over, or a negative errno
  bool may_hand_over_;
  bool idle_ = true;  // between requests
  bool fresh_;        // nothing of it was read yet
};

}  // namespace huntd
