// SPDX-License-Identifier: Apache-2.0
// redis_store_check PORT SEED: sends the same commands to the simulated Redis and to a real one,
// which must send the same replies. The commands are the scripts of the ledger, with arguments as
// from a core, and the commands around them. Ids of stream entries and generations differ, because
// time passes between the two: they are compared by their order.
#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <tuple>

#include "base/check.h"
#include "base/clock.h"
#include "core/ledger/commit_script.h"
#include "core/ledger/probe_script.h"
#include "core/ledger/supply_scripts.h"
#include "redis_store.h"
#include "world.h"

using namespace huntd;
using namespace huntd::server::sim;

namespace {

constexpr int commands_sent = 5000;
constexpr const char* outbox = "outbox:{b1}";

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
    choose_stream(model_words);
    note_ids(real, model);
    note_generation(real, model);
    translate(real);
    if (groups > 0) {
      sort(rows_of(real), groups);
      sort(rows_of(model), groups);
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

  // The fields of INFO that huntd reads: names that INFO lacks are differences.
  void compare_info() {
    std::string const real = send_real({"INFO"}).text;
    std::string const model = model_.execute({"INFO"}).text;
    for (const char* name : {"redis_version", "run_id", "used_memory", "maxmemory",
                             "maxmemory_policy", "aof_enabled", "role", "master_replid"})
      for (const std::string* info : {&real, &model}) {
        size_t const at = info->find("\n" + std::string(name) + ":");
        bool const is_id = name == std::string("run_id") || name == std::string("master_replid");
        bool const whole = at != std::string::npos &&
                           (!is_id || info->find("\r\n", at) == at + 2 + std::strlen(name) + 40);
        if (whole) continue;
        std::fprintf(stderr, "INFO of %s: %s is missing\n", info == &real ? "Redis" : "the model",
                     name);
        ++differences_;
      }
  }
  int differences() const { return differences_; }
  // A generation in both stores.
  using Generation = std::pair<std::string, std::string>;
  const std::vector<Generation>& generations() const { return generations_; }
  // The ids of entries of `outbox`.
  const std::vector<std::pair<std::string, std::string>>& ids() const { return ids_; }

 private:
  // An id names an entry of one stream. Two streams may have the same one, and so may a stream that
  // was removed and the next of its name: if both got an entry within one millisecond.
  void choose_stream(const Words& words) {
    if (words[0] == "FLUSHALL") {
      model_of_.clear();
      ids_.clear();
    }
    auto const stream = std::find_if(words.begin(), words.end(), [](const std::string& word) {
      return word.starts_with("outbox:");
    });
    stream_ = stream == words.end() ? "" : *stream;
  }
  // Entries appear in the same order on both sides.
  void note_ids(const Reply& real, const Reply& model) {
    if (is_stream_id(real.text) && is_stream_id(model.text) &&
        model_of_[stream_].try_emplace(real.text, model.text).second && stream_ == outbox)
      ids_.emplace_back(real.text, model.text);
    for (size_t i = 0; i < std::min(real.parts.size(), model.parts.size()); ++i)
      note_ids(real.parts[i], model.parts[i]);
  }
  // The second text in the reply to a commit.
  void note_generation(const Reply& real, const Reply& model) {
    if (real.parts.size() < 2 || model.parts.size() < 2 || real.parts[0].text != "committed")
      return;
    const std::string& text = real.parts[1].text;
    if (!generation_of_.try_emplace(text, model.parts[1].text).second) return;
    generations_.emplace_back(text, model.parts[1].text);
  }
  // Replaces the generations of the real Redis by those of the model.
  void translate(Reply& reply) const {
    for (size_t at = 0; at + digits <= reply.text.size(); ++at) {
      auto const found = generation_of_.find(reply.text.substr(at, digits));
      if (found == generation_of_.end()) continue;
      reply.text.replace(at, digits, found->second);
      at += digits - 1;
    }
    for (Reply& part : reply.parts) translate(part);
  }
  // HSCAN and SSCAN return a cursor and the rows.
  static Reply& rows_of(Reply& reply) {
    bool const scanned = reply.parts.size() == 2 && reply.parts[1].kind == Reply::Kind::array;
    return scanned ? reply.parts[1] : reply;
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
  const std::string& in_model(const std::string& id) const {
    auto const stream = model_of_.find(stream_);
    if (stream == model_of_.end()) return id;
    auto const found = stream->second.find(id);
    return found == stream->second.end() ? id : found->second;
  }
  bool same(const Reply& real, const Reply& model) const {
    if (real.kind != model.kind || real.parts.size() != model.parts.size()) return false;
    if (real.kind == Reply::Kind::error)  // only the kind of error must be the same
      return real.text.substr(0, real.text.find(' ')) == model.text.substr(0, model.text.find(' '));
    if (real.number != model.number) return false;
    if (in_model(real.text) != model.text) return false;
    for (size_t i = 0; i < real.parts.size(); ++i)
      if (!same(real.parts[i], model.parts[i])) return false;
    return true;
  }

  redisContext* real_;
  RedisStore model_;
  static constexpr size_t digits = 16;  // of a generation
  std::string stream_;                  // of the latest commands, empty if they name none
  std::map<std::string, std::map<std::string, std::string>> model_of_;  // ids, by stream
  std::map<std::string, std::string> generation_of_;  // of the real Redis -> of the model
  std::vector<Generation> generations_;
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
  // The same with words that differ: the script's name, and generations.
  void evaluate_commit(const Words& keys, Words real, Words model);
  Pair::Generation some_generation();
  void commit(const std::string& hunter, const std::string& done, const std::string& event,
              const std::string& request);
  void change_held(const std::string& hunter);
  void fill_held();
  void draw(const std::string& event, const std::string& owner);
  void list_supplies(const std::string& event);
  void remove_event();
  void send_wrong_types();

  Pair& pair_;
  Random random_;
  Script commit_ = load(server::scripts::commit);
  Script reserve_ = load(server::scripts::reserve);
  Script settle_ = load(server::scripts::settle);
  Script release_ = load(server::scripts::release);
  Script expire_record_ = load(server::scripts::expire_record);
  Script enlist_ = load(server::scripts::enlist);
  Script drawn_supplies_ = load(server::scripts::drawn_supplies);
  Script remove_drawn_ = load(server::scripts::remove_drawn);
  Script stale_units_ = load(server::scripts::stale_units);
  Script resolve_ = load(server::scripts::resolve);
  Script stale_events_ = load(server::scripts::stale_events);
  Script probe_ = load(server::scripts::probe);
  uint32_t commits_ = 0;
};

std::string held_key(const std::string& hunter) { return "held:{b1}:" + hunter + ":hunt"; }

const std::string no_generation(16, '0');

void Commands::evaluate_commit(const Words& keys, Words real, Words model) {
  Words start{"", "", fmt::format("{}", keys.size())};
  start.insert(start.end(), keys.begin(), keys.end());
  start[0] = "EVALSHA";
  start[1] = commit_.real;
  real.insert(real.begin(), start.begin(), start.end());
  start[1] = commit_.model;
  model.insert(model.begin(), start.begin(), start.end());
  pair_.compare(real, model);
}

Pair::Generation Commands::some_generation() {
  if (pair_.generations().empty()) return {no_generation, no_generation};
  return random_.one_of(pair_.generations());
}

void Commands::commit(const std::string& hunter, const std::string& done, const std::string& event,
                      const std::string& request) {
  std::string const lineage(16, random_.chance(0.9) ? 'a' : 'b');
  // In both stores a later commit has the greater number, also within one millisecond.
  std::string const digits = fmt::format("{:04x}", ++commits_);
  Words real{random_.chance(0.3) ? "0" : "100000",
             "v2 0 200 b " + event,
             request,
             "",
             hunter,
             lineage,
             digits,
             no_generation};
  bool const units = random_.chance(0.3);
  bool const keeps = units && random_.chance(0.5);
  if (units) real.push_back(keeps ? "@" : "+");
  if (keeps) {
    std::string const versions[] = {"-", "1", "2"};
    std::string const states[] = {"", "-", "1 {}", "2 {}"};
    real.push_back(versions[random_.below(std::size(versions))]);
    real.push_back(states[random_.below(std::size(states))]);
  }
  for (uint64_t loot = random_.below(4); loot > 0; --loot) {
    real.insert(real.end(), {fmt::format("coin{}", random_.below(3)), "{\"seq\":", "\",\"x\":1}"});
    uint64_t const count = random_.between(1, 3);
    if (units) real.push_back(fmt::format("{}{}", random_.chance(0.5) ? "-" : "", count));
  }
  Words model = real;
  if (random_.chance(0.3)) {
    auto const [of_real, of_model] = some_generation();
    std::string const seq = fmt::format(" {}", random_.below(30));
    real[3] = of_real + seq;
    model[3] = of_model + seq;
  }
  if (random_.chance(0.1)) std::tie(real[7], model[7]) = some_generation();
  evaluate_commit({held_key(hunter), done, "outbox:{b1}"}, real, model);
}

// By hand, by a restoration, and by an older huntd.
void Commands::change_held(const std::string& hunter) {
  std::string const key = held_key(hunter);
  switch (random_.below(6)) {
    case 0:
      return pair_.compare({"DEL", key});
    case 1:
      return pair_.compare({"HDEL", key, "#gen"});
    case 2:
      return pair_.compare({"HDEL", key, "#before", "#seq"});
    case 3:
      return pair_.compare({"HSET", key, "#gen", random_.chance(0.5) ? "what" : no_generation});
    case 4:
      return pair_.compare(
          {"HSET", key, fmt::format("#was:{:016x}", random_.below(1000)), "3", "#other", "1"});
    default:
      return pair_.compare({"HSET", key, "#seq", random_.chance(0.5) ? "many" : "7"});
  }
}

// A hash with nearly as many loots as it may have.
void Commands::fill_held() {
  std::string const hunter = fmt::format("full{}", random_.below(3));
  Words fill{"HSET", held_key(hunter)};
  for (uint64_t i = random_.between(1000, 1026); i > 0; --i)
    fill.insert(fill.end(), {fmt::format("loot{}", i), "1"});
  pair_.compare(fill);
  for (uint64_t i = 0; i < 3; ++i)
    commit(hunter, fmt::format("done:{{b1}}:{}:hunt:{}", hunter, random_.next()), "e", "r");
  pair_.compare({"HLEN", held_key(hunter)});
  pair_.compare({"DEL", held_key(hunter)});
}

void Commands::remove_event() {
  if (pair_.ids().empty()) return;
  auto const& [real, model] = pair_.ids()[random_.below(pair_.ids().size())];
  pair_.compare({"XDEL", outbox, real}, {"XDEL", outbox, model});
}

// The commit on keys of wrong types and with counts that are not numbers, or full; and the
// self-test.
void Commands::send_wrong_types() {
  evaluate(probe_, {},
           {"held:{p}:0", "done:{p}:0", "outbox:{p}:0", "supply:{p}:0", "pending:{p}:0",
            "limit:{p}:0", "supplies:{p}:0", "drawn:{p}:0", "1"});
  std::string const hunter = fmt::format("w{}", random_.below(1'000'000));
  Words const commit_keys{held_key(hunter), "done:{b1}:" + hunter, "outbox:{b1}:" + hunter};
  std::string const other = "option:" + hunter;
  for (const char* const option : {"XX", "NX", "XX", "NX"}) {
    pair_.compare({"SET", other, option, option});
    pair_.compare({"GET", other});
  }
  pair_.compare({"PEXPIRE", other, "0"});
  Words const wrong[] = {{"SET", commit_keys[0], "x"},
                         {"HSET", commit_keys[1], "a", "b"},
                         {"HSET", commit_keys[2], "a", "b"},
                         {"HSET", commit_keys[0], "coin1", "many"},
                         {"HSET", commit_keys[0], "coin1", "9223372036854775807"},
                         {"HSET", commit_keys[0], "#gen", "many"},
                         {"HSET", commit_keys[0], "#seq", "3", "#before", "many"},
                         {"HSET", commit_keys[0], "#seq", "many"}};
  pair_.compare(wrong[random_.below(std::size(wrong))]);
  Words const words{"100000",
                    "v2 0 200 b x",
                    "r1",
                    "",
                    hunter,
                    std::string(16, 'a'),
                    fmt::format("{:04x}", ++commits_),
                    no_generation,
                    "coin0",
                    "{",
                    "}",
                    "coin1",
                    "{",
                    "}"};
  evaluate_commit(commit_keys, words, words);
  for (const std::string& key : commit_keys) {
    pair_.compare({"GET", key});
    pair_.compare({"HGETALL", key}, 2);
    pair_.compare({"PEXPIRE", key, "0"});
  }
}

void Commands::draw(const std::string& event, const std::string& owner) {
  Words const supply{"supply:{hunt:loot}", "supply_pending:{hunt:loot}"};
  switch (random_.below(8)) {
    case 0:
    case 1:
    case 2:
      return evaluate(
          reserve_, {supply[0], supply[1], "supply_limit:{hunt:loot}"},
          {event, random_.chance(0.9) ? "8" : "9", owner, random_.chance(0.5) ? "1" : "0"});
    case 3:
      return evaluate(settle_, supply, {event, owner, random_.chance(0.5) ? "settling" : "given"});
    case 4:
      return evaluate(release_, supply, {event, owner});
    case 5:
      pair_.compare({"HGETALL", supply[0]}, 2);
      return evaluate(stale_units_, supply, {"60000", "100"});
    case 6:
      if (random_.chance(0.1)) return pair_.compare({"DEL", supply[0]});
      return pair_.compare({"HSET", supply[0], "#before", fmt::format("{}", random_.below(6))});
    default:
      return pair_.compare({"HSET", supply[0], event, "retaken " + owner});
  }
}

void Commands::list_supplies(const std::string& event) {
  std::string const name = "hunt:" + event;
  std::string const shard = "supplies_drawn:{p1}";
  std::string const score = fmt::format("{}", 1'760'000'000'000 + random_.below(12));
  switch (random_.below(8)) {
    case 0:
      return evaluate(enlist_, {"supplies:{hunt}"}, {event, random_.chance(0.5) ? "5" : "1000"});
    case 1:
      pair_.compare({"SREM", "supplies:{hunt}", event});
      return pair_.compare({"SADD", "supplies", name});
    case 2:
      pair_.compare({"SISMEMBER", "supplies", name});
      pair_.compare({"SCARD", "supplies"});
      pair_.compare({"SSCAN", "supplies", "0", "COUNT", "100"}, 1);
      return pair_.compare({"SMEMBERS", "supplies"}, 1);
    case 3:
      return pair_.compare({"SREM", "supplies", name});
    case 4:
      return pair_.compare({"ZADD", shard, score, name});
    case 5:
      return evaluate(drawn_supplies_, {shard},
                      {random_.chance(0.5) ? "+inf" : score, fmt::format("{}", random_.below(3)),
                       random_.chance(0.5) ? "100" : "2"});
    case 6:
      return evaluate(remove_drawn_, {shard}, {name, score});
    default:
      return pair_.compare({"ZSCORE", shard, name});
  }
}

void Commands::send_one() {
  std::string const hunter = fmt::format("h{}", random_.below(3));
  std::string const key = fmt::format("k{}", random_.below(40));
  std::string const done = "done:{b1}:" + hunter + ":hunt:" + key;
  std::string const event = fmt::format("e{}", random_.below(12));
  std::string const request = fmt::format("r{}", random_.below(90));
  switch (random_.below(16)) {
    case 0:
    case 1:
    case 2:
      return commit(hunter, done, event, request);
    case 3:
    case 4:
    case 5:
      return draw(event, fmt::format("r{} {} {}", random_.below(3), hunter, key));
    case 6:
      return list_supplies(event);
    case 7:
      if (random_.chance(0.1)) return fill_held();
      return random_.chance(0.3) ? change_held(hunter) : list_supplies(event);
    case 8:
      // Often of few keys, so that a tombstone has many attempts.
      return evaluate(resolve_, {random_.chance(0.5) ? done : "done:{b1}:h9:hunt:k"},
                      {event, request, "100000", "64"});
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
      pair_.compare({"HSCAN", held_key(hunter), "0", "COUNT", "2048"}, 2);
      pair_.compare({"HMGET", held_key(hunter), "#seq", "coin1", "none"});
      pair_.compare({"HSETNX", "seed_secret", fmt::format("{}", random_.below(9)), event});
      return pair_.compare({"HGETALL", "seed_secret"}, 2);
    case 13:
      pair_.compare({"GET", done});
      pair_.compare({"GET", "done:{b1}:h9:hunt:k"});
      return pair_.compare({"ECHO", done});
    case 14:
      if (random_.chance(0.02)) return pair_.compare({"FLUSHALL"});
      return send_wrong_types();
    default:
      // Longer than the test, or at once.
      evaluate(expire_record_, {done}, {"100000"});
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
  pair.compare_info();
  Commands commands(pair, std::strtoull(argv[2], nullptr, 10));
  for (int i = 0; i < commands_sent; ++i) commands.send_one();
  std::printf("%d commands, %d differences\n", commands_sent, pair.differences());
  return pair.differences() == 0 ? 0 : 1;
}
