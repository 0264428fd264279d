// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/ids.h"
#include "base/nearest.h"
#include "check/literals.h"
#include "check/lua_names.h"
#include "check/uses.h"
#include "wire/worker_frame.h"
#include "zones/zone.h"

namespace huntd::check {
namespace {

constexpr size_t shown_bytes_max = 40;
constexpr std::array<std::string_view, 6> arithmetic = {"+", "-", "*", "/", "%", "^"};
constexpr std::array<std::string_view, 4> order = {"<", ">", "<=", ">="};

std::string_view kind_name(const Node* literal) {
  switch (literal->kind) {
    case NodeKind::nil:
      return "nil";
    case NodeKind::boolean:
      return "true or false";
    case NodeKind::number:
      return "a number";
    case NodeKind::text:
      return "a text";
    case NodeKind::table:
      return "a table";
    default:
      return "a function";
  }
}

// Nothing if it is a number that only Lua reads, or is not a number.
std::optional<double> number_of(const Node* node) {
  bool const negative = node->kind == NodeKind::unary && node->text == "-";
  const Node* const literal = literal_of(negative ? node->parts[0] : node);
  if (literal == nullptr || literal->kind != NodeKind::number) return std::nullopt;
  std::string const text(literal->text);
  char* end = nullptr;
  double const number = std::strtod(text.c_str(), &end);
  if (end != text.c_str() + text.size()) return std::nullopt;
  return negative ? -number : number;
}

// Lua takes a text for a number if it is one, with spaces around it or not.
bool may_be_number(std::string_view shown) {
  if (shown.find('\\') != shown.npos) return true;  // an escape
  std::string const text(shown);
  std::string_view const prefix = shown.substr(0, shown.find_first_of("bB") + 1);
  if (prefix.ends_with("0b") || prefix.ends_with("0B")) return true;  // LuaJIT reads 0b101
  char* end = nullptr;
  (void)std::strtod(text.c_str(), &end);
  if (end == text.c_str()) return false;
  return text.find_first_not_of(" \t\r\n\v\f", static_cast<size_t>(end - text.c_str())) ==
         text.npos;
}

class Values {
 public:
  Values(std::string_view script, const Scopes& scopes, const ScriptFacts& facts)
      : script_(script), scopes_(scopes), facts_(facts) {}
  std::vector<Finding> check(const Node* chunk) {
    visit(chunk);
    return findings_.take();
  }

 private:
  void add(size_t offset, Severity severity, std::string_view code, std::string message,
           std::string help) {
    findings_.add({offset, severity, std::string(code), std::move(message), std::move(help)});
  }
  void error(size_t offset, std::string_view code, std::string message, std::string help) {
    add(offset, sure_ ? Severity::error : Severity::warning, code, std::move(message),
        std::move(help));
  }
  // The value is nil, which fails only if it is needed.
  void missing(const Node* node, std::string_view code, std::string message, std::string help) {
    if (node->read == Read::needed)
      return error(node->offset, code, std::move(message), std::move(help));
    add(node->offset, Severity::warning, code, std::move(message), std::move(help));
  }
  // What is found by it is an error only if it is certain.
  Meant meaning_of(const Node* node) {
    Meant const meant = check::meaning_of(node);
    if (meant.kind != Meaning::unknown) sure_ &= meant.sure;
    return meant;
  }
  // The script sets the field, or asks if it is there.
  bool is_own_field(std::string_view object, std::string_view key) const {
    for (const auto* const fields : {&scopes_.fields_set, &scopes_.fields_asked})
      if (auto const found = fields->find(object);
          found != fields->end() && found->second.contains(key))
        return true;
    return false;
  }
  // As the script writes it; `otherwise` if that is long.
  std::string shown(const Node* node, std::string_view otherwise) const {
    std::string_view const text = script_.substr(node->begin, node->end - node->begin);
    bool const fits = text.size() <= shown_bytes_max && text.find('\n') == std::string_view::npos;
    return std::string(fits ? text : otherwise);
  }

  void visit(const Node* node) {
    bool const outer = std::exchange(sure_, true);
    visit_node(node);
    sure_ = outer;
  }
  void visit_node(const Node* node);
  void visit_parts(const Node* node) {
    for (const Node* const part : node->parts) visit(part);
  }
  void mark_tested(const Node* node);

  void index(const Node* node);
  void hunt_field(const Node* node, std::string_view key);
  void config_field(const Node* node, std::string_view key);
  void library_field(const Node* node, std::string_view library, std::string_view key);
  void method(const Node* node);
  void binary(const Node* node);
  void unary(const Node* node);
  void operand(const Node* node, std::string_view sign);
  void not_called(const Node* node, std::string_view function);
  void loop_in(const Node* node);
  void assign(const Node* node);

  void call(const Node* node);
  void arguments(const Node* node, std::string_view function);
  void award(const Node* node);
  void loot_id(const Node* node);
  void options(const Node* node, std::string_view function);
  void whole_number(const Node* node, std::string_view what, int low, int high,
                    std::string_view help);
  void left(const Node* node);
  void take(const Node* node);
  void random(const Node* node);
  void date(const Node* node);
  void pick(const Node* node);
  void require(const Node* node);
  void text_argument(const Node* node, std::string_view what);

  std::string_view script_;
  const Scopes& scopes_;
  const ScriptFacts& facts_;
  std::set<std::string_view> tested_;    // loot_ids of which the script asks if the hunter has them
  std::set<std::string_view> required_;  // modules that the top-level code has loaded
  size_t functions_ = 0;                 // around the visited node
  bool sure_ = true;                     // of what the visited node is found to be
  FindingList findings_;
};

// The parts of a node are visited in the order of the script: what is tested before is known then.
void Values::visit_node(const Node* node) {
  switch (node->kind) {
    case NodeKind::index:
      index(node);
      break;
    case NodeKind::method:
      method(node);
      break;
    case NodeKind::call:
      call(node);
      break;
    case NodeKind::binary:
      binary(node);
      return;
    case NodeKind::unary:
      unary(node);
      break;
    case NodeKind::choice:
    case NodeKind::loop_while:
      for (size_t i = 0; i < node->parts.size(); ++i) {
        visit(node->parts[i]);
        if (node->parts[i]->kind != NodeKind::block) mark_tested(node->parts[i]);
      }
      return;
    case NodeKind::loop_in:
      loop_in(node);
      break;
    case NodeKind::assign:
      visit_parts(node);
      return assign(node);
    case NodeKind::function:
      ++functions_;
      visit_parts(node);
      --functions_;
      return;
    default:
      break;
  }
  visit_parts(node);
}

// `node` is asked for being true: what it names is not nil behind it, or the script knows that it
// may be.
void Values::mark_tested(const Node* node) {
  if (node->kind == NodeKind::group || (node->kind == NodeKind::unary && node->text == "not"))
    return mark_tested(node->parts[0]);
  if (node->kind == NodeKind::binary && (node->text == "and" || node->text == "or")) {
    mark_tested(node->parts[0]);
    return mark_tested(node->parts[1]);
  }
  if (Meant const meant = meaning_of(node); meant.kind == Meaning::held_count)
    tested_.insert(meant.name);
}

// --- fields ---

void Values::index(const Node* node) {
  const Node* const object = node->parts[0];
  const Node* const key = literal_of(node->parts[1]);
  Meant const meant = meaning_of(object);
  if (meant.kind == Meaning::function) {
    std::string_view const rest = script_.substr(object->end, node->end - object->end);
    bool const held = meant.name == "held" && rest.size() <= shown_bytes_max;
    std::string const called = shown(object, fmt::format("hunt.{}", meant.name));
    return error(object->offset, "function-as-value",
                 fmt::format("{} is a function, and is not called here", called),
                 fmt::format("write {}(){}", called, held ? rest : ""));
  }
  if (key == nullptr || key->kind != NodeKind::text) return;
  if (meant.kind == Meaning::hunt) return hunt_field(node, key->text);
  if (meant.kind == Meaning::value && meant.name == "config") return config_field(node, key->text);
  if (meant.kind == Meaning::held && !is_id(key->text) && key->text.find('\\') == key->text.npos)
    return add(node->parts[1]->begin, Severity::warning, "loot-id",
               fmt::format("no loot can be called \"{}\"", key->text),
               "a loot_id is 1 to 64 of A-Z a-z 0-9 _ . -");
  if (object->kind == NodeKind::name && object->variable == nullptr)
    library_field(node, object->text, key->text);
}

void Values::hunt_field(const Node* node, std::string_view key) {
  if (contains(hunt_names(), key) || is_own_field(node->parts[0]->text, key)) return;
  if (findings_.full(Severity::error) && findings_.full(Severity::warning)) return;
  std::string_view near = replacement_of_hunt_name(key);
  if (near.empty()) near = nearest_name(key, hunt_names());
  std::string all;
  for (std::string_view const name : hunt_names())
    all += fmt::format("{}{}", all.empty() ? "" : ", ", name);
  missing(
      node, "unknown-hunt-name", fmt::format("hunt.{} does not exist", key),
      near.empty() ? fmt::format("hunt has {}", all) : fmt::format("did you mean hunt.{}?", near));
}

// A name in [config] of NAME.toml.
void Values::config_field(const Node* node, std::string_view key) {
  if (!facts_.config_keys || node->read == Read::asked) return;
  std::vector<std::string_view> const keys(facts_.config_keys->begin(), facts_.config_keys->end());
  if (contains(keys, key)) return;
  std::string_view const near = nearest_name(key, keys);
  missing(node, "unknown-config", fmt::format("hunt.config has no {}", key),
          near.empty()
              ? fmt::format("write {} = ... under [config] in the .toml file of this script", key)
              : fmt::format("did you mean {}?", near));
}

void Values::library_field(const Node* node, std::string_view library, std::string_view key) {
  std::span<const std::string_view> const names = library_names(library);
  if (names.empty() || contains(names, key)) return;
  if (scopes_.globals_set.contains(library) || is_own_field(library, key)) return;
  std::string_view const near = nearest_name(key, names);
  std::string help = near.empty() ? fmt::format("{} has no such function in Lua 5.1", library)
                                  : fmt::format("did you mean {}.{}?", library, near);
  if (library == "math" && key.starts_with("random"))
    help = "use hunt.random, which a run can repeat";
  missing(node, "unknown-field", fmt::format("{}.{} does not exist in hunts", library, key), help);
}

void Values::method(const Node* node) {
  if (meaning_of(node->parts[0]).kind != Meaning::hunt) return;
  std::string_view name = node->text;
  if (!contains(hunt_names(), name)) {
    std::string_view const meant = replacement_of_hunt_name(name);
    std::string_view const near = meant.empty() ? nearest_name(name, hunt_names()) : meant;
    if (!near.empty()) name = near;
  }
  error(node->offset, "colon", fmt::format("hunt:{} needs a dot in place of the colon", node->text),
        fmt::format("write hunt.{}", name));
}

// Whether it is a part of hunt.config.
bool is_part_of_config(const Node* node) {
  for (; node->kind == NodeKind::index; node = node->parts[0])
    if (Meant const object = meaning_of(node->parts[0]);
        object.kind == Meaning::value && object.name == "config")
      return true;
  return false;
}

// A count that gets a value is not nil behind that.
void Values::assign(const Node* node) {
  for (size_t i = 0; i < node->count; ++i)
    if (is_part_of_config(node->parts[i]))
      error(node->parts[i]->begin, "read-only", "hunt.config is read-only",
            "keep the value in a local variable");
  for (size_t i = 0; i < node->count; ++i)
    if (Meant const meant = meaning_of(node->parts[i]);
        meant.kind == Meaning::held_count && node->parts[i]->kind == NodeKind::index)
      tested_.insert(meant.name);
}

// --- operators ---

void Values::not_called(const Node* node, std::string_view function) {
  error(node->offset, "function-as-value",
        fmt::format("{} is a function, and is not called here", shown(node, "this")),
        fmt::format("write {}()", shown(node, fmt::format("hunt.{}", function))));
}

void Values::operand(const Node* node, std::string_view sign) {
  Meant const meant = meaning_of(node);
  if (meant.kind == Meaning::function) return not_called(node, meant.name);
  if (meant.kind == Meaning::held)
    return error(node->offset, "held-table",
                 fmt::format("{} is a table of all loot, not a number", shown(node, "this")),
                 fmt::format("name the loot, as in ({}.gold or 0)", shown(node, "held")));
  if (meant.kind == Meaning::held_count && !tested_.contains(meant.name))
    return add(node->begin, Severity::warning, "maybe-nil",
               fmt::format("{} is nil, and not 0, if the hunter has none", shown(node, "this")),
               fmt::format("write ({} or 0)", shown(node, "...")));
  bool const adds = std::ranges::find(arithmetic, sign) != arithmetic.end();
  if (adds && node->kind == NodeKind::text && !may_be_number(node->text))
    error(node->begin, "text-arithmetic",
          fmt::format("{} is for numbers, and this is a text", sign), "to join texts, write ..");
}

void Values::binary(const Node* node) {
  const Node* const left = node->parts[0];
  const Node* const right = node->parts[1];
  visit(left);
  if (node->text == "and") mark_tested(left);
  visit(right);
  bool const equality = node->text == "==" || node->text == "~=";
  if (equality) {
    for (auto const& [one, other] : {std::pair(left, right), std::pair(right, left)}) {
      if (other->kind == NodeKind::nil) mark_tested(one);
      Meant const meant = meaning_of(one);
      bool const literal = literal_of(other) != nullptr && other->kind != NodeKind::nil;
      if (literal && meant.kind == Meaning::function) not_called(one, meant.name);
    }
    return;
  }
  bool const number = std::ranges::find(arithmetic, node->text) != arithmetic.end() ||
                      std::ranges::find(order, node->text) != order.end() || node->text == "..";
  if (!number) return;
  operand(left, node->text);
  operand(right, node->text);
}

void Values::unary(const Node* node) {
  if (node->text == "not") return mark_tested(node->parts[0]);
  Meant const meant = meaning_of(node->parts[0]);
  if (node->text == "-") return operand(node->parts[0], "-");
  if (meant.kind == Meaning::function) return not_called(node->parts[0], meant.name);
  if (meant.kind == Meaning::held)
    add(node->offset, Severity::warning, "held-length",
        "# counts the entries of a list, and what a hunter holds is not a list: this is always 0",
        "count in a loop: for loot_id in pairs(hunt.held()) do");
}

void Values::loop_in(const Node* node) {
  if (node->parts.size() != node->count + 2) return;
  const Node* const through = node->parts[node->count];
  Meant const meant = meaning_of(through);
  if (meant.kind == Meaning::function) return not_called(through, meant.name);
  if (meant.kind != Meaning::held && meant.kind != Meaning::table) return;
  // Lua calls it, which a metatable may allow.
  if (scopes_.with_metatable.contains(literal_of(through))) return;
  error(through->begin, "pairs", "\"for\" cannot go through a table by itself",
        fmt::format("write {}({})", meant.kind == Meaning::held ? "pairs" : "ipairs",
                    shown(through, "...")));
}

// --- calls ---

void Values::call(const Node* node) {
  const Node* const called = node->parts[0];
  Meant const meant = meaning_of(called);
  if (meant.kind == Meaning::value)
    return error(called->offset, "not-a-function",
                 fmt::format("hunt.{} is a value and cannot be called", meant.name),
                 fmt::format("write hunt.{} without ()", meant.name));
  if (meant.kind == Meaning::function) return arguments(node, meant.name);
  if (called->kind != NodeKind::name || called->variable != nullptr || node->parts.size() < 2)
    return;
  if (called->text == "require") return require(node);
  if (called->text == "type" || called->text == "assert") return mark_tested(node->parts[1]);
  if (called->text != "pairs" && called->text != "ipairs" && called->text != "next") return;
  Meant const argument = meaning_of(node->parts[1]);
  if (argument.kind == Meaning::function) not_called(node->parts[1], argument.name);
}

void Values::arguments(const Node* node, std::string_view function) {
  size_t const count = node->parts.size() - 1;
  const Node* const last = node->parts.back();
  if (function == "award") return award(node);
  if (function == "left") return left(node);
  if (function == "take") return take(node);
  if (function == "random") return random(node);
  if (function == "date") return date(node);
  if (function == "pick") return pick(node);
  if (function == "reject" && count > 0) return text_argument(node->parts[1], "a reason");
  if (function == "list" && count > 0) {
    const Node* const literal = literal_of(node->parts[1]);
    if (count > 1 || (literal != nullptr && literal->kind != NodeKind::table))
      error(node->parts[1]->begin, "arguments", "hunt.list takes one table",
            "write hunt.list{...} or hunt.list()");
  }
  if (function != "held" || count == 0) return;
  const Node* const literal = literal_of(last);
  bool const text = literal != nullptr && literal->kind == NodeKind::text;
  error(node->parts[1]->begin, "arguments", "hunt.held takes nothing between ( and )",
        text ? fmt::format("write hunt.held()[\"{}\"]", literal->text)
             : "write hunt.held()[loot_id]");
}

void Values::award(const Node* node) {
  size_t const count = node->parts.size() - 1;
  if (count == 0)
    return error(node->offset, "arguments", "hunt.award does not say which loot",
                 "write the loot_id in quotes, as in hunt.award(\"gold\")");
  if (count > 2)
    return error(node->parts[3]->begin, "arguments",
                 "hunt.award takes a loot_id, and perhaps a limit or a count",
                 "call hunt.award once for each loot; a limit is written {limit = 100}");
  loot_id(node->parts[1]);
  if (count == 2) options(node->parts[2], "award");
}

void Values::text_argument(const Node* node, std::string_view what) {
  Meant const meant = meaning_of(node);
  if (meant.kind == Meaning::function) return not_called(node, meant.name);
  const Node* const literal = literal_of(node);
  bool const reason_left_out =
      literal != nullptr && literal->kind == NodeKind::nil && what == "a reason";
  if (literal == nullptr || literal->kind == NodeKind::text || reason_left_out) return;
  error(node->begin, "arguments", fmt::format("{} is a text, not {}", what, kind_name(literal)),
        literal->kind == NodeKind::number ? fmt::format("write \"{}\" in quotes", literal->text)
                                          : "write a text in quotes");
}

void Values::loot_id(const Node* node) {
  text_argument(node, "a loot_id");
  const Node* const literal = literal_of(node);
  if (literal == nullptr && node->kind == NodeKind::binary && node->text == "..") {
    for (const Node* const part : node->parts) {
      bool const fits = part->kind != NodeKind::text || part->text.empty() || is_id(part->text);
      if (!fits && part->text.find('\\') == part->text.npos)
        error(part->begin, "loot-id", fmt::format("a loot_id cannot have \"{}\" in it", part->text),
              "a loot_id is 1 to 64 of A-Z a-z 0-9 _ . -");
      if (part->kind == NodeKind::binary && part->text == "..") loot_id(part);
    }
    return;
  }
  if (literal == nullptr || literal->kind != NodeKind::text || is_id(literal->text)) return;
  if (literal->text.find('\\') != literal->text.npos) return;
  std::string proposed(literal->text);
  for (char& c : proposed) c = c == ' ' ? '-' : c;
  bool const good = is_id(proposed);
  error(node->begin, "loot-id", fmt::format("\"{}\" cannot be a loot_id", literal->text),
        fmt::format("a loot_id is 1 to 64 of A-Z a-z 0-9 _ . -{}",
                    good ? fmt::format(": write \"{}\"", proposed) : ""));
}

void Values::options(const Node* node, std::string_view function) {
  const Node* const literal = literal_of(node);
  if (literal == nullptr || literal->kind == NodeKind::nil) return;
  if (literal->kind != NodeKind::table) {
    std::string const number = number_of(node) ? shown(node, "100") : "100";
    return error(node->begin, "option",
                 fmt::format("the limit is {}, not in a table", kind_name(literal)),
                 fmt::format("write {{limit = {}}}", number));
  }
  if (literal != node) return;  // a variable: the table may get other fields later
  std::set<std::string_view> named;
  for (const Node* const field : node->parts) {
    const Node* const key = field->parts.size() == 2 ? field->parts[0] : nullptr;
    if (key != nullptr && key->kind != NodeKind::text) return;  // computed
    if (key != nullptr && contains(award_options(), key->text)) {
      named.insert(key->text);
      if (key->text == "limit")
        whole_number(field->parts[1], "a limit", 0, WF_SUPPLY_LIMIT_MAX,
                     "write it without quotes, as in {limit = 100}");
      else
        whole_number(field->parts[1], "a count", 1, WF_LOOT_UNITS_MAX,
                     "write it without quotes, as in {count = 5}");
      continue;
    }
    std::string_view const name = key == nullptr ? "without a name" : key->text;
    std::string_view const near = key == nullptr ? "" : nearest_name(name, award_options());
    return error(field->begin, "option", fmt::format("hunt.{} has no option {}", function, name),
                 near == "count" ? "did you mean count? It is written {count = 5}"
                                 : "did you mean limit? It is written {limit = 100}");
  }
  if (named.empty())
    error(node->begin, "option", "this table has no limit in it",
          "write {limit = 100}, or nothing");
  if (named.size() > 1)
    error(node->begin, "option", "an award has a limit or a count, not both",
          "award one unit with the limit, in a loop");
}

void Values::whole_number(const Node* node, std::string_view what, int low, int high,
                          std::string_view help) {
  const Node* const literal = literal_of(node);
  std::optional<double> const number = number_of(node);
  bool const wrong_number =
      number && !(*number >= low && *number == std::floor(*number) && *number <= high);
  bool const wrong_kind = literal != nullptr && literal->kind != NodeKind::number;
  if (!wrong_number && !wrong_kind) return;
  error(node->begin, "option", fmt::format("{} is a whole number from {} to {}", what, low, high),
        std::string(help));
}

void Values::left(const Node* node) {
  constexpr std::string_view help =
      "write both as for hunt.award, as in hunt.left(\"gold\", {limit = 100})";
  size_t const count = node->parts.size() - 1;
  if (count == 0)
    return error(node->offset, "arguments", "hunt.left does not say which loot", std::string(help));
  if (count > 2)
    return error(node->parts[3]->begin, "arguments", "hunt.left takes a loot_id and a limit",
                 "call hunt.left once for each loot");
  loot_id(node->parts[1]);
  NodeKind const last = node->parts.back()->kind;
  // It may have two values.
  bool const open = last == NodeKind::call || last == NodeKind::method || last == NodeKind::varargs;
  const Node* const literal = count == 2 ? literal_of(node->parts[2]) : nullptr;
  bool const is_nil = literal != nullptr && literal->kind == NodeKind::nil;
  if ((count == 1 && !open) || is_nil)
    return error(node->offset, "arguments", "hunt.left does not say the limit", std::string(help));
  if (count == 1) return;
  if (literal != nullptr && literal == node->parts[2] && literal->kind == NodeKind::table)
    for (const Node* const field : literal->parts)
      if (field->parts.size() == 2 && field->parts[0]->kind == NodeKind::text &&
          field->parts[0]->text == "count")
        return error(field->begin, "option", "hunt.left has no option count", std::string(help));
  options(node->parts[2], "left");
}

void Values::take(const Node* node) {
  size_t const count = node->parts.size() - 1;
  if (count == 0)
    return error(node->offset, "arguments", "hunt.take does not say which loot",
                 "write the loot_id in quotes, as in hunt.take(\"iron\", 3)");
  if (count > 2)
    return error(node->parts[3]->begin, "arguments", "hunt.take takes a loot_id, and how many",
                 "call hunt.take once for each loot");
  loot_id(node->parts[1]);
  const Node* const literal = count == 1 ? nullptr : literal_of(node->parts[2]);
  if (count == 1 || (literal != nullptr && literal->kind == NodeKind::nil)) return;
  whole_number(node->parts[2], "how many", 1, WF_LOOT_UNITS_MAX,
               "write a number, as in hunt.take(\"iron\", 3)");
}

void Values::random(const Node* node) {
  size_t const count = node->parts.size() - 1;
  constexpr std::string_view help =
      "write hunt.random(6) for a number from 1 to 6, or hunt.random(10, 20)";
  if (count > 2)
    return error(node->parts[3]->begin, "arguments", "hunt.random takes at most two numbers",
                 std::string(help));
  for (size_t i = 1; i <= count; ++i) {
    const Node* const literal = literal_of(node->parts[i]);
    Meant const meant = meaning_of(node->parts[i]);
    if (meant.kind == Meaning::function) return not_called(node->parts[i], meant.name);
    if (literal != nullptr && literal->kind != NodeKind::number)
      return error(node->parts[i]->begin, "arguments",
                   fmt::format("hunt.random takes numbers, and this is {}", kind_name(literal)),
                   literal->kind == NodeKind::table ? "to count a list, write # before its name"
                                                    : std::string(help));
  }
  if (count == 0) return;
  std::optional<double> const low = count == 1 ? 1 : number_of(node->parts[1]);
  std::optional<double> const high = number_of(node->parts[count]);
  if (low && high && std::floor(*low) > std::floor(*high))
    error(node->parts[1]->begin, "arguments",
          count == 1 ? "there is no whole number from 1 to this"
                     : "the first number is greater than the second",
          std::string(help));
}

void Values::date(const Node* node) {
  size_t const count = node->parts.size() - 1;
  constexpr std::string_view help = "write it as in hunt.date(\"Europe/Berlin\")";
  if (count > 2)
    return error(node->parts[3]->begin, "arguments",
                 "hunt.date takes a time zone, and perhaps a time in milliseconds",
                 std::string(help));
  const Node* const zone = count == 0 ? nullptr : literal_of(node->parts[1]);
  if (count == 0 || (zone != nullptr && zone->kind == NodeKind::nil)) {
    if (facts_.config_keys && !facts_.has_zone)
      error(node->offset, "arguments", "hunt.date does not say in which time zone",
            std::string(help) + ", or set zone in the .toml file of this script");
  } else if (zone != nullptr && zone->kind != NodeKind::text) {
    error(node->parts[1]->begin, "arguments",
          fmt::format("a time zone is a text, not {}", kind_name(zone)), std::string(help));
  } else if (zone != nullptr && zone->text != "UTC" && zone->text.find('\\') == zone->text.npos) {
    Result<ZoneChanges> const known = read_zone(std::string(zone->text));
    if (known) return;
    std::string const& message = known.error().message;
    size_t const end = std::min(message.find("; "), message.size());
    error(node->parts[1]->begin, "time-zone", message.substr(0, end),
          end == message.size() ? std::string(help) : message.substr(end + 2));
  }
}

void Values::pick(const Node* node) {
  size_t const count = node->parts.size() - 1;
  constexpr std::string_view help =
      "write a list such as { {loot_id = \"gold\", weight = 1}, {loot_id = \"iron\", weight = 9} }";
  const Node* const list = count == 1 ? literal_of(node->parts[1]) : nullptr;
  if (count != 1 || (list != nullptr && list->kind != NodeKind::table))
    return error(node->offset, "arguments", "hunt.pick takes one list", std::string(help));
  if (list == nullptr || list != node->parts[1]) return;  // a variable may get other lines later
  if (list->parts.empty())
    return error(list->begin, "arguments", "this list has no line", std::string(help));
  for (const Node* const field : list->parts) {
    const Node* const line = field->parts.size() == 1 ? field->parts[0] : nullptr;
    if (line == nullptr || line->kind != NodeKind::table) continue;
    bool const weighted = std::ranges::any_of(line->parts, [](const Node* of_line) {
      const Node* const key = of_line->parts.size() == 2 ? of_line->parts[0] : nullptr;
      return key != nullptr && (key->kind != NodeKind::text || key->text == "weight");
    });
    if (!weighted)
      error(line->begin, "weight", "this line has no weight",
            "write weight = 1, or how often it is");
  }
}

// A module that is loaded for the first time inside of a function is not in the image.
void Values::require(const Node* node) {
  const Node* const name = literal_of(node->parts[1]);
  if (name == nullptr || name->kind != NodeKind::text) return;
  if (functions_ == 0)
    required_.insert(name->text);
  else if (!required_.contains(name->text))
    error(node->begin, "require", "a module is loaded at the top of a script, not while it runs",
          fmt::format("write local {0} = require(\"{0}\") before the function", name->text));
}

}  // namespace

std::vector<Finding> check_values(std::string_view script, const Node* chunk, const Scopes& scopes,
                                  const ScriptFacts& facts) {
  return Values(script, scopes, facts).check(chunk);
}

}  // namespace huntd::check
