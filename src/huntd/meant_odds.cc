// SPDX-License-Identifier: Apache-2.0
#include "huntd/meant_odds.h"

#include <cstdlib>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/json_text.h"
#include "base/limits.h"
#include "check/parser.h"
#include "settings/hunt_settings.h"
#include "wire/value.h"

namespace huntd::server {
namespace {

using check::Node;
using check::NodeKind;

// As hunt.pick has it (weight_of in worker/hunt_api.c): 1e999, which is infinite, is not a weight, and
// the sum of all lines of a script is finite.
constexpr double weight_max = 0x1p53;

// A line of a table; without both it is none.
struct Line {
  std::string loot_id;
  std::optional<double> weight;

  bool complete() const {
    return is_id(loot_id) && weight && *weight >= 0 && *weight <= weight_max;
  }
};
using Table = std::vector<Line>;

// The lines of one loot are added up. Nothing if it is not a table of odds.
std::string table_json(const std::string& hunt_id, const Table& table) {
  std::map<std::string, double> weights;
  double sum = 0;
  for (const Line& line : table) {
    if (!line.complete()) return {};
    weights[line.loot_id] += *line.weight;
    sum += *line.weight;
  }
  if (weights.size() < 2 || weights.size() > limits::odds_lines_max || !(sum > 0)) return {};
  std::string lines;
  for (auto const& [loot_id, weight] : weights)
    lines += fmt::format(R"({}{{"loot":"{}","share":{:.6f}}})", lines.empty() ? "" : ",", loot_id,
                         weight / sum);
  return fmt::format(R"({{"hunt":"{}","lines":[{}]}})", hunt_id, lines);
}

// --- in a script ---

Line line_of(const Node* table) {
  Line line;
  for (const Node* const field : table->parts) {
    if (field->parts.size() != 2 || field->parts[0]->kind != NodeKind::text) continue;
    const Node* const value = field->parts[1];
    if (field->parts[0]->text == "loot_id" && value->kind == NodeKind::text)
      line.loot_id = value->text;
    if (field->parts[0]->text == "weight" && value->kind == NodeKind::number)
      line.weight = std::strtod(std::string(value->text).c_str(), nullptr);
  }
  return line;
}

void find_tables(const Node* node, std::vector<Table>& tables) {
  if (node->kind == NodeKind::table) {
    Table table;
    for (const Node* const field : node->parts)
      if (field->parts.size() == 1 && field->parts[0]->kind == NodeKind::table)
        table.push_back(line_of(field->parts[0]));
    if (!table.empty() && table.size() == node->parts.size()) tables.push_back(std::move(table));
  }
  for (const Node* const part : node->parts) find_tables(part, tables);
}

// --- in the settings: a value as wire/value.h has it, which this process has made ---

class Settings {
 public:
  Settings(std::string_view value, std::vector<Table>& tables) : rest_(value), tables_(tables) {}

  // Reads one value. Returns the line that it is, if it is an object.
  Line read();

 private:
  std::string_view take(size_t bytes) {
    std::string_view const taken = rest_.substr(0, bytes);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  template <class Number>
  Number number() {
    Number number{};
    std::string_view const bytes = take(sizeof number);
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(&number));
    return number;
  }
  void read_array();
  Line read_object();

  std::string_view rest_;
  std::vector<Table>& tables_;
  std::string text_;              // the value that was read last, if it was a text
  std::optional<double> number_;  // the same of a number
};

void Settings::read_array() {
  auto const count = number<uint32_t>();
  Table table;
  for (uint32_t i = 0; i < count && !rest_.empty(); ++i) table.push_back(read());
  tables_.push_back(std::move(table));
}

Line Settings::read_object() {
  Line line;
  auto const count = number<uint32_t>();
  for (uint32_t i = 0; i < count && !rest_.empty(); ++i) {
    std::string_view const name = take(number<uint32_t>());
    read();
    if (name == "loot_id") line.loot_id = text_;
    if (name == "weight") line.weight = number_;
  }
  return line;
}

Line Settings::read() {
  auto const tag = number<uint8_t>();
  std::string text;
  std::optional<double> read_number;
  Line line;
  if (tag == VALUE_NUMBER) read_number = number<double>();
  if (tag == VALUE_TEXT) text = take(number<uint32_t>());
  if (tag == VALUE_ARRAY) read_array();
  if (tag == VALUE_OBJECT) line = read_object();
  text_ = std::move(text);
  number_ = read_number;
  return line;
}

std::vector<Table> tables_of(std::string_view script, std::string_view settings) {
  std::vector<Table> tables;
  check::Tokens const tokens = check::split_script(script);
  if (!tokens.broken)
    if (check::Parsed const parsed = check::parse(script, tokens); parsed.chunk != nullptr)
      find_tables(parsed.chunk, tables);
  ReadSettings const read = read_hunt_settings(settings);
  if (read.mistakes.empty()) Settings(read.settings.config, tables).read();
  return tables;
}

}  // namespace

std::string meant_odds(const Bundle& bundle) {
  Result<std::string> const sources = read_sources(bundle);
  if (!sources) return "[]";
  std::string json = "[";
  for (const BundledHunt& hunt : bundle.hunts()) {
    std::string_view const all(*sources);
    size_t found = 0;
    for (const Table& table : tables_of(all.substr(hunt.offset, hunt.bytes),
                                        all.substr(hunt.settings_offset, hunt.settings_bytes))) {
      std::string const text = table_json(hunt.hunt_id, table);
      if (text.empty() || ++found > limits::odds_tables_max) continue;
      if (json.size() + text.size() + 2 > limits::odds_bytes_max) return json + "]";
      json += (json.size() > 1 ? "," : "") + text;
    }
  }
  return json + "]";
}

}  // namespace huntd::server
