#include "route/peers.h"

#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "http/problem.h"
#include "route/wire.h"

namespace huntd {
namespace {

enum class PeerMessage : uint8_t { request = 1, answer = 2, connection = 3 };

void write_answer(Text& message, uint64_t id, const Response& response) {
  WireWriter writer(message);
  writer.number(PeerMessage::answer);
  writer.number(id);
  writer.number(response.status);
  writer.text(response.content_type);
  writer.text(response.bundle);
  writer.number(response.retry_after_s);
  writer.text(response.body);
}

}  // namespace

Peers::Peers(uint32_t self, uint32_t epoch, std::vector<MessageLink*> links, Scheduler& scheduler,
             CoreStats& stats, PeerServer& server)
    : self_(self),
      epoch_(epoch),
      scheduler_(scheduler),
      stats_(stats),
      server_(server),
      next_id_((static_cast<uint64_t>(epoch) << 32) + 1) {
  for (uint32_t core = 0; core < links.size(); ++core)
    links_.push_back(core == self ? nullptr : std::make_unique<Link>(*this, core, *links[core]));
}

Task<std::optional<Response>> Peers::forward(uint32_t core, const HuntRequest& request,
                                             uint64_t deadline_at_ns) {
  Link& link = *links_[core];
  uint64_t const id = next_id_++;
  Text message;
  WireWriter writer(message);
  writer.number(PeerMessage::request);
  writer.number(link.epoch);
  writer.number(id);
  writer.number(request.kind);
  writer.number(request.received_at_ns);
  writer.text(request.hunt_id);
  writer.text(request.hunter_id);
  writer.text(request.idempotency_key);
  writer.text(request.body);
  if (!link.out.send(message, -1)) co_return std::nullopt;
  stats_.add(Counter::requests_forwarded);
  Slot<std::optional<Response>> slot(scheduler_);
  waiting_[id] = {core, &slot};
  std::optional<std::optional<Response>> answer = co_await slot.wait(deadline_at_ns);
  waiting_.erase(id);
  co_return answer ? std::move(*answer) : std::nullopt;
}

bool Peers::hand_over(uint32_t core, int descriptor, std::string_view bytes) {
  Text message;
  WireWriter writer(message);
  writer.number(PeerMessage::connection);
  writer.text(bytes);
  return links_[core]->out.send(message, descriptor);
}

void Peers::set_up(uint32_t core, bool up, uint32_t epoch) {
  if (core == self_) return;
  links_[core]->epoch = epoch;
  if (up) return;
  for (auto& [id, waiting] : waiting_)
    if (waiting.core == core) waiting.slot->set(std::nullopt);
}

void Peers::on_message(Link& from, std::string_view message, int descriptor) {
  WireReader reader(message);
  switch (reader.number<PeerMessage>()) {
    case PeerMessage::connection:
      server_.take_over(descriptor, reader.text());
      break;
    case PeerMessage::request: {
      // Meant for an earlier life of this core: its sender has been told that that one went down,
      // and waits no more.
      if (reader.number<uint32_t>() != epoch_) return;
      uint64_t const id = reader.number<uint64_t>();
      HuntRequest request;
      request.kind = reader.number<HuntRequest::Kind>();
      request.received_at_ns = reader.number<uint64_t>();
      request.hunt_id = reader.text();
      request.hunter_id = reader.text();
      request.idempotency_key = reader.text();
      request.body = reader.text();
      start(serve(from, id, std::move(request)));
      break;
    }
    case PeerMessage::answer: {
      uint64_t const id = reader.number<uint64_t>();
      Response response;
      response.status = reader.number<int>();
      response.content_type = reader.text() == problem_type ? problem_type : json_type;
      response.bundle = reader.text();
      response.retry_after_s = reader.number<uint32_t>();
      response.body = reader.text();
      if (auto found = waiting_.find(id); found != waiting_.end())
        found->second.slot->set(std::move(response));
      break;
    }
  }
}

Task<> Peers::serve(Link& from, uint64_t id, HuntRequest request) {
  Response response = co_await server_.serve(std::move(request));
  Text message;
  write_answer(message, id, response);
  if (message.size() > limits::peer_message_bytes_max) {
    log::warning("an answer is too large to be forwarded", {{"bytes", message.size()}});
    message.clear();
    write_answer(message, id, problem_response(Problem::internal, "the answer is too large"));
  }
  if (!from.out.send(message, -1))
    log::warning("an answer to another core is lost: its queue is full", {{"core", from.core}});
}

}  // namespace huntd
