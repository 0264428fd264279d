// The other cores: connections are handed over whole, requests are forwarded in per-tick batches
// and their answers awaited.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/scheduler.h"
#include "base/task.h"
#include "http/response.h"
#include "hunt/request.h"
#include "io/outside.h"
#include "route/core_map.h"
#include "stats/core_stats.h"

namespace huntd {

// What a core does for its siblings.
class PeerServer {
 public:
  // Runs a forwarded request to its answer.
  virtual Task<Response> serve(HuntRequest request) = 0;
  // Takes over a connection and the bytes that were read from it; takes the descriptor.
  virtual void take_over(int descriptor, std::string_view bytes) = 0;

 protected:
  ~PeerServer() = default;
};

class Peers {
 public:
  // `links[i]` leads to core i (null at `self`). `epoch` counts the lives of this core.
  Peers(uint32_t self, uint32_t epoch, std::vector<MessageLink*> links, Scheduler& scheduler,
        CoreStats& stats, PeerServer& server);

  // Sends a request to another core and waits for its answer; nothing where the core went down or
  // the deadline came: then the request may have run or not.
  Task<std::optional<Response>> forward(uint32_t core, const HuntRequest& request,
                                        uint64_t deadline_at_ns);
  // Hands a connection over; false where the link is full (nothing is taken then).
  bool hand_over(uint32_t core, int descriptor, std::string_view bytes);

  // A core came up in a new life, or went down: whoever waits for it hears so.
  void set_up(uint32_t core, bool up, uint32_t epoch);

 private:
  class Link final : public MessageUser {
   public:
    Link(Peers& owner, uint32_t index, MessageLink& link) : peers(owner), core(index), out(link) {
      out.set_user(*this);
    }
    void on_message(std::string_view message, int descriptor) override {
      peers.on_message(*this, message, descriptor);
    }
    // The parent holds the other end too, so it never closes while this core lives; the parent
    // tells who is down.
    void on_messages_end() override {}
    Peers& peers;
    uint32_t core;
    MessageLink& out;
    uint32_t epoch = 0;  // of the core at the other end
  };
  struct Waiting {
    uint32_t core;
    Slot<std::optional<Response>>* slot;
  };
  void on_message(Link& from, std::string_view message, int descriptor);
  Task<> serve(Link& from, uint64_t id, HuntRequest request);

  uint32_t self_;
  uint32_t epoch_;
  Scheduler& scheduler_;
  CoreStats& stats_;
  PeerServer& server_;
  std::vector<std::unique_ptr<Link>> links_;
  Table<uint64_t, Waiting> waiting_;
  uint64_t
      next_id_;  // begins with the epoch: an answer to an earlier life of this core finds nobody
};

}  // namespace huntd
