// SPDX-License-Identifier: Apache-2.0
// huntctl supplies: prints what is left of each shared supply, from Redis.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

#include "base/json_text.h"
#include "drivers/redis_client.h"
#include "huntctl/commands.h"
#include "huntctl/text_table.h"
#include "wire/redis_keys.h"

namespace huntd::huntctl {
namespace {

struct SupplyLine {
  std::string hunt_id;
  std::string loot_id;
  std::optional<uint64_t> limit;  // empty if only an older huntd has drawn, which did not store it
  uint64_t taken = 0;             // given and reserved
  uint64_t reserved = 0;
  std::optional<uint64_t> left() const {
    if (!limit) return std::nullopt;
    return *limit > taken ? *limit - taken : 0;
  }
};

Result<std::vector<SupplyLine>> read_supplies(const Config& config) {
  RedisClient redis(config.redis.address, config.redis.password_file, config.redis.database);
  if (Result<void> connected = redis.connect(); !connected) return connected.error();
  Result<RedisReply> const names = redis.execute({"SMEMBERS", keys::supplies});
  if (!names) return names.error();
  std::vector<SupplyLine> lines;
  for (size_t i = 0; i < (*names)->elements; ++i) {
    std::string_view const name = text_of((*names)->element[i]);
    size_t const colon = name.find(':');
    if (colon == std::string_view::npos)
      return Error{
          fmt::format("redis: {} contains {}, which is not hunt_id:loot_id", keys::supplies, name)};
    SupplyLine& line = lines.emplace_back();
    line.hunt_id = name.substr(0, colon);
    line.loot_id = name.substr(colon + 1);
    redis.append({"HLEN", keys::supply(line.hunt_id, line.loot_id)});
    redis.append({"ZCARD", keys::supply_pending(line.hunt_id, line.loot_id)});
    redis.append({"GET", keys::supply_limit(line.hunt_id, line.loot_id)});
    for (uint64_t* count : {&line.taken, &line.reserved}) {
      Result<RedisReply> const reply = redis.read();
      if (!reply) return reply.error();
      *count = static_cast<uint64_t>((*reply)->integer);
    }
    // A unit may have been settled between the two commands.
    line.reserved = std::min(line.reserved, line.taken);
    Result<RedisReply> const limit = redis.read();
    if (!limit) return limit.error();
    std::string_view const digits = text_of(limit->get());
    uint64_t number = 0;
    if (!digits.empty() &&
        std::from_chars(digits.data(), digits.data() + digits.size(), number).ec == std::errc())
      line.limit = number;
  }
  std::sort(lines.begin(), lines.end(), [](const SupplyLine& a, const SupplyLine& b) {
    return std::tie(a.hunt_id, a.loot_id) < std::tie(b.hunt_id, b.loot_id);
  });
  return lines;
}

std::string text(const std::vector<SupplyLine>& lines) {
  if (lines.empty()) return "no hunt has drawn on a shared supply\n";
  TextTable table;
  for (const char* head : {"hunt", "loot"}) table.add_column(head, TextTable::Align::left);
  for (const char* head : {"limit", "given", "reserved", "left"})
    table.add_column(head, TextTable::Align::right);
  auto const known = [](std::optional<uint64_t> number) {
    return number ? count_text(*number) : std::string("?");
  };
  for (const SupplyLine& line : lines)
    table.add_row({line.hunt_id, line.loot_id, known(line.limit),
                   count_text(line.taken - line.reserved), count_text(line.reserved),
                   known(line.left())});
  return table.str();
}

std::string json(const std::vector<SupplyLine>& lines) {
  auto const known = [](std::optional<uint64_t> number) {
    return number ? std::to_string(*number) : std::string("null");
  };
  std::string out = R"({"supplies":[)";
  for (const SupplyLine& line : lines) {
    if (out.back() != '[') out += ',';
    out += R"({"hunt_id":)";
    append_json_string(out, line.hunt_id);
    out += R"(,"loot_id":)";
    append_json_string(out, line.loot_id);
    out += fmt::format(R"(,"limit":{},"given":{},"reserved":{},"left":{}}})", known(line.limit),
                       line.taken - line.reserved, line.reserved, known(line.left()));
  }
  return out + "]}\n";
}

int supplies(const bool& as_json, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error().message);
  Result<std::vector<SupplyLine>> const lines = read_supplies(*config);
  if (!lines) return fail(lines.error().message);
  std::fputs((as_json ? json(*lines) : text(*lines)).c_str(), stdout);
  return exit_ok;
}

}  // namespace

void add_supplies(CLI::App& app, Context& context) {
  auto const as_json = std::make_shared<bool>(false);
  CLI::App* const command =
      app.add_subcommand("supplies", "Print what is left of each shared supply, from Redis");
  command->add_flag("--json", *as_json, "Print one JSON object");
  set_body(*command, context, as_json, &supplies);
}

}  // namespace huntd::huntctl
