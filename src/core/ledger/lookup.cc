// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/lookup.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/net.h"
#include "core/ledger/connect_limits.h"

namespace huntd::server {

bool Lookup::is_name(const Address& address) {
  return !address.unix_socket && !is_numeric(address.host);
}

Task<Result<std::vector<Address>>> Lookup::addresses(Address address) {
  if (!is_name(address)) co_return std::vector<Address>{std::move(address)};
  resolver_.resolve(address, *this);
  std::optional<Result<std::vector<Address>>> found =
      co_await resolved_.wait(scheduler_.now_ns() + limits::resolve_wait_ns);
  if (found) co_return std::move(*found);
  resolver_.give_up();
  constexpr uint64_t wait_s = limits::resolve_wait_ns / ns_per_s;
  co_return Error{"cannot resolve " + address.host + ": no reply within " + std::to_string(wait_s) +
                  " s"};
}

Task<Result<bool>> Lookup::read_password(RedisLogin& login, const char* key) {
  std::string const path = login.password_file;
  secrets_.read(path, key, *this);
  std::optional<Result<std::string>> read =
      co_await secret_.wait(scheduler_.now_ns() + limits::secret_wait_ns);
  if (!read) {
    secrets_.give_up();
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

}  // namespace huntd::server
