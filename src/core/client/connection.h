// SPDX-License-Identifier: Apache-2.0
// One client's connection: reads requests, runs them and writes their responses until it closes.
// Requests run one at a time. Responses that are complete before the next wait leave in one send;
// no request waits for the send of the response before it.
#pragma once
#include <optional>
#include <string>

#include "auth/authenticator.h"
#include "base/scheduler.h"
#include "base/task.h"
#include "core/client/access_log.h"
#include "core/client/address_limit.h"
#include "core/client/cors.h"
#include "core/client/trusted_proxies.h"
#include "core/hunt/request.h"
#include "core/kafka_rest/request.h"
#include "environment/clock.h"
#include "environment/network.h"
#include "http/parser.h"
#include "http/response.h"
#include "metrics/core_metrics.h"

namespace huntd::server {

// What a connection needs from its core. Outlives all connections.
class HttpService {
 public:
  struct Timeouts {
    uint32_t read_ms;        // from the first byte of a request to the end of its body
    uint32_t first_byte_ms;  // from the start of the connection to the first byte
    uint32_t idle_ms;        // between a response and the next request
    uint32_t send_ms;        // for a client that does not read its response
    uint32_t request_ms;     // from the end of a request to its response
  };
  HttpService(Scheduler& scheduler_ref, Clock& clock_ref, CoreMetrics& metrics_ref, Timeouts t)
      : scheduler(scheduler_ref), clock(clock_ref), metrics(metrics_ref), timeouts(t) {}

  // The response to a run without an Idempotency-Key that this core rejects because of a standing
  // queue, which it counts. Nothing: handle() it.
  virtual std::optional<Response> shed(std::string_view hunt_id, std::string_view hunter_id) = 0;
  // Runs a request on this core or on its hunter's core.
  virtual Task<Response> handle(HuntRequest request) = 0;
  // Runs a produce call on this core.
  virtual Task<Response> produce(ProduceRequest request) = 0;
  // The core that a connection for this hunter should move to, or -1 if it should stay.
  virtual int better_core(std::string_view hunter_id) = 0;
  // Waits until a connection from which `bytes` were read can move to another core. A true needs
  // one hand_over() or cancel_hand_over() with as many bytes. False: the deadline came first, or
  // the core went down.
  virtual Task<bool> reserve_hand_over(int core, size_t bytes, uint64_t deadline_at_ns) = 0;
  virtual void cancel_hand_over(int core, size_t bytes) = 0;
  // Moves a connection of `client` to another core, with the bytes that were read from it. Takes
  // ownership of the descriptor.
  virtual void hand_over(int core, int descriptor, const Peer& client, std::string_view bytes) = 0;
  // The response to a request that could not reach its core in time, which it counts. `keyed`: the
  // client sent an Idempotency-Key.
  virtual Response reject_unsent(HuntRequest::Kind kind, std::string_view hunt_id, bool keyed) = 0;
  virtual std::string_view core_map_json() = 0;
  virtual Authenticator& authenticator() = 0;
  virtual bool draining() const = 0;
  // The host serves on, and clients should go elsewhere: their connections close after a response.
  virtual bool leaving() const = 0;

  Scheduler& scheduler;
  Clock& clock;
  CoreMetrics& metrics;
  Timeouts timeouts;
  AccessLog access_log;
  AddressLimit address_limit{0};
  TrustedProxies proxies;
  CorsOrigins cors;
  bool counts_tokens = false;          // a HuntRequest needs its token
  bool proxy_protocol = false;         // connections of `proxies` begin with a PROXY header
  uint64_t proxy_fault_log_at_ns = 0;  // from then on, the next malformed one is logged
  DateText date;

 protected:
  ~HttpService() = default;
};

class Connection final : private StreamUser {
 public:
  // `peer`: whom it comes from, as far as that is known. `first_bytes` were read by the core that
  // handed the connection over. `accepted`: this core accepted the connection, so it may hand it
  // over, once.
  Connection(HttpService& service, StreamPtr stream, const Peer& peer, std::string first_bytes,
             bool accepted);

  // Whether it begins with a header of the PROXY protocol, which is not read yet.
  bool awaits_proxy_header() const { return awaits_proxy_header_; }
  // Reads that header: whom it names is the peer then. Returns false if there is no valid one in
  // time: the connection must be closed.
  Task<bool> read_proxy_header();
  // The address for which the connection counts; nothing if it counts for none, or if each of its
  // requests counts for the client that its proxy names.
  std::optional<ClientAddress> counted_address() const;
  // Serves requests until the connection closes. Call either this or reject(), once.
  Task<> serve();
  // Sends a response without reading a request, and closes the connection.
  Task<> reject(Response response);
  // The core drains: closes an idle connection now, any other after its current response.
  void drain();

 private:
  struct Incoming;
  enum class Input { bytes, end, deadline, drained, unsent };  // unsent: send_failed_
  enum class Moved { yes, no, no_room };

  void on_bytes(std::string_view bytes) override;
  void on_end(int error) override;
  void on_sent(int error) override;
  void on_released(int descriptor) override;

  // The steps of serve() between two waits.
  void reject_proxy_header(const char* fault);
  void start_head(Incoming& request);
  void give_back_buffers();
  bool parse_head(Incoming& request);
  bool head_continues(Incoming& request, Input input);
  // While too many tokens are verified in one tick, waits for another one.
  bool token_must_wait(const Incoming& request);
  Task<> until_token_may_be_checked(Incoming& request);
  void finish_head(Incoming& request);
  int core_to_move_to(Incoming& request);
  void stay(Incoming& request, int core, Moved moved);
  void find_client(Incoming& request);
  PoolString hash_of_token(std::string_view authorization) const;
  void start_body(Incoming& request);
  bool parse_body(Incoming& request);
  bool body_continues(Incoming& request, Input input);
  void shed_early(Incoming& request);
  HuntRequest take_hunt(Incoming& request);
  ProduceRequest take_produce(Incoming& request);
  void finish_request(Incoming& request, const Response& response);
  void fail(Incoming& request, BadRequest bad);
  void fail_head(Incoming& request, BadRequest bad);

  // Appends the response to out_. Completes `access` if the response gets a line in the access log;
  // null: it gets none.
  void write(const Response& response, Framing framing, std::string_view request_id,
             Access* access);
  // Starts to send out_; if a send is in flight, out_ follows when that one has completed. Returns
  // false if the client takes no more: send_failed_.
  bool send_out();
  // Waits until everything is sent, or send_failed_.
  Task<> all_sent();
  Task<Input> read_more(uint64_t deadline_at_ns);
  Task<Moved> hand_over_to(int core);
  Task<> linger();
  uint64_t deadline_in_ms(uint32_t timeout_ms) const;

  HttpService& service_;
  StreamPtr stream_;
  Peer peer_;
  bool trusted_;  // the peer is one of http.trusted_proxies
  bool awaits_proxy_header_;
  OneShot<Signal> event_;
  std::string in_;    // received, not yet consumed
  std::string out_;   // to be sent; what is in flight is the stream's
  std::string body_;  // of the current request
  bool reading_ = false;
  bool ended_ = false;        // the client has closed its side
  bool awaits_sent_ = false;  // in all_sent()
  bool send_failed_ = false;  // a send failed, or was not complete in time
  uint64_t sent_by_ns_ = 0;   // the deadline of the send in flight, or when the last one completed
  std::optional<int> released_;  // the detached descriptor, or a negative errno
  bool may_hand_over_;
  bool idle_ = true;  // waiting for the first byte of a request
  bool fresh_;        // nothing was received yet
};

}  // namespace huntd::server
