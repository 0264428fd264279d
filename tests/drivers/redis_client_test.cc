// SPDX-License-Identifier: Apache-2.0
// RedisClient's questions to sentinels, which are threads on loopback ports.
#include "drivers/redis_client.h"

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/net.h"
#include "drivers/driver_limits.h"

using namespace huntd;

namespace {

std::string bulk(const std::string& text) {
  return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

std::string pair_of(const std::string& host, const std::string& port) {
  return "*2\r\n" + bulk(host) + bulk(port);
}

// Replies `reply` to each packet of a client, one client at a time.
class Listener {
 public:
  enum class Pace { at_once, by_byte };  // by_byte: one in 50 ms
  explicit Listener(std::string reply = "", Pace pace = Pace::at_once)
      : reply_(std::move(reply)), pace_(pace), thread_([this] { serve(); }) {}
  ~Listener() {
    ended_ = true;
    thread_.join();
  }
  // From the next packet on.
  void reply(std::string text) {
    std::lock_guard const lock(mutex_);
    reply_ = std::move(text);
  }
  std::string address() const { return bound_address(socket_.get()); }
  std::string port() const { return address().substr(address().rfind(':') + 1); }

  std::atomic<int> connects = 0;

 private:
  // Whether there is input, or a client.
  bool waits(int descriptor) {
    pollfd readable{.fd = descriptor, .events = POLLIN, .revents = 0};
    while (!ended_)
      if (::poll(&readable, 1, 10) > 0) return true;
    return false;
  }
  void serve() {
    while (waits(socket_.get())) {
      UniqueFd const client(::accept(socket_.get(), nullptr, nullptr));
      ++connects;
      char bytes[4096];
      while (waits(client.get()) && ::recv(client.get(), bytes, sizeof bytes, 0) > 0)
        if (!send_to(client.get())) break;
    }
  }
  bool send_to(int client) {
    std::string text;
    {
      std::lock_guard const lock(mutex_);
      text = reply_;
    }
    size_t const part = pace_ == Pace::by_byte ? 1 : text.size();
    for (size_t at = 0; at < text.size() && !ended_; at += part) {
      if (::send(client, text.data() + at, part, MSG_NOSIGNAL) < 0) return false;
      if (pace_ == Pace::by_byte) ::poll(nullptr, 0, 50);
    }
    return true;
  }

  std::mutex mutex_;
  std::string reply_;
  Pace const pace_;
  UniqueFd const socket_ = std::move(*listen_tcp("127.0.0.1", 0, 16));
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

std::string info_of(const std::string& role) {
  return bulk("# Replication\r\nrole:" + role + "\r\n");
}

RedisClient client_of(const std::vector<std::unique_ptr<Listener>>& sentinels) {
  Config::Redis config;
  config.address.clear();
  for (const auto& each : sentinels) config.sentinels.push_back(each->address());
  return RedisClient(std::move(config));
}

// Sentinels that name the given servers.
std::vector<std::unique_ptr<Listener>> naming(const std::vector<const Listener*>& servers) {
  std::vector<std::unique_ptr<Listener>> sentinels;
  for (const Listener* each : servers)
    sentinels.push_back(std::make_unique<Listener>(pair_of("127.0.0.1", each->port())));
  return sentinels;
}

std::string failure_of(const std::string& reply, Listener::Pace pace = Listener::Pace::at_once) {
  std::vector<std::unique_ptr<Listener>> sentinels;
  sentinels.push_back(std::make_unique<Listener>(reply, pace));
  Result<void> const connected = client_of(sentinels).connect();
  return connected ? "" : connected.error().message;
}

}  // namespace

TEST_CASE("a stale sentinel is outvoted") {
  Listener replica(info_of("slave"));
  Listener primary(info_of("master"));
  auto const sentinels = naming({&replica, &primary, &primary});
  RedisClient client = client_of(sentinels);
  CHECK(client.connect());
  CHECK(primary.connects == 1);
  CHECK(replica.connects == 0);
  CHECK_FALSE(client.is_replaced());
}

TEST_CASE("without a majority each server that was named is tried") {
  Listener replica(info_of("slave"));
  Listener primary(info_of("master"));
  auto sentinels = naming({&replica, &primary});
  sentinels.push_back(std::make_unique<Listener>("*-1\r\n"));
  RedisClient client = client_of(sentinels);
  CHECK(client.connect());
  CHECK(replica.connects == 1);
  CHECK(primary.connects == 1);
  // It stays: no two of three name another one.
  CHECK_FALSE(client.is_replaced());
}

TEST_CASE("a primary that only one sentinel still names is replaced") {
  Listener former(info_of("master"));
  Listener next(info_of("master"));
  auto const sentinels = naming({&former, &former, &former});
  RedisClient client = client_of(sentinels);
  REQUIRE(client.connect());
  CHECK_FALSE(client.is_replaced());
  sentinels[2]->reply(pair_of("127.0.0.1", next.port()));
  CHECK_FALSE(client.is_replaced());
  sentinels[1]->reply(pair_of("127.0.0.1", next.port()));
  CHECK(client.is_replaced());
  client.close();
  CHECK(client.connect());
  CHECK(next.connects == 1);
  CHECK_FALSE(client.is_replaced());
}

TEST_CASE("a sentinel that sends a byte at a time has its time for the whole reply") {
  int64_t const started_at_ms = monotonic_ms();
  std::string const why = failure_of("+" + std::string(1000, 'x'), Listener::Pace::by_byte);
  CHECK(why.find("no reply within 1 s") != why.npos);
  CHECK(monotonic_ms() - started_at_ms < limits::sentinels_timeout_ms);
}

TEST_CASE("a sentinel's reply has a bound") {
  std::string const why = failure_of(bulk(std::string(1 << 20, 'x')));
  CHECK(why.find("reply too large") != why.npos);
}

TEST_CASE("a sentinel's reply without a host or a port is malformed") {
  for (const std::string& reply :
       {pair_of("", "6379"), pair_of("unix", "6379"), pair_of("127.0.0.1", "0"),
        pair_of("127.0.0.1", "65536"), pair_of("127.0.0.1", "x"), std::string(":7\r\n")}) {
    CAPTURE(reply);
    std::string const why = failure_of(reply);
    CHECK(why.find("malformed reply") != why.npos);
  }
}
