// SPDX-License-Identifier: Apache-2.0
#include "core/ledger/sentinels.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>

#include "core/ledger/connect_limits.h"
#include "core/ledger/redis_words.h"

namespace huntd::server {
namespace {

// Same words as for a Redis, with the keys of the sentinels.
std::string in_words(std::string_view error) {
  if (error.find("unknown command") != error.npos)
    return "this is not a sentinel (" + std::string(error) + ")";
  std::string words = redis_fault_in_words(error);
  for (std::string_view const key : {"redis.password_file", "redis.user"})
    for (size_t at = 0; (at = words.find(key, at)) != words.npos; at += key.size())
      words.insert(at + std::strlen("redis."), "sentinel_");
  return words;
}

}  // namespace

Sentinels::Sentinels(Network& network, Lookup& lookup, Scheduler& scheduler, RedisServers servers,
                     RedisLogin login)
    : lookup_(lookup),
      scheduler_(scheduler),
      servers_(std::move(servers)),
      calls_(network, lookup, scheduler, std::move(login), "redis.sentinel_password_file",
             &in_words, limits::sentinel_reply_bytes_max),
      silent_(servers_.sentinels.size()) {}

Task<Sentinels::Named> Sentinels::primary() {
  size_t const count = servers_.sentinels.size();
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_partition(order.begin(), order.end(),
                        [this](size_t index) { return !silent_[index]; });
  asking_ = true;
  given_up_ = false;
  deadline_at_ns_ = scheduler_.now_ns() + limits::sentinels_wait_ns;
  Named result;
  std::vector<NamedPrimary> named;
  size_t asked = 0;
  while (asked < count && may_ask() && !result.choice.by_majority) {
    size_t const index = order[asked++];
    Result<NamedPrimary> found = co_await ask(index);
    if (given_up_) break;
    silent_[index] = !found;
    if (found)
      named.push_back(std::move(*found));
    else
      result.failures.append(result.failures.empty() ? "" : "; ").append(found.error().message);
    result.choice = choose_primary(named, count);
  }
  asking_ = false;
  if (asked < count && !result.choice.by_majority)
    result.failures.append("; no time was left to ask the other sentinels");
  co_return result;
}

void Sentinels::give_up() {
  if (!asking_) return;
  given_up_ = true;
  lookup_.give_up();
  calls_.give_up();
}

Task<Result<NamedPrimary>> Sentinels::ask(size_t index) {
  const Address& sentinel = servers_.sentinels[index];
  Result<std::vector<Address>> const addresses =
      co_await lookup_.addresses(sentinel, deadline_at_ns_);
  if (!addresses) co_return addresses.error();
  std::string failures;
  for (const Address& at : *addresses) {
    if (!failures.empty() && !may_ask()) break;
    Result<NamedPrimary> found = co_await ask_at(at);
    if (found) co_return found;
    failures.append(failures.empty() ? "" : "; ")
        .append("sentinel ")
        .append(address_text(at))
        .append(": ")
        .append(found.error().message);
  }
  co_return Error{std::move(failures)};
}

Task<Result<NamedPrimary>> Sentinels::ask_at(Address at) {
  Commands question{{"SENTINEL", "get-master-addr-by-name", servers_.primary}};
  Result<Replies> const replies =
      co_await calls_.ask(std::move(at), std::move(question), deadline_at_ns_);
  if (!replies) co_return replies.error();
  const RedisReply& reply = (*replies)[0];
  if (reply.is_nil())
    co_return Error{"it knows no primary " + servers_.primary + " (redis.sentinel_primary)"};
  std::optional<NamedPrimary> primary = read_named_primary(reply[0].text(), reply[1].text());
  if (reply.size() != 2 || !primary) co_return Error{"malformed reply"};
  co_return std::move(*primary);
}

}  // namespace huntd::server
