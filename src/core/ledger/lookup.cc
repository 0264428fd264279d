// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/lookup.h"

#include <algorithm>

#include "base/clock.h"
#include "base/limits.h"
#include "base/net.h"
#include "core/ledger/connect_limits.h"

namespace huntd::server {

bool Lookup::is_name(const Address& address) {
  return !address.unix_socket && !is_numeric(address.host);
}

// Returns false if the deadline came first.
Task<bool> Lookup::take_turn(uint64_t deadline_at_ns) {
  while (taken_ && scheduler_.now_ns() < deadline_at_ns) {
    OneShot<Signal> turn(scheduler_);
    waiting_.push_back(&turn);
    co_await turn.wait(deadline_at_ns);
    std::erase(waiting_, &turn);
  }
  if (taken_) co_return false;
  taken_ = true;
  co_return true;
}

void Lookup::end_turn() {
  taken_ = false;
  if (!waiting_.empty()) waiting_.front()->set({});
}

Task<Result<std::vector<Address>>> Lookup::addresses(Address address, uint64_t deadline_at_ns) {
  if (!is_name(address)) co_return std::vector<Address>{std::move(address)};
  bool const my_turn = co_await take_turn(deadline_at_ns);
  if (!my_turn) co_return Error{"cannot resolve " + address.host + ": no reply in time"};
  uint64_t const wait_until_ns = scheduler_.now_ns() + limits::resolve_wait_ns;
  resolving_ = true;
  resolver_.resolve(address, *this);
  std::optional<Result<std::vector<Address>>> found =
      co_await resolved_.wait(std::min(wait_until_ns, deadline_at_ns));
  resolving_ = false;
  if (!found) resolver_.give_up();
  end_turn();
  if (found && *found)
    for (Address& each : **found) each.name = address.host;
  if (found) co_return std::move(*found);
  if (deadline_at_ns < wait_until_ns)
    co_return Error{"cannot resolve " + address.host + ": no reply in time"};
  constexpr uint64_t wait_s = limits::resolve_wait_ns / ns_per_s;
  co_return Error{"cannot resolve " + address.host + ": no reply within " + std::to_string(wait_s) +
                  " s"};
}

Task<Result<bool>> Lookup::read_password(RedisLogin& login, const char* key,
                                         uint64_t deadline_at_ns) {
  std::string const path = login.password_file;
  bool const my_turn = co_await take_turn(deadline_at_ns);
  if (!my_turn) co_return Error{path + " is not read in time"};
  uint64_t const wait_until_ns = scheduler_.now_ns() + limits::secret_wait_ns;
  reading_ = true;
  secrets_.read(path, key, *this);
  std::optional<Result<std::string>> read =
      co_await secret_.wait(std::min(wait_until_ns, deadline_at_ns));
  reading_ = false;
  if (!read) secrets_.give_up();
  end_turn();
  if (!read) {
    if (deadline_at_ns < wait_until_ns) co_return Error{path + " is not read in time"};
    constexpr uint64_t wait_s = limits::secret_wait_ns / ns_per_s;
    co_return Error{path + " is not read within " + std::to_string(wait_s) + " s"};
  }
  // A reload may have named another file meanwhile.
  if (path != login.password_file) co_return true;
  if (!*read) co_return read->error();
  if (**read == login.password) co_return false;
  login.password = std::move(**read);
  co_return true;
}

void Lookup::give_up() {
  if (resolving_ && !resolved_.is_set()) {
    resolver_.give_up();
    resolved_.set(Error{"given up"});
  }
  if (reading_ && !secret_.is_set()) {
    secrets_.give_up();
    secret_.set(Error{"given up"});
  }
}

}  // namespace huntd::server
