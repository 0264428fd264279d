// SPDX-License-Identifier: Apache-2.0
#include "admin_http/admin_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "admin_http/admin_http_limits.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "http/problem.h"

namespace huntd {
namespace {

using State = AdminConnection::State;

constexpr size_t first_connection = 2;  // in waits_
constexpr std::string_view methods = "GET, HEAD";

AdminPage problem_page(int status, std::string_view title, std::string_view detail) {
  AdminPage page;
  page.status = status;
  page.content_type = problem_type;
  page.body = fmt::format(R"({{"type":"about:blank","title":"{}","status":{})", title, status);
  if (!detail.empty()) {
    page.body += R"(,"detail":)";
    append_json_string(page.body, detail);
  }
  page.body += "}\n";
  return page;
}

AdminPage problem_page(const BadRequest& bad) {
  const ProblemKind& kind = kind_of(bad.problem);
  return problem_page(kind.status, kind.title, bad.detail);
}

// Whether a new connection is worth more than this one.
bool only_occupies(const AdminConnection& connection) {
  return connection.state() == State::receiving || connection.state() == State::ending;
}

}  // namespace

AdminServer::AdminServer(UniqueFd listener, std::vector<AdminRoute> routes)
    : listener_(std::move(listener)),
      routes_(std::move(routes)),
      made_this_turn_(routes_.size()),
      maker_([this] { wake(); }) {}

Result<std::unique_ptr<AdminServer>> AdminServer::open(UniqueFd listener,
                                                       std::vector<AdminRoute> routes) {
  std::unique_ptr<AdminServer> self(new AdminServer(std::move(listener), std::move(routes)));
  int const descriptor = self->listener_.get();
  if (fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK) != 0)
    return Error{std::string("admin port: ") + std::strerror(errno)};
  self->wakened_.reset(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!self->wakened_.valid()) return Error{std::string("eventfd: ") + std::strerror(errno)};
  return self;
}

void AdminServer::wake() {
  uint64_t const one = 1;
  // It fails only if the counter is full: then the wait ends anyway.
  if (write(wakened_.get(), &one, sizeof one) < 0) return;
}

Result<void> AdminServer::turn(uint32_t wait_ms) {
  now_ms_ = static_cast<uint64_t>(monotonic_ms());
  fill_waits(now_ms_);
  int const timeout_ms = wait_ms_until_due(now_ms_, wait_ms);
  if (poll(waits_.data(), waits_.size(), timeout_ms) < 0 && errno != EINTR)
    return Error{std::string("admin port: poll: ") + std::strerror(errno)};
  now_ms_ = static_cast<uint64_t>(monotonic_ms());
  if ((waits_[1].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0)
    return Error{"the admin port's listening socket failed"};
  uint64_t count = 0;
  while (read(wakened_.get(), &count, sizeof count) > 0) {
  }
  take_made_page();
  std::fill(made_this_turn_.begin(), made_this_turn_.end(), nullptr);
  serve_ready();
  accept_new();
  start_next_page();
  expire(now_ms_);
  remove_closed();
  return {};
}

void AdminServer::fill_waits(uint64_t now_ms) {
  waits_.clear();
  waits_.push_back({wakened_.get(), POLLIN, 0});
  waits_.push_back({listener_.get(), static_cast<short>(now_ms < accept_at_ms_ ? 0 : POLLIN), 0});
  for (const auto& connection : connections_)
    waits_.push_back({connection->descriptor(), connection->wanted_events(), 0});
}

int AdminServer::wait_ms_until_due(uint64_t now_ms, uint32_t wait_ms) const {
  uint64_t until_ms = now_ms + wait_ms;
  if (accept_at_ms_ > now_ms) until_ms = std::min(until_ms, accept_at_ms_);
  for (const auto& connection : connections_) {
    if (connection->has_unparsed()) return 0;
    until_ms = std::min(until_ms, connection->deadline_ms());
  }
  return static_cast<int>(until_ms > now_ms ? until_ms - now_ms : 0);
}

// At most one request per connection, so that one client cannot hold up the others.
void AdminServer::serve_ready() {
  size_t const count = waits_.size() - first_connection;
  for (size_t i = 0; i < count; ++i) {
    AdminConnection& connection = *connections_[i];
    short const events = waits_[first_connection + i].revents;
    if (connection.state() == State::waiting && (events & (POLLERR | POLLHUP)) != 0)
      connection.close();
    else if (events != 0 || connection.has_unparsed())
      serve(connection);
  }
}

void AdminServer::serve(AdminConnection& connection) {
  switch (connection.state()) {
    case State::receiving:
      read_request(connection);
      break;
    case State::sending:
      connection.send(now_ms_);
      break;
    case State::ending:
      connection.discard();
      break;
    case State::waiting:
    case State::closed:
      break;
  }
}

void AdminServer::read_request(AdminConnection& connection) {
  RequestHead head;
  switch (connection.receive(head, now_ms_)) {
    case ParseStatus::need_more:
      break;
    case ParseStatus::bad:
      respond_with(connection, body_of(problem_page(connection.bad())));
      break;
    case ParseStatus::done:
      connection.frame(head);
      respond(connection, head);
      break;
  }
}

void AdminServer::respond(AdminConnection& connection, const RequestFacts& request) {
  if (request.chunked || request.content_length > 0)
    return respond_with(connection, body_of(problem_page(413, "A request to this port has no body",
                                                         "send GET or HEAD without a body")));
  auto const route = std::find_if(routes_.begin(), routes_.end(), [&](const AdminRoute& each) {
    return each.path == request.path;
  });
  if (route == routes_.end())
    return respond_with(connection, body_of(problem_page(404, "No such path", "")));
  if (request.method != Method::get && request.method != Method::head)
    return connection.respond(body_of(problem_page(405, "Method not allowed on this path", "")),
                              methods, date_.at(wall_ms()), now_ms_);
  if (route->made == AdminRoute::Made::by_second_thread)
    return connection.await_page(*route, now_ms_);
  AdminConnection::Body& made = made_this_turn_[static_cast<size_t>(route - routes_.begin())];
  if (made == nullptr) made = body_of(route->make());
  respond_with(connection, made);
}

void AdminServer::respond_with(AdminConnection& connection, AdminConnection::Body body) {
  connection.respond(std::move(body), "", date_.at(wall_ms()), now_ms_);
}

// Counts the page as output until no connection has it any more.
AdminConnection::Body AdminServer::body_of(AdminPage page) {
  size_t const bytes = page.body.size();
  while (*output_bytes_ > 0 && *output_bytes_ + bytes > limits::admin_output_bytes_max) {
    AdminConnection* oldest = nullptr;
    for (const auto& connection : connections_)
      if (connection->state() == State::sending &&
          (oldest == nullptr || connection->since_ms() < oldest->since_ms()))
        oldest = connection.get();
    if (oldest == nullptr) break;  // the rest is of this turn
    oldest->close();
  }
  *output_bytes_ += bytes;
  return {new AdminPage(std::move(page)), [held = output_bytes_, bytes](const AdminPage* done) {
            *held -= bytes;
            delete done;
          }};
}

// Sends the page to those who had asked for it before it was started.
void AdminServer::take_made_page() {
  if (!maker_.busy()) return;
  const AdminRoute* const route = &maker_.making();
  std::optional<AdminPage> page = maker_.take();
  if (!page) return;
  AdminConnection::Body const body = body_of(std::move(*page));
  for (const auto& connection : connections_)
    if (connection->route() == route && connection->in_making()) respond_with(*connection, body);
}

// Starts the page that has been waited for longest, for all who wait for it.
void AdminServer::start_next_page() {
  if (maker_.busy()) return;
  const AdminConnection* first = nullptr;
  for (const auto& connection : connections_)
    if (connection->state() == State::waiting &&
        (first == nullptr || connection->since_ms() < first->since_ms()))
      first = connection.get();
  if (first == nullptr) return;
  const AdminRoute& route = *first->route();
  for (const auto& connection : connections_)
    if (connection->route() == &route) connection->note_making();
  maker_.start(route);
}

void AdminServer::accept_new() {
  if (now_ms_ < accept_at_ms_) return;
  for (size_t accepted = 0; accepted < limits::admin_accepts_max;) {
    UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket.valid()) {
      int const error = errno;
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      ++accepted;
      if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
        continue;  // of that connection only: its client has gone
      if (close_one_above(0)) continue;
      accept_at_ms_ = now_ms_ + limits::admin_accept_pause_ms;  // poll() would not wait
      return;
    }
    ++accepted;
    close_one_above(limits::admin_connections_max - 1);
    connections_.push_back(std::make_unique<AdminConnection>(std::move(socket), now_ms_));
    // Its request may have been sent after a response of this turn: it gets no older page.
    std::fill(made_this_turn_.begin(), made_this_turn_.end(), nullptr);
    read_request(*connections_.back());
  }
}

// If there are more than `kept` connections, closes the one that is worth least: without a
// request for the longest time; if all have one, the oldest. Returns whether it closed one.
bool AdminServer::close_one_above(size_t kept) {
  remove_closed();
  if (connections_.size() <= kept) return false;
  auto const least = std::min_element(connections_.begin(), connections_.end(),
                                      [](const auto& one, const auto& other) {
                                        if (only_occupies(*one) != only_occupies(*other))
                                          return only_occupies(*one);
                                        return one->since_ms() < other->since_ms();
                                      });
  connections_.erase(least);
  return true;
}

void AdminServer::expire(uint64_t now_ms) {
  for (const auto& connection : connections_)
    if (connection->deadline_ms() <= now_ms) connection->close();
}

void AdminServer::remove_closed() {
  std::erase_if(connections_,
                [](const auto& connection) { return connection->state() == State::closed; });
}

}  // namespace huntd
