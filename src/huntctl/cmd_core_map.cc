// SPDX-License-Identifier: Apache-2.0
// huntctl core-map: prints the buckets of each core, or the core of one hunter.
#include <fmt/format.h>
#include <simdjson.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/hash.h"
#include "base/ids.h"
#include "huntctl/commands.h"
#include "huntctl/http_call.h"
#include "huntctl/json_response.h"
#include "huntctl/text_table.h"

namespace huntd::huntctl {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;

struct Options {
  std::string http;
  std::string hunter_id;
};

struct Map {
  std::string hash;
  std::vector<bool> up;           // per core
  std::vector<uint64_t> core_of;  // per bucket
};

Result<Map> read_map(const std::string& json) {
  return parse_response(json, "core map", [](element document) -> Result<Map> {
    Map map;
    map.hash = std::string_view(document["hash"]);
    for (element const up : array(document["up"])) map.up.push_back(bool(up));
    for (element const core : array(document["map"])) {
      map.core_of.push_back(uint64_t(core));
      if (map.core_of.back() >= map.up.size())
        return Error{"the core map refers to a core that does not exist"};
    }
    static_cast<void>(uint64_t(document["seed"]));
    if (map.core_of.empty() || uint64_t(document["buckets"]) != map.core_of.size() ||
        uint64_t(document["cores"]) != map.up.size())
      return Error{"the server is not huntd: its core map contradicts itself"};
    return map;
  });
}

int show_hunter(const Map& map, const std::string& hunter_id) {
  uint32_t const bucket = bucket_of(hunter_id);
  if (map.hash != "xxh3-64" || map.core_of.size() != limits::buckets)
    return fail(fmt::format("this version of huntctl does not support {} with {} buckets", map.hash,
                            map.core_of.size()));
  uint64_t const core = map.core_of[bucket];
  print_object(fmt::format(R"({{"hunter_id":{},"bucket":{},"core":{},"up":{}}})",
                           json_string(hunter_id), bucket, core, bool(map.up[core])));
  print(fmt::format("{}: bucket {}, core {}{}\n", hunter_id, bucket, core,
                    map.up[core] ? "" : ", which is down: the next core up takes its requests"));
  return exit_ok;
}

int show_cores(const Map& map) {
  std::vector<uint64_t> buckets(map.up.size());
  for (uint64_t const core : map.core_of) ++buckets[core];
  TextTable table;
  table.add_column("core", TextTable::Align::right);
  table.add_column("state", TextTable::Align::left);
  table.add_column("buckets", TextTable::Align::right);
  table.add_column("share", TextTable::Align::right);
  for (size_t core = 0; core < map.up.size(); ++core)
    table.add_row({std::to_string(core), map.up[core] ? "up" : "down", count_text(buckets[core]),
                   fmt::format("{:.1f} %", 100.0 * static_cast<double>(buckets[core]) /
                                               static_cast<double>(map.core_of.size()))});
  print(
      fmt::format("{} buckets by {}(hunter_id)\n\n{}", map.core_of.size(), map.hash, table.str()));
  return exit_ok;
}

int core_map(const Options& options, const Context& context) {
  if (!options.hunter_id.empty() && !is_path_id(options.hunter_id))
    return fail_usage(
        "a hunter_id has 1 to 64 of the characters A-Z a-z 0-9 _ . -, and is not . or ..");
  Result<PublicPort> const port = context.public_port(options.http);
  if (!port) return fail(port.error());
  Result<HttpResponse> const response =
      http_get(port->address, PublicPort::name, "/v1/core-map", port->headers);
  if (!response) return fail(response.error());
  if (response->status == 401) return fail("huntd requires a token: give --token-file FILE");
  if (response->status != 200)
    return fail(
        fmt::format("{} responds to /v1/core-map with status {}: is it huntd's public port?",
                    port->address, response->status));
  Result<std::string> object = object_of(response->body, "core map");
  if (!object) return fail(object.error());
  Result<Map> const map = read_map(response->body);
  if (!map) return fail(map.error());
  print_object(std::move(*object));
  return options.hunter_id.empty() ? show_cores(*map) : show_hunter(*map, options.hunter_id);
}

}  // namespace

void add_core_map(CLI::App& app, Context& context) {
  auto const options = std::make_shared<Options>();
  CLI::App* const command =
      app.add_subcommand("core-map", "Print the buckets of each core, or the core of one hunter");
  add_http_option(*command, options->http);
  command->add_option("--hunter", options->hunter_id, "Print the bucket and core of this hunter");
  set_body(*command, context, options, &core_map);
}

}  // namespace huntd::huntctl
