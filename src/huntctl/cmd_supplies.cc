// SPDX-License-Identifier: Apache-2.0
// huntctl supplies: prints what is left of each shared supply, from Redis.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json_text.h"
#include "drivers/redis_client.h"
#include "drivers/redis_scan.h"
#include "huntctl/commands.h"
#include "huntctl/deadline.h"
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
  uint64_t before = 0;  // of those given: added by a restore, without an event_id
  std::optional<uint64_t> left() const {
    if (!limit) return std::nullopt;
    return *limit > taken ? *limit - taken : 0;
  }
};

using SupplyNames = std::set<std::pair<std::string, std::string>>;  // hunt_id, loot_id

// The names that an older huntd has left and no huntd has moved yet.
Result<void> add_old_names(RedisClient& redis, SupplyNames& names) {
  Result<RedisReply> const members = redis.execute({"SMEMBERS", keys::supplies});
  if (!members) return members.error();
  for (size_t i = 0; i < (*members)->elements; ++i) {
    std::string_view const name = text_of((*members)->element[i]);
    size_t const colon = name.find(':');
    if (colon == std::string_view::npos)
      return Error{
          fmt::format("redis: {} contains {}, which is not hunt_id:loot_id", keys::supplies, name)};
    names.emplace(name.substr(0, colon), name.substr(colon + 1));
  }
  return {};
}

// Adds the supplies of the hunts whose sets a page of SCAN names.
Result<void> add_names(RedisClient& redis, const redisReply& page, SupplyNames& names) {
  for (size_t i = 0; i < page.elements; ++i) redis.append({"SMEMBERS", text_of(page.element[i])});
  for (size_t i = 0; i < page.elements; ++i) {
    Result<RedisReply> const members = redis.read();
    if (!members) return members.error();
    std::string_view const key = text_of(page.element[i]);
    size_t const open = key.find('{');
    size_t const close = key.find('}');
    if (open == std::string_view::npos || close == std::string_view::npos || close < open)
      return Error{fmt::format("redis: the key {} is not supplies:{{HUNT}}", key)};
    std::string const hunt_id(key.substr(open + 1, close - open - 1));
    for (size_t m = 0; m < (*members)->elements; ++m)
      names.emplace(hunt_id, text_of((*members)->element[m]));
  }
  return {};
}

Result<SupplyNames> read_names(RedisClient& redis) {
  SupplyNames names;
  Result<void> const scanned =
      scan_keys(redis, keys::supplies_of("*"), "set",
                [&](const redisReply& page) { return add_names(redis, page, names); });
  if (!scanned) return scanned.error();
  if (Result<void> const added = add_old_names(redis, names); !added) return added.error();
  return names;
}

// 0 if the reply is not a number.
uint64_t number_of(const redisReply* reply) {
  if (reply->type == REDIS_REPLY_INTEGER) return static_cast<uint64_t>(reply->integer);
  std::string_view const digits = text_of(reply);
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

Result<SupplyLine> read_supply(RedisClient& redis, const std::string& hunt_id,
                               const std::string& loot_id) {
  SupplyLine line;
  line.hunt_id = hunt_id;
  line.loot_id = loot_id;
  PoolString const supply = keys::supply(hunt_id, loot_id);
  redis.append({"HLEN", supply});
  redis.append({"HGET", supply, keys::before_field});
  redis.append({"ZCARD", keys::supply_pending(hunt_id, loot_id)});
  redis.append({"GET", keys::supply_limit(hunt_id, loot_id)});
  Result<RedisReply> const fields = redis.read();
  if (!fields) return fields.error();
  Result<RedisReply> const before = redis.read();
  if (!before) return before.error();
  Result<RedisReply> const pending = redis.read();
  if (!pending) return pending.error();
  Result<RedisReply> const limit = redis.read();
  if (!limit) return limit.error();
  bool const restored = (*before)->type == REDIS_REPLY_STRING;
  line.before = number_of(before->get());
  uint64_t const units = number_of(fields->get());
  line.taken = (restored && units > 0 ? units - 1 : units) + line.before;
  // A unit may have been settled between the commands.
  line.reserved = std::min(number_of(pending->get()), line.taken);
  if ((*limit)->type == REDIS_REPLY_STRING) line.limit = number_of(limit->get());
  return line;
}

Result<std::vector<SupplyLine>> read_supplies(const Config& config) {
  PeerCall const waiting("Redis at " + redis_text(config.redis));
  RedisClient redis(config.redis);
  if (Result<void> connected = redis.connect(); !connected) return connected.error();
  Result<SupplyNames> const names = read_names(redis);
  if (!names) return names.error();
  std::vector<SupplyLine> lines;
  for (const auto& [hunt_id, loot_id] : *names) {
    Result<SupplyLine> line = read_supply(redis, hunt_id, loot_id);
    if (!line) return line.error();
    lines.push_back(std::move(*line));
  }
  return lines;
}

std::string text(const std::vector<SupplyLine>& lines) {
  if (lines.empty()) return "no hunt has drawn on a shared supply\n";
  TextTable table;
  for (const char* head : {"hunt", "loot"}) table.add_column(head, TextTable::Align::left);
  for (const char* head : {"limit", "given", "restored", "reserved", "left"})
    table.add_column(head, TextTable::Align::right);
  auto const known = [](std::optional<uint64_t> number) {
    return number ? count_text(*number) : std::string("?");
  };
  for (const SupplyLine& line : lines)
    table.add_row({line.hunt_id, line.loot_id, known(line.limit),
                   count_text(line.taken - line.reserved), count_text(line.before),
                   count_text(line.reserved), known(line.left())});
  return table.str();
}

std::string json(const std::vector<SupplyLine>& lines) {
  auto const known = [](std::optional<uint64_t> number) {
    return number ? json_number(*number) : std::string("null");
  };
  std::string out = R"({"supplies":[)";
  for (const SupplyLine& line : lines) {
    if (out.back() != '[') out += ',';
    out += R"({"hunt_id":)";
    append_json_string(out, line.hunt_id);
    out += R"(,"loot_id":)";
    append_json_string(out, line.loot_id);
    out += fmt::format(R"(,"limit":{},"given":{},"before":{},"reserved":{},"left":{}}})",
                       known(line.limit), known(line.taken - line.reserved), known(line.before),
                       known(line.reserved), known(line.left()));
  }
  return out + "]}";
}

int supplies(const NoOptions&, const Context& context) {
  Result<Config> const config = context.config();
  if (!config) return fail(config.error());
  Result<std::vector<SupplyLine>> const lines = read_supplies(*config);
  if (!lines) return fail(lines.error());
  print_object(json(*lines));
  print(text(*lines));
  return exit_ok;
}

}  // namespace

void add_supplies(CLI::App& app, Context& context) {
  CLI::App* const command =
      app.add_subcommand("supplies", "Print what is left of each shared supply, from Redis");
  set_body(*command, context, std::make_shared<NoOptions>(), &supplies);
}

}  // namespace huntd::huntctl
