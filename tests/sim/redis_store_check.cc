// redis_store_check PORT SEED: the simulation's Redis and a real one are asked the same, and must
// say the same: the real scripts with arguments as huntd's cores give them, and the commands around
// them. Ids of a stream are each server's own and are compared by their place.
#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "award/scripts.h"
#include "base/check.h"
#include "base/clock.h"
#include "redis_store.h"
#include "world.h"

using namespace huntd;
using namespace huntd::sim;

namespace {

constexpr int questions = 5000;

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

  Reply ask_real(const Words& words) {
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

  // Asks both. `groups`: the reply is a table in any order, of rows so long.
  void ask(const Words& real_words, const Words& model_words, size_t groups = 0) {
    Reply real = ask_real(real_words);
    Reply model = model_.execute(model_words);
    note_ids(real, model);
    if (groups > 0) {
      sort(real, groups);
      sort(model, groups);
    }
    if (same(real, model)) return;
    std::string asked;
    for (const std::string& word : model_words) asked += word + " | ";
    std::fprintf(stderr, "asked: %s\nRedis: %smodel: %s", asked.c_str(), real.bytes().c_str(),
                 model.bytes().c_str());
    ++differences_;
  }
  void ask(const Words& words, size_t groups = 0) { ask(words, words, groups); }

  std::string load(const char* script, std::string& real_name) {
    real_name = ask_real({"SCRIPT", "LOAD", script}).text;
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
    if (real.kind == Reply::Kind::error)  // the words may differ, what kind of error it is may not
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

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "redis_store_check PORT SEED\n");
    return 2;
  }
  Pair pair(std::atoi(argv[1]));
  Random random(std::strtoull(argv[2], nullptr, 10));
  struct Script {
    std::string real;
    std::string model;
  };
  auto const load = [&pair](const char* text) {
    Script script;
    script.model = pair.load(text, script.real);
    return script;
  };
  Script const commit = load(scripts::commit);
  Script const reserve = load(scripts::reserve);
  Script const settle = load(scripts::settle);
  Script const release = load(scripts::release);
  Script const stale = load(scripts::stale);
  Script const resolve = load(scripts::resolve);
  Script const overdue = load(scripts::overdue);
  auto const evaluate = [&pair](const Script& script, const Words& keys, const Words& arguments,
                                size_t groups = 0) {
    Words real{"EVALSHA", script.real, fmt::format("{}", keys.size())};
    real.insert(real.end(), keys.begin(), keys.end());
    real.insert(real.end(), arguments.begin(), arguments.end());
    Words model = real;
    model[1] = script.model;
    pair.ask(real, model, groups);
  };

  for (int i = 0; i < questions; ++i) {
    std::string const hunter = fmt::format("h{}", random.below(3));
    std::string const key = fmt::format("k{}", random.below(40));
    std::string const held = "held:{b1}:" + hunter + ":hunt";
    std::string const done = "done:{b1}:" + hunter + ":hunt:" + key;
    std::string const event = fmt::format("e{}", random.below(12));
    std::string const request = fmt::format("r{}", random.below(3));
    std::string const owner = request + " " + hunter + " " + key;
    Words const supply{"supply:{hunt:loot}", "supply_pending:{hunt:loot}"};
    switch (random.below(16)) {
      case 0:
      case 1:
      case 2: {
        Words arguments{random.chance(0.3) ? "0" : "100000", "v1 0 200 b " + event, request,
                        random.chance(0.3) ? fmt::format("{}", random.below(30)) : "", hunter};
        for (uint64_t loot = random.below(4); loot > 0; --loot)
          arguments.insert(arguments.end(),
                           {fmt::format("coin{}", random.below(3)), "{\"seq\":", ",\"x\":1}"});
        evaluate(commit, {held, done, "outbox:{b1}"}, arguments);
        break;
      }
      case 3:
      case 4:
        evaluate(reserve, {supply[0], supply[1], "supply_limit:{hunt:loot}"},
                 {event, random.chance(0.9) ? "8" : "9", owner});
        break;
      case 5:
        evaluate(settle, supply, {event});
        break;
      case 6:
        evaluate(release, supply, {event, owner, random.chance(0.5) ? "1" : "0"});
        break;
      case 7:
        evaluate(stale, supply, {random.chance(0.5) ? "-60000" : "60000", "100"}, 2);
        break;
      case 8:
        evaluate(resolve, {done}, {event, request, "100000"});
        break;
      case 9:
        evaluate(overdue, {"outbox:{b1}"},
                 {random.chance(0.7) ? "-60000" : "60000", random.chance(0.5) ? "256" : "3"});
        break;
      case 10:
        pair.ask({"XLEN", "outbox:{b1}"});
        break;
      case 11: {
        if (pair.ids().empty()) break;
        auto const& [real, model] = pair.ids()[random.below(pair.ids().size())];
        pair.ask({"XDEL", "outbox:{b1}", real}, {"XDEL", "outbox:{b1}", model});
        break;
      }
      case 12:
        pair.ask({"HGETALL", held}, 2);
        break;
      case 13:
        pair.ask({"GET", done});
        pair.ask({"ECHO", done});
        break;
      case 14:
        pair.ask({"SADD", "supplies", "hunt:" + event});
        pair.ask({"SMEMBERS", "supplies"}, 1);
        break;
      default:
        // Long enough for the test, or at once.
        pair.ask({"PEXPIRE", done, random.chance(0.8) ? "100000" : "0"});
        pair.ask({"EVALSHA", "0000000000000000000000000000000000000000", "0"});
        break;
    }
  }
  std::printf("%d questions, %d differences\n", questions, pair.differences());
  return pair.differences() == 0 ? 0 : 1;
}
