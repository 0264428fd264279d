// SPDX-License-Identifier: Apache-2.0
// The HTTP server of the ports that operators and their tools read: huntd's admin port, and
// aggregator.listen. It only serves GET and HEAD. One thread serves all connections and waits for
// none of them, so idle and slow clients, and requests without an end, delay no other client (decision 37).
// Its bounds: admin_http_limits.h.
#pragma once
#include <poll.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "admin_http/admin_connection.h"
#include "admin_http/admin_page.h"
#include "admin_http/page_maker.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "http/response.h"

namespace huntd {

class AdminServer {
 public:
  // Serves `routes` on `listener`, which becomes non-blocking. What the routes refer to outlives
  // the server.
  static Result<std::unique_ptr<AdminServer>> open(UniqueFd listener,
                                                   std::vector<AdminRoute> routes);
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // Serves what has come, after a wait of at most `wait_ms` for it. Call it again and again, always
  // from the same thread. The error says that the sockets cannot be waited for.
  Result<void> turn(uint32_t wait_ms);
  // Ends the wait of turn(). Thread-safe.
  void wake();

 private:
  using Connections = std::vector<std::unique_ptr<AdminConnection>>;

  AdminServer(UniqueFd listener, std::vector<AdminRoute> routes);
  void fill_waits(uint64_t now_ms);
  int wait_ms_until_due(uint64_t now_ms, uint32_t wait_ms) const;
  void serve_ready();
  void serve(AdminConnection& connection);
  void read_request(AdminConnection& connection);
  void respond(AdminConnection& connection, const RequestFacts& request);
  void respond_with(AdminConnection& connection, AdminConnection::Body body);
  AdminConnection::Body body_of(AdminPage page);
  void take_made_page();
  void start_next_page();
  void accept_new();
  bool close_one_above(size_t kept);
  void expire(uint64_t now_ms);
  void remove_closed();

  UniqueFd listener_;
  UniqueFd wakened_;  // an eventfd
  std::vector<AdminRoute> routes_;
  // Of each route that is made at once, what this turn has made: all who ask in one turn share it.
  std::vector<AdminConnection::Body> made_this_turn_;
  std::shared_ptr<size_t> output_bytes_ = std::make_shared<size_t>(0);
  Connections connections_;
  std::vector<pollfd> waits_;  // the wake, the listener, then one per connection, in their order
  uint64_t now_ms_ = 0;        // of this turn
  uint64_t accept_at_ms_ = 0;  // not before
  DateText date_;
  PageMaker maker_;  // the last: its thread ends before what it uses
};

}  // namespace huntd
