// SPDX-License-Identifier: Apache-2.0
#include "core/client/connection.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/format_text.h"
#include "base/hash.h"
#include "base/kept_buffer.h"
#include "base/limits.h"
#include "base/log.h"
#include "core/client/rejection.h"
#include "core/client/router.h"
#include "http/problem.h"
#include "http/proxy_header.h"

namespace huntd::server {
namespace {

constexpr uint32_t linger_ms = 1000;
// Between two log lines of a core about malformed headers of the PROXY protocol.
constexpr uint64_t proxy_fault_log_every_ns = 60 * ns_per_s;

Counter status_class(int status) {
  if (status < 300) return Counter::http_2xx;
  return status < 500 ? Counter::http_4xx : Counter::http_5xx;
}

// 32 hex digits, which name one request in its response, in its log lines and as the key of a
// repeat. Never the client's choice: event_ids are made of it.
using RequestId = std::array<char, 32>;

RequestId make_request_id(Clock& clock) {
  RequestId id;
  fmt::format_to(id.data(), "{:016x}{:016x}", clock.random(), clock.random());
  return id;
}

std::string_view text_of(const RequestId& id) { return {id.data(), id.size()}; }

// Empty if it is not known, or has no address.
std::string text_of(const Peer& peer) {
  return peer.kind == Peer::Kind::ip ? ip_text(peer.address) : std::string();
}

HuntRequest::Kind kind_of(const Route& route) {
  return route.to == Route::To::run_hunt ? HuntRequest::Kind::run : HuntRequest::Kind::read_held;
}

// Whether the response may take a wait.
bool may_wait(Route::To to) { return to != Route::To::rejected && to != Route::To::core_map; }

}  // namespace

// The request that is being read, and then run. `head` and `route` view in_ until start_body()
// removes the head from it.
struct Connection::Incoming {
  std::optional<RequestId> id;     // set once its first byte is here
  std::unique_ptr<Access> access;  // null without an access log: most connections are idle
  HeadParser parser;
  RequestHead head;
  Route route;
  Framing framing;
  std::optional<Response> rejection;  // set if the request must not run
  bool failed = false;                // it violates HTTP or is late: nothing more of it is read
  std::optional<BodyReader> body;     // set while the body is being read
  bool wants_continue = false;
  HuntRequest hunt;        // run_hunt, read_held
  ProduceRequest produce;  // produce
  uint64_t deadline_at_ns = 0;
  uint64_t hunt_received_at_ns = 0;   // 0 if it does not run a hunt
  std::optional<AddressPlace> place;  // set if the request counts for its client's address
};

Connection::Connection(HttpService& service, StreamPtr stream, const Peer& peer,
                       std::string first_bytes, bool accepted)
    : service_(service),
      stream_(std::move(stream)),
      peer_(peer),
      trusted_(service.proxies.trusts(peer)),
      awaits_proxy_header_(trusted_ && accepted && service.proxy_protocol),
      event_(service.scheduler),
      in_(std::move(first_bytes)),
      may_hand_over_(accepted),
      fresh_(in_.empty()) {
  stream_->set_user(*this);
}

Task<bool> Connection::read_proxy_header() {
  uint64_t deadline_at_ns = deadline_in_ms(service_.timeouts.first_byte_ms);
  for (ProxyHeader header;;) {
    ParseStatus const status = parse_proxy_header(in_, header);
    if (status == ParseStatus::bad) {
      reject_proxy_header(header.fault);
      co_return false;
    }
    if (status == ParseStatus::done) {
      in_.erase(0, header.bytes);
      awaits_proxy_header_ = false;
      // Whom the proxy does not know may have written an X-Forwarded-For.
      if (header.client)
        peer_ = {Peer::Kind::ip, *header.client};
      else if (!header.local)
        peer_ = Peer();
      trusted_ = service_.proxies.trusts(peer_);
      co_return true;
    }
    bool const first = in_.empty();
    Input const input = co_await read_more(deadline_at_ns);
    if (input == Input::end || input == Input::unsent) co_return false;
    if (input == Input::deadline) {
      service_.metrics.add(first ? Counter::expired_first_byte : Counter::expired_request);
      co_return false;
    }
    if (input == Input::drained)  // it may be on its way
      deadline_at_ns = std::min(deadline_at_ns, deadline_in_ms(limits::drain_first_byte_ms));
    else if (first && !in_.empty())
      deadline_at_ns = deadline_in_ms(service_.timeouts.read_ms);
  }
}

void Connection::reject_proxy_header(const char* fault) {
  service_.metrics.add(Counter::proxy_headers_rejected);
  uint64_t const now_ns = service_.scheduler.now_ns();
  if (now_ns < service_.proxy_fault_log_at_ns) return;
  service_.proxy_fault_log_at_ns = now_ns + proxy_fault_log_every_ns;
  log::warning("connection of a trusted proxy closed: no valid header of the PROXY protocol",
               {log::if_set("client", text_of(peer_)),
                {"reason", fault},
                {"hint", "let the proxy send one, or set http.proxy_protocol = false"}});
}

std::optional<ClientAddress> Connection::counted_address() const {
  if (trusted_ || peer_.kind != Peer::Kind::ip) return std::nullopt;
  return client_address(peer_.address);
}

Task<> Connection::serve() {
  if (!reading_ && !ended_) {
    reading_ = true;
    stream_->read();
  }
  for (bool keep_alive = true; keep_alive;) {
    // A drain was requested while the last response was being sent.
    if (service_.draining() && in_.empty() && !fresh_) co_return co_await all_sent();

    Incoming request;
    start_head(request);
    while (!parse_head(request)) {
      Input const input = co_await read_more(request.deadline_at_ns);
      if (!head_continues(request, input)) co_return co_await all_sent();
    }
    if (token_must_wait(request)) co_await until_token_may_be_checked(request);
    finish_head(request);

    if (int const core = core_to_move_to(request); core >= 0) {
      uint64_t const asked_at_ns = service_.scheduler.now_ns();
      Moved const moved = co_await hand_over_to(core);
      if (moved == Moved::yes) co_return;
      request.deadline_at_ns += service_.scheduler.now_ns() - asked_at_ns;  // not the client's time
      stay(request, core, moved);
    }

    start_body(request);
    if (request.wants_continue) out_.append(continue_response);  // read_more() sends it
    while (!parse_body(request)) {
      Input const input = co_await read_more(request.deadline_at_ns);
      if (!body_continues(request, input)) co_return co_await all_sent();
    }

    shed_early(request);
    Response response;
    Route::To const to = request.rejection ? Route::To::rejected : request.route.to;
    // The responses before it do not wait for it.
    if (may_wait(to) && !send_out()) co_return;
    switch (to) {
      case Route::To::rejected:
        response = std::move(*request.rejection);
        break;
      case Route::To::core_map:
        response.body = service_.core_map_json();
        break;
      case Route::To::produce:
        response = co_await service_.produce(take_produce(request));
        break;
      case Route::To::run_hunt:
      case Route::To::read_held:
        response = co_await service_.handle(take_hunt(request));
        break;
    }
    finish_request(request, response);
    write(response, request.framing, text_of(*request.id), request.access.get());
    if (out_.size() >= limits::connection_output_bytes_max) co_await all_sent();
    if (send_failed_) co_return;
    keep_alive = request.framing.keep_alive;
  }
  co_await all_sent();
  if (!send_failed_) co_await linger();
}

void Connection::start_head(Incoming& request) {
  idle_ = in_.empty();
  if (idle_) give_back_buffers();
  request.deadline_at_ns = deadline_in_ms(!idle_   ? service_.timeouts.read_ms
                                          : fresh_ ? service_.timeouts.first_byte_ms
                                                   : service_.timeouts.idle_ms);
  if (fresh_ && service_.draining())  // accepted as the drain started
    request.deadline_at_ns =
        std::min(request.deadline_at_ns, deadline_in_ms(limits::drain_first_byte_ms));
}

// The connection may be idle for long.
void Connection::give_back_buffers() {
  body_.clear();
  for (std::string* buffer : {&in_, &body_, &out_}) give_back(*buffer);
}

// Returns whether the head is complete, or has failed.
bool Connection::parse_head(Incoming& request) {
  if (request.failed) return true;
  if (in_.empty()) return false;
  // Before anything is known of the request: the response to a malformed one has an id too.
  if (!request.id) {
    request.id = make_request_id(service_.clock);
    if (service_.access_log.on()) {
      request.access = std::make_unique<Access>();
      request.access->received_at_ns = service_.clock.now_ns();
    }
  }
  ParseStatus const status = request.parser.parse(in_, request.head);
  if (status == ParseStatus::bad) fail_head(request, request.parser.bad());
  return status != ParseStatus::need_more;
}

// Returns false if the connection must be closed without a response.
bool Connection::head_continues(Incoming& request, Input input) {
  if (input == Input::end || input == Input::unsent) return false;
  if (input == Input::drained && in_.empty()) {
    // The first request of a new connection may be on its way: a close would reset it.
    if (!fresh_) return false;
    request.deadline_at_ns =
        std::min(request.deadline_at_ns, deadline_in_ms(limits::drain_first_byte_ms));
  }
  if (input == Input::deadline) {
    // The idle time starts when the last response is sent.
    uint64_t const idle_until_ns = sent_by_ns_ + service_.timeouts.idle_ms * ns_per_ms;
    if (idle_ && !fresh_ && idle_until_ns > service_.scheduler.now_ns()) {
      request.deadline_at_ns = stream_->sending() ? sent_by_ns_ : idle_until_ns;
      return true;
    }
    service_.metrics.add(!idle_   ? Counter::expired_request
                         : fresh_ ? Counter::expired_first_byte
                                  : Counter::expired_idle);
    if (in_.empty()) return false;
    fail_head(request, {Problem::request_timeout, "the request head did not arrive in time"});
  } else if (idle_ && !in_.empty()) {
    idle_ = false;
    request.deadline_at_ns = deadline_in_ms(service_.timeouts.read_ms);
  }
  return true;
}

bool Connection::token_must_wait(const Incoming& request) {
  return !request.failed &&
         service_.authenticator().must_wait(request.head.authorization, service_.clock.wall_ms(),
                                            service_.scheduler.now_ns());
}

Task<> Connection::until_token_may_be_checked(Incoming& request) {
  while (token_must_wait(request)) {
    OneShot<Signal> next_tick(service_.scheduler);
    co_await next_tick.wait(service_.scheduler.now_ns() + 1);
    // Bytes may have arrived meanwhile, so the views may be invalid.
    request.parser = HeadParser();
    CHECK(request.parser.parse(in_, request.head) == ParseStatus::done);
  }
}

void Connection::finish_head(Incoming& request) {
  idle_ = false;
  fresh_ = false;
  if (request.failed) return;
  const RequestHead& head = request.head;
  request.route = find_route(head.method, head.path);
  request.framing = {.head_only = head.method == Method::head,
                     .keep_alive = head.keep_alive && !service_.draining(),
                     .http_1_0 = head.minor_version == 0,
                     .idle_s = idle_promise_s(service_.timeouts.idle_ms)};
  request.framing.cors_origin = service_.cors.origin_of(head);
  if (!request.framing.cors_origin.empty()) request.rejection = preflight(head, request.route);
  if (!request.rejection)
    request.rejection =
        check_authorization(service_.authenticator(), request.route, head.authorization,
                            service_.clock.wall_ms(), service_.metrics);
}

// The core that the connection should move to, or -1 for none. A connection can move once: to the
// core of its first request's hunter, before it has sent any response.
int Connection::core_to_move_to(Incoming& request) {
  bool const first = std::exchange(may_hand_over_, false);
  if (!first || request.rejection || request.route.hunter_id.empty() ||
      in_.size() > limits::handover_bytes_max)
    return -1;
  return service_.better_core(request.route.hunter_id);
}

// After hand_over_to() has failed: bytes may have arrived meanwhile, so the views may be invalid.
void Connection::stay(Incoming& request, int core, Moved moved) {
  request.parser = HeadParser();
  CHECK(request.parser.parse(in_, request.head) == ParseStatus::done);
  request.route = find_route(request.head.method, request.head.path);
  // If the core went down meanwhile, another one serves its hunters.
  if (moved != Moved::no_room || service_.better_core(request.route.hunter_id) != core) return;
  request.rejection = service_.reject_unsent(kind_of(request.route), request.route.hunt_id,
                                             !request.head.idempotency_key.empty());
}

// Finds out who sent the request. If a trusted proxy has passed it on, it counts for that client
// while it runs (decision 52); otherwise the whole connection counts.
void Connection::find_client(Incoming& request) {
  bool const counts = trusted_ && service_.address_limit.bounded();
  if (!counts && !request.access) return;
  Peer const client = trusted_ ? service_.proxies.client_of(request.head, peer_) : peer_;
  if (request.access) request.access->client = text_of(client);
  if (!counts || client.kind != Peer::Kind::ip || request.rejection) return;
  ClientAddress const address = client_address(client.address);
  if (service_.address_limit.enter(address)) {
    request.place.emplace(service_.address_limit, address);
    return;
  }
  service_.metrics.add(Counter::requests_over_address_limit);
  request.rejection = rejection(request.route.kafka_rest, Problem::too_many_connections,
                                "nothing was awarded: wait for the responses to other requests");
}

// So that no token is passed to other cores.
PoolString Connection::hash_of_token(std::string_view authorization) const {
  std::string_view const token = service_.authenticator().token_of(authorization);
  return token.empty() ? PoolString() : hash128_hex(token);
}

// Copies what the request needs from the head, and removes the head from in_.
void Connection::start_body(Incoming& request) {
  body_.clear();
  find_client(request);
  if (request.access) request.access->take(request.head, request.route);
  if (request.failed) return;
  const RequestHead& head = request.head;
  const Route& route = request.route;
  bool const has_body = head.chunked || head.content_length > 0;
  if (!request.rejection) request.rejection = check_head(route, head, has_body);
  if (route.to == Route::To::produce) {
    request.produce.topic = route.topic;
  } else {
    request.hunt.kind = kind_of(route);
    request.hunt.hunt_id = route.hunt_id;
    request.hunt.hunter_id = route.hunter_id;
    request.hunt.idempotency_key = head.idempotency_key;
    request.hunt.trace_context = head.trace_context;
    if (service_.counts_tokens) request.hunt.token = hash_of_token(head.authorization);
  }
  in_.erase(0, request.parser.consumed());
  // The client sends the body only after 100 Continue. If the request is rejected instead, no body
  // comes, and the connection cannot be used for another request.
  bool const body_withheld = head.expect_continue && has_body && in_.empty();
  request.wants_continue = body_withheld && !request.rejection;
  if (body_withheld && request.rejection)
    request.framing.keep_alive = false;
  else
    request.body.emplace(head);
}

// Returns whether the body is complete, or has failed, or is not read.
bool Connection::parse_body(Incoming& request) {
  if (!request.body) return true;
  ParseStatus const status = request.body->read(in_, body_);
  in_.erase(0, request.body->consumed());
  if (status == ParseStatus::bad) fail(request, request.body->bad());
  return status != ParseStatus::need_more;
}

// Returns false if the connection must be closed without a response.
bool Connection::body_continues(Incoming& request, Input input) {
  if (input == Input::end || input == Input::unsent) return false;
  if (input == Input::deadline) {
    service_.metrics.add(Counter::expired_request);
    fail(request, {Problem::request_timeout, "the request body did not arrive in time"});
  }
  return true;
}

// Under overload, most hunts are rejected: before anything is made for them.
void Connection::shed_early(Incoming& request) {
  const HuntRequest& hunt = request.hunt;
  if (request.rejection || request.route.to != Route::To::run_hunt || !hunt.idempotency_key.empty())
    return;
  request.rejection = service_.shed(hunt.hunt_id, hunt.hunter_id);
  if (request.rejection) request.hunt_received_at_ns = service_.clock.now_ns();
}

HuntRequest Connection::take_hunt(Incoming& request) {
  request.hunt_received_at_ns = service_.clock.now_ns();
  request.hunt.received_at_ns = request.hunt_received_at_ns;
  request.hunt.body.assign(body_);
  request.hunt.request_id.assign(text_of(*request.id));
  return std::move(request.hunt);
}

ProduceRequest Connection::take_produce(Incoming& request) {
  request.produce.received_at_ns = service_.clock.now_ns();
  request.produce.body.assign(body_);
  return std::move(request.produce);
}

void Connection::finish_request(Incoming& request, const Response& response) {
  if (request.hunt_received_at_ns != 0)
    service_.metrics.record(Stage::request, service_.clock.now_ns() - request.hunt_received_at_ns);
  // While the host only leaves, requests that have come are served, and then the connection closes.
  if (service_.draining() || (service_.leaving() && in_.empty()))
    request.framing.keep_alive = false;
  service_.metrics.add(status_class(response.status));
}

// Rejects a request that violates HTTP or is late. The connection closes after the response: it is
// unknown where the next request starts.
void Connection::fail(Incoming& request, BadRequest bad) {
  service_.metrics.add(Counter::http_bad_requests);
  request.failed = true;
  request.body.reset();
  request.framing.keep_alive = false;
  request.rejection = rejection(request.route.kafka_rest, bad.problem, bad.detail);
}

// The same for the head. Its facts are known only as far as it was read.
void Connection::fail_head(Incoming& request, BadRequest bad) {
  std::string_view line = in_;
  if (line.starts_with("\r\n")) line.remove_prefix(2);
  request.framing.head_only = line.starts_with("HEAD ");
  request.route = find_route(request.head.method, request.head.path);
  request.framing.cors_origin = service_.cors.origin_of(request.head);
  fail(request, bad);
}

Task<> Connection::reject(Response response) {
  service_.metrics.add(status_class(response.status));
  RequestId const id = make_request_id(service_.clock);
  Access access;
  if (service_.access_log.on()) access.client = text_of(peer_);
  write(response, {.keep_alive = false}, text_of(id), &access);
  co_await all_sent();
  if (!send_failed_) co_await linger();
}

// Sends out_ before it waits.
Task<Connection::Input> Connection::read_more(uint64_t deadline_at_ns) {
  if (!send_out()) co_return Input::unsent;
  if (ended_) co_return Input::end;
  // A client that sends bytes all the time must not extend its deadline.
  if (service_.scheduler.now_ns() >= deadline_at_ns) co_return Input::deadline;
  if (!reading_) {
    reading_ = true;
    stream_->read();
  }
  size_t const before = in_.size();
  std::optional<Signal> came;
  do {
    uint64_t const send_by_ns = stream_->sending() ? sent_by_ns_ : never_ns;
    came = co_await event_.wait(std::min(deadline_at_ns, send_by_ns));
    if (in_.size() > before) co_return Input::bytes;
    if (ended_) co_return Input::end;
    if (!send_out()) co_return Input::unsent;
  } while (!came && service_.scheduler.now_ns() < deadline_at_ns);
  if (!came) co_return Input::deadline;
  co_return service_.draining() && idle_ ? Input::drained : Input::bytes;
}

void Connection::write(const Response& response, Framing framing, std::string_view request_id,
                       Access* access) {
  size_t const before = out_.size();
  append_response(out_, response, framing, service_.date.at(service_.clock.wall_ms()), request_id);
  if (access != nullptr && service_.access_log.wants(response.status, service_.clock)) {
    access->status = response.status;
    access->bytes = out_.size() - before;
    if (access->received_at_ns != 0)
      access->duration_ns = service_.clock.now_ns() - access->received_at_ns;
    log_access(*access, request_id, response.report);
  }
}

bool Connection::send_out() {
  if (!send_failed_ && stream_->sending() && service_.scheduler.now_ns() >= sent_by_ns_) {
    service_.metrics.add(Counter::expired_response);
    send_failed_ = true;  // closing the stream cancels the send
  }
  if (send_failed_) return false;
  if (out_.empty() || stream_->sending()) return true;
  service_.metrics.add(Counter::response_bytes, out_.size());
  service_.metrics.add(Counter::response_sends);
  sent_by_ns_ = deadline_in_ms(service_.timeouts.send_ms);
  stream_->send(out_);
  return !send_failed_;
}

Task<> Connection::all_sent() {
  awaits_sent_ = true;
  while (send_out() && stream_->sending()) co_await event_.wait(sent_by_ns_);
  awaits_sent_ = false;
}

// Unless the other core now has the connection, it stays usable.
Task<Connection::Moved> Connection::hand_over_to(int core) {
  // Stop reading first, so that no byte is lost. While the link to the other core has no room, TCP
  // holds the client back.
  if (reading_) stream_->pause();
  uint64_t const deadline_at_ns = deadline_in_ms(service_.timeouts.read_ms);
  while (reading_) {
    std::optional<Signal> const came = co_await event_.wait(deadline_at_ns);
    if (!came) break;
  }
  if (reading_ || ended_ || in_.size() > limits::handover_bytes_max) co_return Moved::no;
  bool const has_room = co_await service_.reserve_hand_over(
      core, in_.size(), deadline_in_ms(service_.timeouts.request_ms));
  if (!has_room) co_return Moved::no_room;
  stream_->release();
  while (!released_) co_await event_.wait(never_ns);
  if (*released_ < 0) {
    service_.cancel_hand_over(core, in_.size());
    co_return Moved::no;
  }
  service_.metrics.add(Counter::connections_handed_over);
  service_.hand_over(core, *released_, peer_, in_);
  co_return Moved::yes;
}

// Reads and ignores input for a while, so that a reset does not destroy the last response before
// the client has read it (RFC 9112 section 9.6).
Task<> Connection::linger() {
  stream_->finish_sending();
  uint64_t const deadline_at_ns = deadline_in_ms(linger_ms);
  while (!ended_) {
    in_.clear();
    Input const input = co_await read_more(deadline_at_ns);
    if (input == Input::deadline || service_.draining()) co_return;
  }
}

uint64_t Connection::deadline_in_ms(uint32_t timeout_ms) const {
  return service_.scheduler.now_ns() + timeout_ms * ns_per_ms;
}

void Connection::drain() {
  if (idle_) event_.set({});
}

void Connection::on_bytes(std::string_view bytes) {
  service_.metrics.add(Counter::request_bytes, bytes.size());
  in_.append(bytes);
  // Apply back pressure to a client that sends requests without reading the responses.
  if (in_.size() > limits::connection_input_bytes_max) stream_->pause();
  event_.set({});
}

void Connection::on_end(int error) {
  reading_ = false;
  if (error != ECANCELED) ended_ = true;
  event_.set({});
}

void Connection::on_sent(int error) {
  sent_by_ns_ = service_.scheduler.now_ns();
  if (error != 0) send_failed_ = true;
  send_out();
  // A connection that waits for anything else need not wake up.
  if (awaits_sent_ || send_failed_) event_.set({});
}

void Connection::on_released(int descriptor) {
  released_ = descriptor;
  event_.set({});
}

}  // namespace huntd::server
