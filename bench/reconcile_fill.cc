// SPDX-License-Identifier: Apache-2.0
// What the stores contain after EVENTS awards, for `./dev bench reconcile`:
//   reconcile-fill topic EVENTS SESSIONS   `hunter_id|JSON`, one line per event, as kcat reads it
//   reconcile-fill redis EVENTS SESSIONS   HSET commands for redis-cli --pipe
//   reconcile-fill rows EVENTS SESSIONS    rows of hunt_session for COPY
// Sessions take turns, so nothing is kept in memory.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "wire/generation.h"
#include "wire/redis_keys.h"

namespace {

constexpr uint64_t hunts = 20;
constexpr uint64_t loots = 4;
constexpr uint64_t generation = 0x0193'a1b2'c3d4'0001;
constexpr uint64_t started_at_ms = 1'795'000'000'000;
constexpr size_t flush_bytes = 1 << 20;

struct Session {
  std::string hunter_id;
  std::string hunt_id;
  uint64_t awards = 0;
};

Session session_of(uint64_t number, uint64_t events, uint64_t sessions) {
  return {fmt::format("hunter-{:07}", number / hunts), fmt::format("hunt-{:02}", number % hunts),
          events / sessions + (number < events % sessions ? 1 : 0)};
}

// The loot of seq is loot-(seq % loots).
std::array<uint64_t, loots> counts_of(uint64_t awards) {
  std::array<uint64_t, loots> counts{};
  for (uint64_t loot = 0; loot < loots; ++loot)
    counts[loot] = awards / loots + (loot > 0 && loot <= awards % loots ? 1 : 0);
  return counts;
}

void append_command(std::string& out, const std::vector<std::string>& words) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", words.size());
  for (const std::string& word : words)
    fmt::format_to(std::back_inserter(out), "${}\r\n{}\r\n", word.size(), word);
}

void append_hash(std::string& out, const Session& session) {
  std::vector<std::string> words{
      "HSET", std::string(huntd::keys::held(session.hunter_id, session.hunt_id)),
      "#seq", std::to_string(session.awards),
      "#gen", huntd::generation_text(generation) + " 00000000000000aa"};
  std::array<uint64_t, loots> const counts = counts_of(session.awards);
  for (uint64_t loot = 0; loot < loots; ++loot)
    if (counts[loot] > 0) {
      words.push_back(fmt::format("loot-{}", loot));
      words.push_back(std::to_string(counts[loot]));
    }
  append_command(out, words);
}

// hunter_id, hunt_id, loot, loot_count, seen_upto, generation.
void append_row(std::string& out, const Session& session) {
  std::string loot;
  std::array<uint64_t, loots> const counts = counts_of(session.awards);
  for (uint64_t i = 0; i < loots; ++i)
    if (counts[i] > 0)
      loot += fmt::format(R"({}"loot-{}": {})", loot.empty() ? "" : ", ", i, counts[i]);
  fmt::format_to(std::back_inserter(out), "{}\t{}\t{{{}}}\t{}\t{}\t{}\n", session.hunter_id,
                 session.hunt_id, loot, session.awards, session.awards, generation);
}

void append_event(std::string& out, uint64_t number, uint64_t sessions) {
  uint64_t const seq = number / sessions + 1;
  Session const session = session_of(number % sessions, 0, sessions);
  fmt::format_to(std::back_inserter(out),
                 R"({}|{{"event_id":"{:016x}{:016x}","hunter_id":"{}","hunt_id":"{}",)"
                 R"("loot_id":"loot-{}","seq":{},"gen":"{}","timestamp":{},)"
                 R"("bundle":"00112233445566778899aabbccddeeff"}})"
                 "\n",
                 session.hunter_id, number * 0x9e37'79b9'7f4a'7c15U, number, session.hunter_id,
                 session.hunt_id, seq % loots, seq, huntd::generation_text(generation),
                 started_at_ms + number / 10);
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view const what = argc == 4 ? argv[1] : "";
  uint64_t const events = argc == 4 ? std::strtoull(argv[2], nullptr, 10) : 0;
  uint64_t const sessions = argc == 4 ? std::strtoull(argv[3], nullptr, 10) : 0;
  if (sessions == 0 || events < sessions ||
      (what != "topic" && what != "redis" && what != "rows")) {
    std::fprintf(stderr, "usage: reconcile-fill topic|redis|rows EVENTS SESSIONS\n");
    return 2;
  }
  std::string out;
  uint64_t const count = what == "topic" ? events : sessions;
  for (uint64_t i = 0; i < count; ++i) {
    if (what == "topic")
      append_event(out, i, sessions);
    else if (what == "redis")
      append_hash(out, session_of(i, events, sessions));
    else
      append_row(out, session_of(i, events, sessions));
    if (out.size() < flush_bytes && i + 1 < count) continue;
    if (std::fwrite(out.data(), 1, out.size(), stdout) != out.size()) return 1;
    out.clear();
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
