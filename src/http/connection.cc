#include "http/connection.h"

#include <cerrno>

#include "base/ids.h"
#include "base/limits.h"
#include "http/parser.h"
#include "http/problem.h"
#include "http/rest_error.h"
#include "http/router.h"

namespace huntd {
namespace {

constexpr uint64_t ns_per_ms = 1'000'000;
constexpr uint64_t linger_ns = 1'000'000'000;

// Whether a Content-Type is `wanted` (in lower case), with parameters or without.
bool is_type(std::string_view type, std::string_view wanted) {
  if (type.size() < wanted.size()) return false;
  for (size_t i = 0; i < wanted.size(); ++i)
    if ((type[i] | 0x20) != wanted[i] && type[i] != wanted[i]) return false;
  return type.size() == wanted.size() || type[wanted.size()] == ';' || type[wanted.size()] == ' ';
}

// A refusal in the format that its path's clients know.
Response refusal(bool rest, Problem problem, std::string_view detail) {
  return rest ? rest_error(problem, detail) : problem_response(problem, detail);
}

Counter status_class(int status) {
  return status < 300   ? Counter::http_2xx
         : status < 400 ? Counter::http_3xx
         : status < 500 ? Counter::http_4xx
                        : Counter::http_5xx;
}

// What the route and the headers already refuse; status 200 where nothing is wrong.
Response refusal_of(const Route& route, const RequestHead& head, std::string_view body) {
  if (route.to == Route::To::refused) {
    Response response = refusal(route.rest, route.problem, route.detail);
    response.allow = route.allow;
    return response;
  }
  if (!route.rest && head.has_idempotency_key && !is_idempotency_key(head.idempotency_key))
    return problem_response(Problem::malformed_request,
                            "an Idempotency-Key is 1 to 128 visible ASCII characters");
  if (route.to == Route::To::run_hunt && !body.empty() && !head.content_type.empty() &&
      !is_type(head.content_type, "application/json"))
    return problem_response(Problem::unsupported_media_type,
                            "send the input with Content-Type: application/json");
  if (route.to == Route::To::produce && !is_type(head.content_type, rest_records_type))
    return rest_error(Problem::unsupported_media_type,
                      "send the records with Content-Type: application/vnd.kafka.json.v2+json");
  return Response();
}

Doorkeeper::Verdict verdict_of(const HttpService& service, const Route& route,
                               std::string_view authorization) {
  int64_t const wall_ms = service.clock.wall_ms();
  return route.to == Route::To::produce
             ? service.doorkeeper().check_for_all(authorization, wall_ms)
             : service.doorkeeper().check(authorization, route.hunter_id, wall_ms);
}

// Who may not come in; status 200 for who may.
Response refusal_at_the_door(const HttpService& service, const Route& route,
                             std::string_view authorization) {
  using Verdict = Doorkeeper::Verdict;
  Response response;
  if (route.to == Route::To::refused) return response;
  switch (verdict_of(service, route, authorization)) {
    case Verdict::welcome:
      return response;
    case Verdict::no_token:
      service.stats.add(Counter::auth_no_token);
      response = refusal(route.rest, Problem::unauthorized, "send Authorization: Bearer TOKEN");
      response.authenticate = R"(Bearer realm="huntd")";
      return response;
    case Verdict::bad_token:
      service.stats.add(Counter::auth_bad_token);
      response = refusal(route.rest, Problem::unauthorized, "the token is not valid");
      break;
    case Verdict::expired:
      service.stats.add(Counter::auth_expired);
      response = refusal(route.rest, Problem::unauthorized, "the token has expired");
      break;
    case Verdict::other_hunter:
      service.stats.add(Counter::auth_other_hunter);
      response = refusal(route.rest, Problem::forbidden,
                         route.rest ? "a hunter's token does not produce events"
                                    : "the token is another hunter's");
      response.authenticate = R"(Bearer realm="huntd", error="insufficient_scope")";
      return response;
  }
  response.authenticate = R"(Bearer realm="huntd", error="invalid_token")";
  return response;
}

}  // namespace

Connection::Connection(HttpService& service, StreamPtr stream, std::string first_bytes,
                       bool accepted)
    : service_(service),
      stream_(std::move(stream)),
      event_(service.scheduler),
      in_(std::move(first_bytes)),
      may_hand_over_(accepted),
      fresh_(in_.empty()) {
  stream_->set_user(*this);
}

Task<> Connection::serve() {
  reading_ = true;
  stream_->read();
  bool keep_alive = true;
  while (keep_alive) {
    // Told to finish while the last answer was being sent.
    if (service_.draining() && in_.empty()) co_return;
    // The head.
    HeadParser parser;
    RequestHead head;
    Framing framing;
    BadRequest bad;
    bool is_bad = false;
    idle_ = in_.empty();
    uint64_t const wait_ms = !idle_   ? service_.deadlines.header_ms
                             : fresh_ ? service_.deadlines.first_byte_ms
                                      : service_.deadlines.idle_ms;
    uint64_t deadline_at_ns = service_.scheduler.now_ns() + wait_ms * ns_per_ms;
    for (;;) {
      ParseStatus const status = in_.empty() ? ParseStatus::need_more : parser.parse(in_, head);
      if (status == ParseStatus::done) break;
      if (status == ParseStatus::bad) {
        bad = parser.bad();
        is_bad = true;
        break;
      }
      Came const came = co_await read_more(deadline_at_ns);
      if (came == Came::end || (came == Came::drained && in_.empty())) co_return;
      if (came == Came::deadline) {
        service_.stats.add(!idle_   ? Counter::expired_request
                           : fresh_ ? Counter::expired_first_byte
                                    : Counter::expired_idle);
        if (in_.empty()) co_return;  // an idle connection ends without a word
        bad = {Problem::request_timeout, "the request's head did not arrive in time"};
        is_bad = true;
        break;
      }
      if (idle_ && !in_.empty()) {
        idle_ = false;
        deadline_at_ns = service_.scheduler.now_ns() + service_.deadlines.header_ms * ns_per_ms;
      }
    }
    idle_ = false;
    fresh_ = false;

    // The owner: a connection moves to its first hunter's core, once, before anything of it is
    // answered.
    Route route;
    Response refused;
    if (!is_bad) {
      route = find_route(head.method, head.path);
      refused = refusal_at_the_door(service_, route, head.authorization);
      framing = {head.method == Method::head, head.keep_alive && !service_.draining(),
                 head.minor_version == 0};
      if (refused.status == 200 && may_hand_over_ && !route.hunter_id.empty() &&
          in_.size() <= limits::handover_bytes_max) {
        may_hand_over_ = false;
        int const core = service_.better_core(route.hunter_id);
        if (core >= 0) {
          bool const handed = co_await hand_over_to(core);
          if (handed) co_return;
          // It stays; bytes may have come meanwhile, so the views are made anew.
          HeadParser again;
          CHECK(again.parse(in_, head) == ParseStatus::done);
          route = find_route(head.method, head.path);
        }
      }
      may_hand_over_ = false;
    }

    // The body. The head's views stay good: they are copied into the request before in_ changes.
    HuntRequest request;
    ProduceRequest produce;
    // Of a head that is bad the path may still be known: its body is said to be too large.
    bool const rest = is_bad ? find_route(head.method, head.path).rest : route.rest;
    body_.clear();
    if (!is_bad) {
      if (route.to == Route::To::run_hunt || route.to == Route::To::read_held) {
        request.kind =
            route.to == Route::To::run_hunt ? HuntRequest::Kind::run : HuntRequest::Kind::read_held;
        request.hunt_id = route.hunt_id;
        request.hunter_id = route.hunter_id;
        request.idempotency_key = head.idempotency_key;
      }
      if (route.to == Route::To::produce) produce.topic = route.topic;
      bool const has_body = head.chunked || head.content_length > 0;
      if (refused.status == 200) refused = refusal_of(route, head, has_body ? "body" : "");
      BodyReader reader(head);
      bool const wants_continue = head.expect_continue && has_body;
      size_t const head_bytes = parser.consumed();
      in_.erase(0, head_bytes);
      if (wants_continue && in_.empty()) {
        if (refused.status != 200) {
          // Refused before the body is sent, which then never comes: the connection can't go on.
          framing.keep_alive = false;
          service_.stats.add(status_class(refused.status));
          bool const written = co_await write(refused, framing);
          if (written) co_await linger();
          co_return;
        }
        out_.append(continue_response);
        bool const written = co_await flush_out();
        if (!written) co_return;
      }
      for (;;) {
        ParseStatus const status = reader.read(in_, body_);
        in_.erase(0, reader.consumed());
        if (status == ParseStatus::done) break;
        if (status == ParseStatus::bad) {
          bad = reader.bad();
          is_bad = true;
          break;
        }
        Came const came = co_await read_more(deadline_at_ns);
        if (came == Came::end) co_return;
        if (came == Came::deadline) {
          service_.stats.add(Counter::expired_request);
          bad = {Problem::request_timeout, "the request's body did not arrive in time"};
          is_bad = true;
          break;
        }
      }
    }

    // The answer.
    Response response;
    if (is_bad) {
      framing.head_only = in_.starts_with("HEAD ");  // what else it was nobody can tell
      service_.stats.add(Counter::http_bad_requests);
      response = refusal(rest, bad.problem, bad.detail);
      framing.keep_alive = false;
    } else if (refused.status != 200) {
      response = std::move(refused);
    } else if (route.to == Route::To::core_map) {
      response.body = service_.core_map_json();
    } else if (route.to == Route::To::produce) {
      produce.body.assign(body_);
      produce.received_at_ns = service_.clock.now_ns();
      response = co_await service_.produce(std::move(produce));
    } else {
      request.body.assign(body_);
      request.received_at_ns = service_.clock.now_ns();
      uint64_t const received_at_ns = request.received_at_ns;
      response = co_await service_.answer(std::move(request));
      service_.stats.record(Stage::request, service_.clock.now_ns() - received_at_ns);
    }
    if (service_.draining()) framing.keep_alive = false;
    service_.stats.add(status_class(response.status));
    bool const written = co_await write(response, framing);
    if (!written) co_return;
    keep_alive = framing.keep_alive;
    if (!keep_alive) co_await linger();
  }
}

Task<> Connection::refuse(Response response) {
  service_.stats.add(status_class(response.status));
  bool const written = co_await write(response, {.keep_alive = false});
  if (written) co_await linger();
}

Task<Connection::Came> Connection::read_more(uint64_t deadline_at_ns) {
  if (ended_) co_return Came::end;
  // Bytes that come all the time must not put the deadline off.
  if (service_.scheduler.now_ns() >= deadline_at_ns) co_return Came::deadline;
  if (!reading_) {
    reading_ = true;
    stream_->read();
  }
  size_t const before = in_.size();
  std::optional<Signal> const came = co_await event_.wait(deadline_at_ns);
  if (in_.size() > before) co_return Came::bytes;
  if (ended_) co_return Came::end;
  if (!came) co_return Came::deadline;
  co_return service_.draining() && idle_ ? Came::drained : Came::bytes;
}

Task<bool> Connection::write(const Response& response, Framing framing) {
  append_response(out_, response, framing, service_.date.at(service_.clock.wall_ms()));
  return flush_out();
}

Task<bool> Connection::flush_out() {
  service_.stats.add(Counter::response_bytes, out_.size());
  sent_ = false;
  send_error_ = 0;
  uint64_t const deadline_at_ns =
      service_.scheduler.now_ns() + service_.deadlines.send_ms * ns_per_ms;
  stream_->send(out_);
  while (!sent_) {
    std::optional<Signal> const came = co_await event_.wait(deadline_at_ns);
    if (came || sent_) continue;
    service_.stats.add(Counter::expired_answer);
    co_return false;  // it does not read; letting go of the stream ends the send
  }
  co_return send_error_ == 0;
}

Task<bool> Connection::hand_over_to(int core) {
  // Reading ends first, so that no byte is left behind.
  if (reading_) stream_->pause();
  uint64_t const deadline_at_ns =
      service_.scheduler.now_ns() + service_.deadlines.header_ms * ns_per_ms;
  while (reading_) {
    std::optional<Signal> const came = co_await event_.wait(deadline_at_ns);
    if (!came) break;
  }
  if (reading_ || ended_ || in_.size() > limits::handover_bytes_max) co_return false;
  stream_->release();
  while (!released_) co_await event_.wait(never_ns);
  if (*released_ < 0) co_return false;
  service_.stats.add(Counter::connections_handed_over);
  service_.hand_over(core, *released_, in_);
  co_return true;
}

// The last answer must not be torn away by a reset: what the peer still sends is read and dropped
// for a while (RFC 9112 section 9.6).
Task<> Connection::linger() {
  stream_->finish_sending();
  uint64_t const deadline_at_ns = service_.scheduler.now_ns() + linger_ns;
  while (!ended_) {
    in_.clear();
    Came const came = co_await read_more(deadline_at_ns);
    if (came == Came::deadline || service_.draining()) co_return;
  }
}

void Connection::drain() {
  if (idle_) event_.set({});
}

void Connection::on_bytes(std::string_view bytes) {
  service_.stats.add(Counter::request_bytes, bytes.size());
  in_.append(bytes);
  // A client that sends on without reading its answers is held back.
  if (in_.size() > limits::connection_input_bytes_max) stream_->pause();
  event_.set({});
}

void Connection::on_end(int error) {
  reading_ = false;
  if (error != ECANCELED) ended_ = true;
  event_.set({});
}

void Connection::on_sent(int error) {
  sent_ = true;
  send_error_ = error;
  event_.set({});
}

void Connection::on_released(int descriptor) {
  released_ = descriptor;
  event_.set({});
}

}  // namespace huntd
