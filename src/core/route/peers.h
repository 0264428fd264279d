// SPDX-License-Identifier: Apache-2.0
// The other cores of the host: moves connections to them, and forwards requests to them. The
// messages of a tick leave together; what a link has no room for waits (outgoing.h).
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "base/pool.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "core/hunt/request.h"
#include "core/route/outgoing.h"
#include "environment/message_link.h"
#include "environment/network.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// Callbacks of Peers.
class PeerUser {
 public:
  // Runs a request that a peer forwarded.
  virtual Task<Response> run_forwarded(HuntRequest request) = 0;
  // Takes over a connection of `client`, with the bytes that were read from it. Takes ownership of
  // the descriptor; it is -1 if the kernel could not pass it.
  virtual void take_over(int descriptor, const Peer& client, std::string_view bytes) = 0;

 protected:
  ~PeerUser() = default;
};

// How a forwarded request ended.
struct Forwarded {
  enum class End : uint8_t {
    response,
    not_sent,  // the link had no room in time, or the core went down before that: it was not run
    unknown,   // the core went down, or the deadline came: it may have been run
  };
  End end = End::not_sent;
  Response response{};
};

class Peers {
 public:
  // `links` has a link to each core, and null at `self`. `incarnation` counts the starts of this
  // core. All references outlive this object.
  Peers(uint32_t self, uint32_t incarnation, std::vector<MessageLink*> links, Scheduler& scheduler,
        CoreMetrics& metrics, PeerUser& user);

  // Forwards a request to another core, as soon as the link has room, and waits for its response.
  // It is not sent after `send_by_ns`. `request` must live until the task ends.
  Task<Forwarded> forward(uint32_t core, const HuntRequest& request, uint64_t send_by_ns,
                          uint64_t deadline_at_ns);

  // Waits until a connection from which `bytes` were read can move to `core`, and reserves the room
  // for it. A true needs one hand_over() or cancel_hand_over() with as many bytes. Returns false if
  // the deadline came first, or the core went down.
  Task<bool> reserve_hand_over(uint32_t core, size_t bytes, uint64_t deadline_at_ns);
  void cancel_hand_over(uint32_t core, size_t bytes);
  // Takes ownership of the descriptor.
  void hand_over(uint32_t core, int descriptor, const Peer& client, std::string_view bytes);

  // A core came up as this incarnation, or went down. What waits for a core that is down gets no
  // response, and no room.
  void set_up(uint32_t core, bool up, uint32_t incarnation);

 private:
  class Link final : public MessageUser {
   public:
    Link(Peers& owner, uint32_t index, MessageLink& link)
        : peers(owner), core(index), out(link, owner.scheduler_) {
      link.set_user(*this);
    }
    void on_message(std::string_view message, int descriptor) override {
      peers.on_message(*this, message, descriptor);
    }
    void on_room() override { out.grant(); }
    // The parent holds the other end too, so it does not close while this core runs; the parent
    // reports which cores are down.
    void on_link_closed() override {}
    Peers& peers;
    uint32_t core;
    Outgoing out;
    bool up = false;           // the core at the other end
    uint32_t incarnation = 0;  // of the core at the other end
  };
  struct Waiting {
    uint32_t core;
    OneShot<Forwarded>* response;
  };
  void on_message(Link& from, std::string_view message, int descriptor);
  Task<> respond(Link& from, uint64_t id, HuntRequest request);

  uint32_t self_;
  uint32_t incarnation_;
  Scheduler& scheduler_;
  CoreMetrics& metrics_;
  PeerUser& user_;
  std::vector<std::unique_ptr<Link>> links_;
  PoolMap<uint64_t, Waiting> waiting_;  // by the id of the request
  // The upper half is the incarnation, so a response to an earlier incarnation matches no request.
  uint64_t next_id_;
};

}  // namespace huntd::server
