// SPDX-License-Identifier: Apache-2.0
#include "redis_server.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace huntd::server::sim {
namespace {

// Removes the first complete command from `in`. Returns false if there is none.
bool take_command(std::string& in, Words& words) {
  size_t at = 0;
  auto const take_number = [&](char kind, size_t& number) {
    size_t const end = in.find("\r\n", at);
    if (end == std::string::npos) return false;
    CHECK(in[at] == kind);
    number = std::strtoull(in.c_str() + at + 1, nullptr, 10);
    at = end + 2;
    return true;
  };
  size_t count = 0;
  if (in.empty() || !take_number('*', count)) return false;
  words.clear();
  for (size_t i = 0; i < count; ++i) {
    size_t length = 0;
    if (at >= in.size() || !take_number('$', length)) return false;
    if (in.size() < at + length + 2) return false;
    words.push_back(in.substr(at, length));
    at += length + 2;
  }
  in.erase(0, at);
  return true;
}

std::string hex_digits(Random& random, size_t count) {
  std::string text;
  while (text.size() < count) text += fmt::format("{:016x}", random.next());
  text.resize(count);
  return text;
}

}  // namespace

RedisServer::RedisServer(World& world) : world_(world), primary_(add_store()) {
  identify(*primary_, false);
}

RedisStore* RedisServer::add_store() {
  stores_.push_back(std::make_unique<RedisStore>([this] { return wall_ms(); }));
  return stores_.back().get();
}

// A server that starts has another run_id. `same_history`: it has saved its replication id too.
void RedisServer::identify(RedisStore& store, bool same_history) {
  std::string run_id = hex_digits(world_.random, 40);
  std::string replication_id =
      same_history ? store.replication_id() : hex_digits(world_.random, 40);
  store.set_identity(std::move(run_id), std::move(replication_id));
}

int64_t RedisServer::wall_ms() const {
  return static_cast<int64_t>(world_.now_ns() / ms) + MachineClock::epoch_ms + off_by_ms_;
}

WirePtr RedisServer::accept() {
  if (world_.now_ns() < down_until_ns_) return nullptr;
  clients_.push_back(std::make_unique<Client>(*this));
  Client& client = *clients_.back();
  client.wire = std::make_shared<Wire>(world_, client);
  return client.wire;
}

void RedisServer::Client::on_wire_bytes(std::string_view bytes) {
  in += bytes;
  server.serve(*this);
}

void RedisServer::Client::on_wire_end(bool) { server.close(*this); }

void RedisServer::close(Client& client) {
  // Commands that have arrived are executed, unless the server restarts first.
  serve(client);
  client.wire = nullptr;
}

void RedisServer::serve(Client& client) {
  if (client.closed || client.in.empty()) return;
  if (world_.now_ns() < stopped_until_ns_) {
    world_.at(stopped_until_ns_ + world_.random.below(100 * us),
              [this, &client] { serve(client); });
    return;
  }
  Words words;
  std::string out;
  while (!client.closed && take_command(client.in, words)) {
    Reply const reply = reply_to(*client.store, words);
    if (client.wire == nullptr) continue;
    if (swallow_ && words[0] == "EVALSHA") {
      swallow_ = false;
      world_.fault("a reply of Redis lost", words.size() > 3 ? words[3] : "");
      client.closed = true;
      client.wire->reset();
      return;
    }
    out += reply.bytes();
  }
  if (garbage_ && !out.empty()) {
    garbage_ = false;
    world_.fault("a garbage reply");
    out = "?what\r\n" + out;
  }
  if (out.empty() || client.wire == nullptr) return;
  uint64_t delay_ns = 0;
  if (world_.now_ns() < slow_until_ns_) delay_ns = reply_delay_ns_;
  // In order, also with different delays.
  last_reply_ns_ = std::max(last_reply_ns_ + 1, world_.now_ns() + delay_ns);
  world_.at(last_reply_ns_, [&client, out = std::move(out)] {
    if (!client.closed && client.wire != nullptr) client.wire->send(out);
  });
}

Reply RedisServer::reply_to(RedisStore& store, const Words& words) {
  if (world_.now_ns() < loading_until_ns_ && &store == primary_)
    return Reply::error("LOADING Redis is loading the dataset in memory");
  if (world_.now_ns() < rejecting_until_ns_ && RedisStore::writes(words[0]))
    return Reply::error(rejection_);
  if (store.replica() && RedisStore::writes(words[0]))
    return Reply::error("READONLY You can't write against a read only replica.");
  bool const forbids = world_.now_ns() < forbidding_until_ns_;
  store.forbid(forbids ? forbidden_ : "", forbidden_in_scripts_);
  // An undo may need the command that is forbidden; one that fails is the subject of other tests.
  if (forbids) store.reject_in_script("", 0, "");
  store.set_policy(evicts_since_ns() == never_ns ? "noeviction" : policy_);
  store.set_used(world_.now_ns() < full_until_ns_ ? RedisStore::max_bytes * 95 / 100
                                                  : RedisStore::max_bytes / 2);
  return store.execute(words);
}

void RedisServer::reset_clients_of(const RedisStore* store) {
  for (auto& client : clients_) {
    if (client->closed || client->store != store) continue;
    client->closed = true;
    if (client->wire != nullptr) client->wire->reset();
  }
}

void RedisServer::restart(uint64_t down_ns, uint64_t loading_ns) {
  down_until_ns_ = world_.now_ns() + down_ns;
  loading_until_ns_ = down_until_ns_ + loading_ns;
  stopped_until_ns_ = 0;
  primary_->clear_scripts();
  identify(*primary_, world_.random.chance(0.3));
  reset_clients_of(primary_);
}

bool RedisServer::stop_copying() {
  if (copy_ != nullptr) return false;
  copy_ = add_store();
  copy_->copy_keys(*primary_);
  on_store(*copy_, primary_);
  return true;
}

void RedisServer::go_back(uint64_t down_ns, uint64_t loading_ns, uint64_t former_ns) {
  if (copy_ == nullptr) return;
  end_former();
  former_ = std::exchange(primary_, std::exchange(copy_, nullptr));
  // A replica has the replication id of its primary until it is promoted.
  identify(*primary_, false);
  on_primary(*primary_, former_ns);
  down_until_ns_ = world_.now_ns() + down_ns;
  loading_until_ns_ = down_until_ns_ + loading_ns;
  if (former_ns == 0) return end_former();
  world_.after(former_ns, [this, store = former_] {
    if (former_ == store) end_former();
  });
}

// The former primary becomes a replica, or can't be reached any more.
void RedisServer::end_former() {
  RedisStore* const store = std::exchange(former_, nullptr);
  if (store == nullptr) return;
  store->demote();
  if (!world_.faults_on || world_.random.chance(0.5)) reset_clients_of(store);
}

std::string RedisServer::lose_a_key(std::string_view prefix) {
  std::vector<std::string> names;
  for (const auto& [name, value] : primary_->keys())
    if (name.starts_with(prefix)) names.push_back(name);
  if (names.empty()) return "";
  std::string name = world_.random.one_of(names);
  primary_->lose_key(name);
  return name;
}

void RedisServer::stop_until(uint64_t until_ns) { stopped_until_ns_ = until_ns; }

void RedisServer::be_slow_until(uint64_t until_ns, uint64_t reply_delay_ns) {
  slow_until_ns_ = until_ns;
  reply_delay_ns_ = reply_delay_ns;
}

void RedisServer::reject_until(uint64_t until_ns, std::string error) {
  rejecting_until_ns_ = until_ns;
  rejection_ = std::move(error);
}

void RedisServer::forbid_until(uint64_t until_ns, std::string command, std::string in_scripts) {
  forbidding_until_ns_ = until_ns;
  forbidden_ = std::move(command);
  forbidden_in_scripts_ = std::move(in_scripts);
}

void RedisServer::set_policy_until(uint64_t until_ns, std::string policy) {
  if (evicts_since_ns() == never_ns) policy_since_ns_ = world_.now_ns();
  policy_until_ns_ = until_ns;
  policy_ = std::move(policy);
}

uint64_t RedisServer::evicts_since_ns() const {
  return world_.now_ns() < policy_until_ns_ ? policy_since_ns_ : never_ns;
}

void RedisServer::be_full_until(uint64_t until_ns) { full_until_ns_ = until_ns; }

void RedisServer::heal() {
  forbidding_until_ns_ = policy_until_ns_ = full_until_ns_ = 0;
  down_until_ns_ = loading_until_ns_ = slow_until_ns_ = rejecting_until_ns_ = 0;
  if (stopped_until_ns_ > world_.now_ns()) stopped_until_ns_ = world_.now_ns();
  swallow_ = garbage_ = false;
  primary_->reject_in_script("", 0, "");
  catch_up();
  end_former();
  for (auto& store : stores_)
    if (store->replica()) reset_clients_of(store.get());
  for (auto& client : clients_)
    if (!client->closed) serve(*client);
}

size_t RedisServer::connections() const {
  size_t open = 0;
  for (const auto& client : clients_) open += !client->closed && client->wire != nullptr ? 1 : 0;
  return open;
}

}  // namespace huntd::server::sim
