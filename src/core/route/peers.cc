// SPDX-License-Identifier: Apache-2.0
#include "core/route/peers.h"

#include <array>
#include <optional>

#include "base/limits.h"
#include "base/log.h"
#include "base/trace_context.h"
#include "http/problem.h"
#include "wire/message_codec.h"

namespace huntd::server {
namespace {

constexpr std::string_view too_large_to_forward = "the response is too large to forward";

enum class PeerMessage : uint8_t { request = 1, response = 2, connection = 3 };

void write_request(PoolString& message, uint32_t incarnation, uint64_t id,
                   const HuntRequest& request) {
  WireWriter writer(message);
  writer.number(PeerMessage::request);
  writer.number(incarnation);
  writer.number(id);
  writer.number(request.kind);
  writer.number(request.received_at_ns);
  writer.text(request.hunt_id);
  writer.text(request.hunter_id);
  writer.text(request.request_id);
  writer.text(request.trace_context);
  writer.text(request.idempotency_key);
  writer.text(request.body);
  writer.text(request.token);
}

// The size of what write_request() writes.
size_t request_bytes(const HuntRequest& request) {
  constexpr size_t numbers = sizeof(PeerMessage) + sizeof(uint32_t) + sizeof(uint64_t) +
                             sizeof(request.kind) + sizeof(request.received_at_ns);
  constexpr size_t lengths = 7 * sizeof(uint32_t);
  return numbers + lengths + request.hunt_id.size() + request.hunter_id.size() +
         request.request_id.size() + request.trace_context.size() + request.idempotency_key.size() +
         request.body.size() + request.token.size();
}

// The size of the message with a connection from which `bytes` were read.
size_t hand_over_bytes(size_t bytes) {
  return sizeof(PeerMessage) + sizeof(Peer) + sizeof(uint32_t) + bytes;
}

// Reads what follows the id.
HuntRequest read_request(WireReader& reader) {
  HuntRequest request;
  request.kind = reader.number<HuntRequest::Kind>();
  request.received_at_ns = reader.number<uint64_t>();
  request.hunt_id = reader.text();
  request.hunter_id = reader.text();
  request.request_id = reader.text();
  request.trace_context = reader.text();
  request.idempotency_key = reader.text();
  request.body = reader.text();
  request.token = reader.text();
  return request;
}

// A hunt's response has neither Allow nor WWW-Authenticate.
void write_response(PoolString& message, uint64_t id, const Response& response) {
  WireWriter writer(message);
  writer.number(PeerMessage::response);
  writer.number(id);
  writer.number(response.status);
  writer.text(response.content_type);
  writer.text(response.bundle);
  writer.number(response.retry_after_s);
  writer.number(response.report.outcome);
  writer.number(response.report.stage_ns);
  writer.text(response.body);
}

// Reads what follows the id.
Response read_response(WireReader& reader) {
  Response response;
  response.status = reader.number<int>();
  response.content_type = reader.text() == problem_type ? problem_type : json_type;
  response.bundle = reader.text();
  response.retry_after_s = reader.number<uint32_t>();
  response.report.outcome = reader.number<uint8_t>();
  response.report.stage_ns = reader.number<std::array<uint64_t, 4>>();
  response.body = reader.text();
  return response;
}

}  // namespace

Peers::Peers(uint32_t self, uint32_t incarnation, std::vector<MessageLink*> links,
             Scheduler& scheduler, CoreMetrics& metrics, PeerUser& user)
    : self_(self),
      incarnation_(incarnation),
      scheduler_(scheduler),
      metrics_(metrics),
      user_(user),
      next_id_((static_cast<uint64_t>(incarnation) << 32) + 1) {
  for (uint32_t core = 0; core < links.size(); ++core)
    links_.push_back(core == self ? nullptr : std::make_unique<Link>(*this, core, *links[core]));
}

Task<Forwarded> Peers::forward(uint32_t core, const HuntRequest& request, uint64_t send_by_ns,
                               uint64_t deadline_at_ns) {
  Link& link = *links_[core];
  size_t const bytes = request_bytes(request);
  bool const has_room = co_await link.out.reserve(Outgoing::Kind::request, bytes, send_by_ns);
  if (!has_room) co_return Forwarded{};
  if (!link.up) {  // it went down in this tick
    link.out.cancel(Outgoing::Kind::request, bytes);
    co_return Forwarded{};
  }
  uint64_t const id = next_id_++;
  {
    PoolString message;
    message.reserve(bytes);
    write_request(message, link.incarnation, id, request);
    link.out.send(message);
  }
  metrics_.add(Counter::requests_forwarded);
  OneShot<Forwarded> response(scheduler_);
  waiting_[id] = {core, &response};
  std::optional<Forwarded> came = co_await response.wait(deadline_at_ns);
  waiting_.erase(id);
  link.out.end_request();
  co_return came ? std::move(*came) : Forwarded{Forwarded::End::unknown};
}

Task<bool> Peers::reserve_hand_over(uint32_t core, size_t bytes, uint64_t deadline_at_ns) {
  return links_[core]->out.reserve(Outgoing::Kind::connection, hand_over_bytes(bytes),
                                   deadline_at_ns);
}

void Peers::cancel_hand_over(uint32_t core, size_t bytes) {
  links_[core]->out.cancel(Outgoing::Kind::connection, hand_over_bytes(bytes));
}

void Peers::hand_over(uint32_t core, int descriptor, const Peer& client, std::string_view bytes) {
  PoolString message;
  message.reserve(hand_over_bytes(bytes.size()));
  WireWriter writer(message);
  writer.number(PeerMessage::connection);
  writer.number(client);
  writer.text(bytes);
  links_[core]->out.send(message, descriptor);
}

void Peers::set_up(uint32_t core, bool up, uint32_t incarnation) {
  if (core == self_) return;
  Link& link = *links_[core];
  link.up = up;
  link.incarnation = incarnation;
  if (up) return;
  link.out.reject_waiting();
  for (auto& [id, waiting] : waiting_)
    if (waiting.core == core) waiting.response->set({Forwarded::End::unknown});
}

void Peers::on_message(Link& from, std::string_view message, int descriptor) {
  WireReader reader(message);
  switch (reader.number<PeerMessage>()) {
    case PeerMessage::connection: {
      Peer const client = reader.number<Peer>();
      user_.take_over(descriptor, client, reader.text());
      break;
    }
    case PeerMessage::request: {
      // A request to an earlier incarnation of this core: its sender has been notified
      // that it went down, and no longer waits.
      if (reader.number<uint32_t>() != incarnation_) return;
      uint64_t const id = reader.number<uint64_t>();
      start(respond(from, id, read_request(reader)));
      break;
    }
    case PeerMessage::response:
      if (auto found = waiting_.find(reader.number<uint64_t>()); found != waiting_.end())
        found->second.response->set({Forwarded::End::response, read_response(reader)});
      break;
  }
}

// Runs a peer's request and sends the response back.
Task<> Peers::respond(Link& from, uint64_t id, HuntRequest request) {
  bool const runs = request.kind == HuntRequest::Kind::run;
  bool const keyed = !request.idempotency_key.empty();
  PoolString const request_id = request.request_id;
  PoolString const trace_context = request.trace_context;
  PoolString message;
  {
    Response const response = co_await user_.run_forwarded(std::move(request));
    write_response(message, id, response);
  }
  if (message.size() > limits::peer_message_bytes_max) {
    log::warning("response not forwarded: it is too large",
                 {{"bytes", message.size()},
                  {"request_id", request_id},
                  log::if_set("trace_id", trace_id_of(trace_context))});
    message.clear();
    write_response(message, id,
                   runs ? outcome_unknown(keyed, request_id)
                        : problem_response(Problem::internal, too_large_to_forward));
  }
  // The core that asked waits for it, or it is down and the response has no receiver.
  bool const has_room =
      co_await from.out.reserve(Outgoing::Kind::response, message.size(), never_ns);
  if (has_room) from.out.send(message);
}

}  // namespace huntd::server
