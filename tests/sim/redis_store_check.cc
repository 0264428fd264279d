// SPDX-License-Identifier: Apache-2.0
// redis_store_check PORT SEED: sends the same commands to the simulated Redis and to a real one,
// which must send the same replies. The commands are the scripts of the ledger, with arguments as
// from a core, and the commands around them. Ids of stream entries differ and are compared by their
// order.
#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "base/check.h"
#include "base/clock.h"
#include "core/ledger/scripts.h"
#include "redis_store.h"
#include "world.h"

using namespace huntd;
using namespace huntd::server::sim;

namespace {

constexpr int commands_sent = 5000;

bool is_stream_id(const std::string& text) {
  size_t const dash = text.find('-');
  return dash == 13 && text.find_first_not_of("0123456789-") == std::string::npos;
}

Reply read_reply(const redisReply* reply) {
  switch (reply->type) {
    case REDIS_REPLY_STRING:
      return Reply::of(std::string(reply->str, reply->len));
    case REDIS_REPLY_STATUS:
      return {Reply::Kind::status, 0, std::string(reply->str, reply->len), {}};
    case REDIS_REPLY_ERROR:
      return Reply::error(std::string(reply->str, reply->len));
    case REDIS_REPLY_INTEGER:
      return Reply::of(static_cast<int64_t>(reply->integer));
    case REDIS_REPLY_ARRAY: {
      std::vector<Reply> parts;
      for (size_t i = 0; i < reply->elements; ++i) parts.push_back(read_reply(reply->element[i]));
      return Reply::array(std::move(parts));
    }
    default:
      return Reply();
  }
}

class Pair {
 public:
  explicit Pair(int port)
      : real_(redisConnect("127.0.0.1", port)), model_([] { return wall_ms(); }) {
    if (real_ == nullptr || real_->err != 0) {
      std::fprintf(stderr, "no Redis at port %d\n", port);
      std::exit(2);
    }
  }

  Reply send_real(const Words& words) {
    std::vector<const char*> texts;
    std::vector<size_t> lengths;
    for (const std::string& word : words) {
      texts.push_back(word.data());
      lengths.push_back(word.size());
    }
    auto* reply = static_cast<redisReply*>(
        redisCommandArgv(real_, static_cast<int>(words.size()), texts.data(), lengths.data()));
    CHECK(reply != nullptr);
    Reply read = read_reply(reply);
    freeReplyObject(reply);
    return read;
  }

  // Compares the replies. `groups`: the replies are lists of rows of this length, in any order.
  void compare(const Words& real_words, const Words& model_words, size_t groups = 0) {
    Reply real = send_real(real_words);
    Reply model = model_.execute(model_words);
    note_ids(real, model);
    if (groups > 0) {
      sort(real, groups);
      sort(model, groups);
    }
    if (same(real, model)) return;
    std::string sent;
    for (const std::string& word : model_words) sent += word + " | ";
    std::fprintf(stderr, "sent: %s\nRedis: %smodel: %s", sent.c_str(), real.bytes().c_str(),
                 model.bytes().c_str());
    ++differences_;
  }
  void compare(const Words& words, size_t groups = 0) { compare(words, words, groups); }

  std::string load(const char* script, std::string& real_name) {
    real_name = send_real({"SCRIPT", "LOAD", script}).text;
    return model_.execute({"SCRIPT", "LOAD", script}).text;
  }

  int differences() const { return differences_; }
  const std::vector<std::pair<std::string, std::string>>& ids() const { return ids_; }

 private:
  // Entries appear in the same order on both sides.
  void note_ids(const Reply& real, const Reply& model) {
    if (is_stream_id(real.text) && is_stream_id(model.text) && model_of_.count(real.text) == 0) {
      model_of_[real.text] = model.text;
      ids_.emplace_back(real.text, model.text);
    }
    for (size_t i = 0; i < std::min(real.parts.size(), model.parts.size()); ++i)
      note_ids(real.parts[i], model.parts[i]);
  }
  static void sort(Reply& reply, size_t group) {
    std::vector<std::vector<Reply>> rows;
    for (size_t i = 0; i + group <= reply.parts.size(); i += group)
      rows.emplace_back(reply.parts.begin() + static_cast<std::ptrdiff_t>(i),
                        reply.parts.begin() + static_cast<std::ptrdiff_t>(i + group));
    std::sort(rows.begin(), rows.end(),
              [](const auto& a, const auto& b) { return a.front().text < b.front().text; });
    reply.parts.clear();
    for (auto& row : rows) reply.parts.insert(reply.parts.end(), row.begin(), row.end());
  }
  bool same(const Reply& real, const Reply& model) const {
    if (real.kind != model.kind || real.parts.size() != model.parts.size()) return false;
    if (real.kind == Reply::Kind::error)  // only the kind of error must be the same
      return real.text.substr(0, real.text.find(' ')) == model.text.substr(0, model.text.find(' '));
    if (real.number != model.number) return false;
    auto const id = model_of_.find(real.text);
    if ((id == model_of_.end() ? real.text : id->second) != model.text) return false;
    for (size_t i = 0; i < real.parts.size(); ++i)
      if (!same(real.parts[i], model.parts[i])) return false;
    return true;
  }

  redisContext* real_;
  RedisStore model_;
  std::map<std::string, std::string> model_of_;
  std::vector<std::pair<std::string, std::string>> ids_;
  int differences_ = 0;
};

// Sends random commands, as a core does.
class Commands {
 public:
  Commands(Pair& pair, uint64_t seed) : pair_(pair), random_(seed) {}
  void send_one();

 private:
  struct Script {
    std::string real;  // its name in each server
    std::string model;
  };
  Script load(const char* text) {
    Script script;
    script.model = pair_.load(text, script.real);
    return script;
  }
  void evaluate(const Script& script, const Words& keys, const Words& arguments,
                size_t groups = 0) {
    Words real{"EVALSHA", script.real, fmt::format("{}", keys.size())};
    real.insert(real.end(), keys.begin(), keys.end());
    real.insert(real.end(), arguments.begin(), arguments.end());
    Words model = real;
    model[1] = script.model;
    pair_.compare(real, model, groups);
  }
  void commit(const std::string& hunter, const std::string& done, const std::string& event,
              const std::string& request);
  void remove_event();
  void send_wrong_types();

  Pair& pair_;
  Random random_;
  Script commit_ = load(server::scripts::commit);
  Script reserve_ = load(server::scripts::reserve);
  Script settle_ = load(server::scripts::settle);
  Script release_ = load(server::scripts::release);
  Script stale_units_ = load(server::scripts::stale_units);
  Script resolve_ = load(server::scripts::resolve);
  Script stale_events_ = load(server::scripts::stale_events);
  Script probe_ = load(server::scripts::probe);
};

std::string held_key(const std::string& hunter) { return "held:{b1}:" + hunter + ":hunt"; }

void Commands::commit(const std::string& hunter, const std::string& done, const std::string& event,
                      const std::string& request) {
  Words arguments{random_.chance(0.3) ? "0" : "100000", "v1 0 200 b " + event, request,
                  random_.chance(0.3) ? fmt::format("{}", random_.below(30)) : "", hunter};
  for (uint64_t loot = random_.below(4); loot > 0; --loot)
    arguments.insert(arguments.end(),
                     {fmt::format("coin{}", random_.below(3)), "{\"seq\":", ",\"x\":1}"});
  evaluate(commit_, {held_key(hunter), done, "outbox:{b1}"}, arguments);
}

void Commands::remove_event() {
  if (pair_.ids().empty()) return;
  auto const& [real, model] = pair_.ids()[random_.below(pair_.ids().size())];
  pair_.compare({"XDEL", "outbox:{b1}", real}, {"XDEL", "outbox:{b1}", model});
}

// The commit on keys of wrong types and with counts that are not numbers, or full; and the self-test.
void Commands::send_wrong_types() {
  evaluate(probe_, {},
           {"held:{p}:0", "done:{p}:0", "outbox:{p}:0", "supply:{p}:0", "pending:{p}:0",
            "limit:{p}:0", "1"});
  std::string const hunter = fmt::format("w{}", random_.below(1'000'000));
  Words const commit_keys{held_key(hunter), "done:{b1}:" + hunter, "outbox:{b1}:" + hunter};
  Words const wrong[] = {{"SET", commit_keys[0], "x"},
                         {"HSET", commit_keys[1], "a", "b"},
                         {"HSET", commit_keys[2], "a", "b"},
                         {"HSET", commit_keys[0], "coin1", "many"},
                         {"HSET", commit_keys[0], "coin1", "9223372036854775807"},
                         {"HSET", commit_keys[0], "#seq", "many"}};
  pair_.compare(wrong[random_.below(std::size(wrong))]);
  evaluate(commit_, commit_keys,
           {"100000", "v2 0 200 b x", "r1", "", hunter, "coin0", "{", "}", "coin1", "{", "}"});
  for (const std::string& key : commit_keys) {
    pair_.compare({"GET", key});
    pair_.compare({"HGETALL", key}, 2);
    pair_.compare({"PEXPIRE", key, "0"});
  }
}

void Commands::send_one() {
  std::string const hunter = fmt::format("h{}", random_.below(3));
  std::string const key = fmt::format("k{}", random_.below(40));
  std::string const done = "done:{b1}:" + hunter + ":hunt:" + key;
  std::string const event = fmt::format("e{}", random_.below(12));
  std::string const request = fmt::format("r{}", random_.below(3));
  std::string const owner = request + " " + hunter + " " + key;
  Words const supply{"supply:{hunt:loot}", "supply_pending:{hunt:loot}"};
  switch (random_.below(16)) {
    case 0:
    case 1:
    case 2:
      return commit(hunter, done, event, request);
    case 3:
    case 4:
      return evaluate(reserve_, {supply[0], supply[1], "supply_limit:{hunt:loot}"},
                      {event, random_.chance(0.9) ? "8" : "9", owner});
    case 5:
      return evaluate(settle_, supply, {event});
    case 6:
      return evaluate(release_, supply, {event, owner, random_.chance(0.5) ? "1" : "0"});
    case 7:
      return evaluate(stale_units_, supply, {random_.chance(0.5) ? "-60000" : "60000", "100"}, 2);
    case 8:
      return evaluate(resolve_, {done}, {event, request, "100000"});
    case 9:
      return evaluate(
          stale_events_, {"outbox:{b1}"},
          {random_.chance(0.7) ? "-60000" : "60000", random_.chance(0.5) ? "256" : "3"});
    case 10:
      return pair_.compare({"XLEN", "outbox:{b1}"});
    case 11:
      return remove_event();
    case 12:
      pair_.compare({"HGETALL", held_key(hunter)}, 2);
      pair_.compare({"HSETNX", "seed_secret", fmt::format("{}", random_.below(9)), event});
      return pair_.compare({"HGETALL", "seed_secret"}, 2);
    case 13:
      pair_.compare({"GET", done});
      return pair_.compare({"ECHO", done});
    case 14:
      send_wrong_types();
      pair_.compare({"SADD", "supplies", "hunt:" + event});
      return pair_.compare({"SMEMBERS", "supplies"}, 1);
    default:
      // Longer than the test, or at once.
      pair_.compare({"PEXPIRE", done, random_.chance(0.8) ? "100000" : "0"});
      return pair_.compare({"EVALSHA", "0000000000000000000000000000000000000000", "0"});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "redis_store_check PORT SEED\n");
    return 2;
  }
  Pair pair(std::atoi(argv[1]));
  Commands commands(pair, std::strtoull(argv[2], nullptr, 10));
  for (int i = 0; i < commands_sent; ++i) commands.send_one();
  std::printf("%d commands, %d differences\n", commands_sent, pair.differences());
  return pair.differences() == 0 ? 0 : 1;
}
