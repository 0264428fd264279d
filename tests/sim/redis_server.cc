// SPDX-License-Identifier: Apache-2.0
#include "redis_server.h"

#include <algorithm>
#include <cstdlib>

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

}  // namespace

RedisServer::RedisServer(World& world) : world_(world), store_([this] { return wall_ms(); }) {}

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
    Reply const reply = reply_to(words);
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

Reply RedisServer::reply_to(const Words& words) {
  if (world_.now_ns() < loading_until_ns_)
    return Reply::error("LOADING Redis is loading the dataset in memory");
  if (world_.now_ns() < rejecting_until_ns_ && RedisStore::writes(words[0]))
    return Reply::error(rejection_);
  if (world_.now_ns() >= forbidding_until_ns_) store_.forbid("", "");
  if (world_.now_ns() >= policy_until_ns_) store_.set_policy("noeviction");
  store_.set_used(world_.now_ns() < full_until_ns_ ? RedisStore::max_bytes * 95 / 100
                                                   : RedisStore::max_bytes / 2);
  return store_.execute(words);
}

void RedisServer::restart(uint64_t down_ns, uint64_t loading_ns) {
  down_until_ns_ = world_.now_ns() + down_ns;
  loading_until_ns_ = down_until_ns_ + loading_ns;
  stopped_until_ns_ = 0;
  store_.clear_scripts();
  for (auto& client : clients_) {
    if (client->closed) continue;
    client->closed = true;
    if (client->wire != nullptr) client->wire->reset();
  }
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
  store_.forbid(std::move(command), std::move(in_scripts));
}

void RedisServer::set_policy_until(uint64_t until_ns, std::string policy) {
  policy_until_ns_ = until_ns;
  store_.set_policy(std::move(policy));
}

void RedisServer::be_full_until(uint64_t until_ns) { full_until_ns_ = until_ns; }

void RedisServer::heal() {
  forbidding_until_ns_ = policy_until_ns_ = full_until_ns_ = 0;
  down_until_ns_ = loading_until_ns_ = slow_until_ns_ = rejecting_until_ns_ = 0;
  if (stopped_until_ns_ > world_.now_ns()) stopped_until_ns_ = world_.now_ns();
  swallow_ = garbage_ = false;
  for (auto& client : clients_)
    if (!client->closed) serve(*client);
}

size_t RedisServer::connections() const {
  size_t open = 0;
  for (const auto& client : clients_) open += !client->closed && client->wire != nullptr ? 1 : 0;
  return open;
}

}  // namespace huntd::server::sim
