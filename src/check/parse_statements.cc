// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/nearest.h"
#include "check/open_blocks.h"
#include "check/parser.h"

namespace huntd::check {
namespace {

constexpr size_t shown_bytes_max = 40;

bool ends_block(const Token& token) {
  return token.kind == TokenKind::end || token.is("end") || token.is("else") ||
         token.is("elseif") || token.is("until");
}

bool is_value(const Token& token) {
  return token.kind == TokenKind::text || token.kind == TokenKind::number ||
         token.kind == TokenKind::name;
}

// A word with which other languages begin a line, and what Lua has in its place.
struct Foreign {
  std::string_view word;
  std::string_view help;
};
constexpr std::string_view make_variable = "to make a variable, write local and its name";
constexpr std::string_view make_elseif = "write elseif, as one word";
constexpr std::string_view make_function = "write the word function";
constexpr Foreign foreign_words[] = {
    {"var", make_variable},
    {"let", make_variable},
    {"const", make_variable},
    {"int", make_variable},
    {"float", make_variable},
    {"double", make_variable},
    {"string", make_variable},
    {"bool", make_variable},
    {"number", make_variable},
    {"auto", make_variable},
    {"elif", make_elseif},
    {"elsif", make_elseif},
    {"func", make_function},
    {"def", make_function},
    {"fn", make_function},
    {"fun", make_function},
    {"switch", "Lua has no switch: write if, elseif and else"},
    {"case", "Lua has no case: write if, elseif and else"},
    {"foreach", "write for i, value in ipairs(list) do"},
    {"import", "a hunt is one file: it cannot load another"},
};

}  // namespace

Parsed parse(std::string_view script, const Tokens& tokens) {
  return Parser(script, tokens).parse();
}

// --- tokens, nodes, findings ---

bool Parser::take(std::string_view sign_or_keyword) {
  if (!now().is(sign_or_keyword)) return false;
  step();
  return true;
}

bool Parser::in_this_line(std::string_view keyword) const {
  for (size_t at = at_; at < tokens_.size() && tokens_[at].line == now().line; ++at)
    if (tokens_[at].is(keyword)) return true;
  return false;
}

bool Parser::starts_value() const {
  const Token& token = now();
  if (token.kind == TokenKind::name || token.kind == TokenKind::number ||
      token.kind == TokenKind::text)
    return true;
  constexpr std::array<std::string_view, 7> starts = {"nil", "true", "false",   "...",
                                                      "{",   "not",  "function"};
  return std::ranges::any_of(starts, [&](std::string_view start) { return token.is(start); });
}

Node* Parser::make(NodeKind kind, const Token& token) {
  Node& node = parsed_.nodes.emplace_back();
  node.kind = kind;
  node.text = token.text;
  node.offset = node.begin = token.offset;
  node.end = token.end();
  return &node;
}

void Parser::adopt(Node* parent, Node* part) {
  if (part == nullptr) return;
  parent->parts.push_back(part);
  parent->depth = std::max(parent->depth, part->depth + 1);
}

Node* Parser::done(Node* node) {
  node->end = std::max(node->end, before().end());
  if (node->depth > tree_depth_max) failed_ = true;
  return failed_ ? nullptr : node;
}

void Parser::note(size_t offset, std::string_view code, std::string message, std::string help) {
  if (parsed_.findings.size() >= findings_max) return;
  parsed_.findings.push_back(
      {offset, Severity::error, std::string(code), std::move(message), std::move(help)});
}

Node* Parser::fail(size_t offset, std::string_view code, std::string message, std::string help) {
  if (!failed_ && !uncertain_) note(offset, code, std::move(message), std::move(help));
  failed_ = true;
  return nullptr;
}

Node* Parser::fail_unexpected() {
  const Token& token = now();
  if (token.kind == TokenKind::end)
    return fail(before().offset, "unexpected", "the file ends too early, behind this",
                "write what is missing behind it");
  std::string_view const shown =
      script_.substr(token.offset, std::min(token.bytes, shown_bytes_max));
  return fail(token.offset, "unexpected", fmt::format("Lua does not expect {} here", shown),
              "something is missing before it, or it is one too many");
}

Node* Parser::fail_one_equals() {
  return fail(now().offset, "one-equals", "\"=\" sets a value; it does not compare",
              "to compare, write ==");
}

bool Parser::in_choice() const {
  for (auto at = opened_.rbegin(); at != opened_.rend() && !tokens_[*at].is("function"); ++at)
    if (tokens_[*at].is("if")) return true;
  return false;
}

Node* Parser::fail_without_opener() {
  return fail(now().offset, "no-opener",
              fmt::format("this \"{}\" belongs to no \"{}\"", now().text,
                          now().is("until") ? "repeat" : "if"),
              "look above for an \"end\" that came too early");
}

Node* Parser::fail_open_block() {
  if ((now().is("else") || now().is("elseif")) && !in_choice()) return fail_without_opener();
  std::optional<OpenBlock> const found = find_open_block(tokens_, at_);
  size_t const opened = found ? found->opened : opened_.empty() ? 0 : opened_.back();
  const Token& token = tokens_[opened];
  if (found && found->else_if)
    return fail(tokens_[*found->else_if].offset, "else-if",
                "\"else if\" begins a second \"if\", which needs an \"end\" of its own",
                "write elseif, as one word");
  std::string_view const close = token.is("repeat") ? "until" : "end";
  bool const place_known = found && tokens_[found->end_before].kind != TokenKind::end;
  std::string const place = place_known ? fmt::format("on a line of its own before line {}",
                                                      tokens_[found->end_before].line)
                                        : "below the last line that belongs to it";
  return fail(token.offset, "missing-end",
              fmt::format("this \"{}\" has no \"{}\"", token.text, close),
              fmt::format("write {} {}", close, place));
}

// --- statements ---

Parsed Parser::parse() {
  Node* const chunk = block();
  if (failed_ || chunk == nullptr) return std::move(parsed_);
  if (now().kind == TokenKind::end) {
    parsed_.chunk = chunk;
    return std::move(parsed_);
  }
  for (size_t at = 0; at + 1 < at_; ++at)
    if (tokens_[at].kind == TokenKind::name && tokens_[at].text.size() > 5 &&
        edit_distance(tokens_[at].text, "function") <= 2) {
      fail(tokens_[at].offset, "misspelt-word",
           fmt::format("Lua does not know {}", tokens_[at].text), "did you mean function?");
      return std::move(parsed_);
    }
  if (now().is("end"))
    fail(now().offset, "extra-end", "this \"end\" is one too many: nothing is open here",
         "remove it, or look above for an \"end\" that came too early");
  else
    fail_without_opener();
  return std::move(parsed_);
}

Node* Parser::block() {
  Node* const all = make(NodeKind::block, now());
  while (!failed_ && !ends_block(now())) {
    if (take(";")) continue;
    const Token& first = now();
    bool const last = first.is("return") || first.is("break");
    Node* const one = statement();
    if (one == nullptr) return nullptr;
    adopt(all, one);
    if (!last) continue;
    take(";");
    if (ends_block(now())) break;
    return fail_after_last(first);
  }
  return done(all);
}

Node* Parser::fail_after_last(const Token& last) {
  if (now().is("=") && same_line()) return fail_one_equals();
  if (find_open_block(tokens_, at_)) return fail_open_block();
  if (opened_.empty() && before().is("end"))
    return fail(before().offset, "extra-end",
                "this \"end\" ends the function of the hunt, but more lines follow",
                "remove it, or look above for an \"end\" that is one too many");
  return fail(now().offset, "after-last",
              fmt::format("this is never reached: \"{}\" ends the block", last.text),
              fmt::format("remove it, or put it before the {}", last.text));
}

bool Parser::close_block(size_t opened) {
  if (failed_) return false;
  if (!take("end")) {
    fail_open_block();
    return false;
  }
  while (!opened_.empty() && opened_.back() >= opened) opened_.pop_back();
  return true;
}

Node* Parser::statement() {
  if (++level_ > parse_level_max) {
    failed_ = true;
    return nullptr;
  }
  const Token& token = now();
  Node* made = nullptr;
  if (token.is("if")) {
    made = choice();
  } else if (token.is("while")) {
    made = loop_while();
  } else if (token.is("for")) {
    made = loop_for();
  } else if (token.is("repeat")) {
    made = loop_repeat();
  } else if (token.is("do")) {
    size_t const opened = at_;
    opened_.push_back(opened);
    step();
    made = block();
    if (made != nullptr && !close_block(opened)) made = nullptr;
  } else if (token.is("function")) {
    made = function_statement();
  } else if (token.is("local")) {
    made = local();
  } else if (token.is("return")) {
    made = returns();
  } else if (token.is("break")) {
    made = make(NodeKind::other, token);
    step();
  } else if (token.kind == TokenKind::name && token.text == "goto" &&
             after().kind == TokenKind::name) {
    made = make(NodeKind::other, token);
    step();
    step();
  } else if (token.is("::")) {
    made = make(NodeKind::other, token);
    for (int part = 0; part < 3; ++part) step();
  } else if (token.kind == TokenKind::name || token.is("(")) {
    made = call_or_assign();
  } else {
    made = foreign_statement();
  }
  --level_;
  return made;
}

Node* Parser::choice() {
  size_t const opened = at_;
  Node* const node = make(NodeKind::choice, now());
  opened_.push_back(opened);
  std::string_view word = now().text;
  do {
    step();
    if (!condition(node, "then", word)) return nullptr;
    Node* const body = block();
    if (body == nullptr) return nullptr;
    adopt(node, body);
    word = now().text;
  } while (now().is("elseif"));
  if (take("else")) {
    Node* const body = block();
    if (body == nullptr) return nullptr;
    adopt(node, body);
    if (now().is("else") || now().is("elseif"))
      return fail(now().offset, "else-order",
                  fmt::format("\"{}\" comes behind the \"else\" of the same \"if\"", now().text),
                  "put \"else\" last");
  }
  return close_block(opened) ? done(node) : nullptr;
}

bool Parser::condition(Node* parent, std::string_view keyword, std::string_view word) {
  bool const outer = std::exchange(in_condition_, true);
  Node* const asked = value();
  in_condition_ = outer;
  if (asked == nullptr) return false;
  adopt(parent, asked);
  return end_of_condition(parent, keyword, word);
}

bool Parser::end_of_condition(Node* parent, std::string_view keyword, std::string_view word) {
  while (now().is("=") && keyword == (word == "while" ? "do" : "then")) {
    note(now().offset, "one-equals", "\"=\" sets a value; it does not compare",
         "to compare, write ==");
    step();
    Node* const right = value();
    if (right == nullptr) return false;
    adopt(parent->parts.back(), right);
  }
  if (take(keyword)) return true;
  return missing_word(keyword, word);
}

bool Parser::missing_word(std::string_view keyword, std::string_view word) {
  // A search through the line for each of them would take long.
  if (parsed_.findings.size() >= findings_max) failed_ = true;
  if (failed_) return false;
  const Token& token = now();
  if (token.is("then") || token.is("do")) {
    note(token.offset, fmt::format("missing-{}", keyword),
         fmt::format("\"{}\" goes on with \"{}\", not with \"{}\"", word, keyword, token.text),
         fmt::format("write {}", keyword));
    step();
    return true;
  }
  if (token.is(":") && after().line > token.line) {
    note(token.offset, fmt::format("missing-{}", keyword),
         fmt::format("\"{}\" goes on with \"{}\", not with \":\"", word, keyword),
         fmt::format("write {}", keyword));
    step();
    return true;
  }
  if (token.is("{")) {
    fail(token.offset, "braces", "Lua does not put the lines of a block between { and }",
         fmt::format("write {} in place of {{ and end in place of }}", keyword));
    return false;
  }
  bool const new_line = token.first_in_line || token.kind == TokenKind::end;
  if (!new_line && (in_this_line(keyword) || token.kind == TokenKind::number ||
                    token.kind == TokenKind::text || token.kind == TokenKind::sign)) {
    fail_unexpected();
    return false;
  }
  note(before().end(), fmt::format("missing-{}", keyword),
       fmt::format("the \"{}\" of this \"{}\" is missing", keyword, word),
       fmt::format("write {} here", keyword));
  return true;
}

Node* Parser::loop_while() {
  size_t const opened = at_;
  Node* const node = make(NodeKind::loop_while, now());
  opened_.push_back(opened);
  step();
  if (!condition(node, "do", "while")) return nullptr;
  adopt(node, block());
  return close_block(opened) ? done(node) : nullptr;
}

Node* Parser::loop_repeat() {
  size_t const opened = at_;
  Node* const node = make(NodeKind::loop_repeat, now());
  opened_.push_back(opened);
  step();
  adopt(node, block());
  if (failed_) return nullptr;
  if (!take("until")) return fail_open_block();
  while (!opened_.empty() && opened_.back() >= opened) opened_.pop_back();
  adopt(node, value());
  return failed_ ? nullptr : done(node);
}

Node* Parser::loop_for() {
  size_t const opened = at_;
  Node* const node = make(NodeKind::loop_number, now());
  opened_.push_back(opened);
  step();
  if (now().is("("))
    return fail(now().offset, "for", "Lua does not count like this", "write for i = 1, 10 do");
  if (!names(node)) return nullptr;
  if (node->count == 1 && take("=")) {
    adopt(node, value());
    if (failed_) return nullptr;
    if (!take(","))
      return fail(now().offset, "for", "here a comma and the last number are expected",
                  "write for i = 1, 10 do");
    values(node);
  } else if (take("in")) {
    node->kind = NodeKind::loop_in;
    values(node);
  } else {
    return fail(now().offset, "for", "Lua does not expect this behind \"for\"",
                "write for i = 1, 10 do, or for i, value in ipairs(list) do");
  }
  if (failed_ || !end_of_condition(node, "do", "for")) return nullptr;
  adopt(node, block());
  return close_block(opened) ? done(node) : nullptr;
}

bool Parser::names(Node* parent) {
  do {
    Node* const one = name();
    if (one == nullptr) return false;
    adopt(parent, one);
    ++parent->count;
  } while (take(","));
  return true;
}

void Parser::values(Node* parent) {
  do {
    adopt(parent, value());
  } while (!failed_ && take(","));
}

Node* Parser::local() {
  const Token& begin = now();
  step();
  if (now().is("function")) return local_function(begin);
  Node* const node = make(NodeKind::local, begin);
  if (!names(node)) return nullptr;
  if (now().is(".") || now().is("[") || now().is(":"))
    return fail(now().offset, "local-name", "behind \"local\" comes a plain name, without a dot",
                "remove the word local");
  if (now().is("==")) {
    note(now().offset, "two-equals", "\"==\" compares; it does not set a value",
         "to set a value, write =");
    step();
    values(node);
  } else if (take("=")) {
    values(node);
  } else if (same_line() && (now().kind == TokenKind::number || now().kind == TokenKind::text)) {
    return fail(before().end(), "missing-equals", "the \"=\" is missing here",
                "write local name = value");
  } else {
    (void)other_assignment(node->parts.back());  // the variable is made all the same
  }
  return failed_ ? nullptr : done(node);
}

Node* Parser::local_function(const Token& begin) {
  Node* const node = make(NodeKind::local_function, begin);
  size_t const opened = at_;
  step();
  Node* const called = name();
  if (called == nullptr) return nullptr;
  adopt(node, called);
  adopt(node, function_body(opened, false));
  return failed_ ? nullptr : done(node);
}

Node* Parser::function_statement() {
  Node* const node = make(NodeKind::assign, now());
  size_t const opened = at_;
  step();
  if (now().is("("))
    return fail(now().offset, "function-name", "this function has no name",
                "write a name before the (, as in function give(hunt)");
  Node* target = name();
  bool has_self = false;
  while (target != nullptr && !has_self && (now().is(".") || now().is(":"))) {
    has_self = now().is(":");
    step();
    Node* const index = make(NodeKind::index, now());
    Node* const key = name();
    if (key == nullptr) return nullptr;
    key->kind = NodeKind::text;
    adopt(index, target);
    adopt(index, key);
    target = index;
  }
  if (target == nullptr) return nullptr;
  node->count = 1;
  adopt(node, target);
  adopt(node, function_body(opened, has_self));
  return failed_ ? nullptr : done(node);
}

Node* Parser::returns() {
  Node* const node = make(NodeKind::returns, now());
  step();
  if (!ends_block(now()) && !now().is(";")) values(node);
  return failed_ ? nullptr : done(node);
}

Node* Parser::call_or_assign() {
  Node* const first = suffixed();
  if (first == nullptr) return nullptr;
  if (now().is("=") || now().is(",")) return assign(first);
  if (first->kind == NodeKind::call || first->kind == NodeKind::method) return first;
  bool const comment = script_.substr(before().end()).starts_with("--");
  bool const variable = first->kind == NodeKind::name || first->kind == NodeKind::index;
  if (comment && variable && !same_line()) {
    note(before().end(), "increment", "\"--\" begins a comment in Lua",
         fmt::format("to subtract one, write {0} = {0} - 1", name_in_help(first)));
    return first;
  }
  if (Node* const made = other_assignment(first)) return made;
  return failed_ ? nullptr : no_statement(first);
}

Node* Parser::assign(Node* first) {
  Node* const node = make(NodeKind::assign, now());
  node->begin = first->begin;
  adopt(node, first);
  while (take(",")) {
    Node* const target = suffixed();
    if (target == nullptr) return nullptr;
    adopt(node, target);
  }
  node->count = node->parts.size();
  for (const Node* const target : node->parts)
    if (target->kind != NodeKind::name && target->kind != NodeKind::index)
      return fail(target->begin, "assign", "this cannot get a value",
                  "before \"=\" comes a name, or a field of a table");
  if (!take("=")) return fail_unexpected();
  values(node);
  return failed_ ? nullptr : done(node);
}

std::string_view Parser::name_in_help(const Node* target) const {
  std::string_view const shown = script_.substr(target->begin, target->end - target->begin);
  return shown.size() > shown_bytes_max ? "x" : shown;
}

// x += 1 and x++, which other languages have; null if it is none of them.
Node* Parser::other_assignment(Node* target) {
  std::string_view const sign = now().text;
  std::string_view const name = name_in_help(target);
  if (now().is("++")) {
    note(now().offset, "increment", "++ does not exist in Lua",
         fmt::format("to add one, write {0} = {0} + 1", name));
    step();
    return target;
  }
  constexpr std::array<std::string_view, 5> with_equals = {"+=", "-=", "*=", "/=", "..="};
  if (now().kind != TokenKind::sign || std::ranges::find(with_equals, sign) == with_equals.end())
    return nullptr;
  note(now().offset, "compound-assign", fmt::format("{} does not exist in Lua", sign),
       fmt::format("write {0} = {0} {1} ...", name, sign.substr(0, sign.size() - 1)));
  Node* const node = make(NodeKind::assign, now());
  step();
  node->count = 1;
  adopt(node, target);
  values(node);
  return failed_ ? nullptr : done(node);
}

Node* Parser::no_statement(Node* value) {
  if (now().is("=="))
    return fail(now().offset, "two-equals", "\"==\" compares; it does not set a value",
                "to set a value, write =");
  if (now().is("?"))
    return fail(now().offset, "not-lua",
                "Lua has no ? and :", "write condition and value or other");
  if (Node* const made = misspelt_statement(value); made != nullptr || failed_) return made;
  const auto behind = [&](const Token& token) { return token.end() <= value->begin; };
  auto const next = std::ranges::find_if_not(tokens_, behind);
  if (next != tokens_.begin() && next != tokens_.end() && !next->first_in_line) {
    const Token& last = *(next - 1);
    if (last.kind == TokenKind::text && last.end() == next->offset)
      return fail(next->offset, "missing-operator", "the text before this ends within a word",
                  "a text with ' in it is written in double quotes: \"don't\"");
    if (is_value(last))
      return fail(next->offset, "missing-operator", "two values follow each other",
                  "to join texts, write .. between them; to list values, a comma");
  }
  std::string_view const shown = script_.substr(value->begin, value->end - value->begin);
  if (shown.size() > shown_bytes_max || value->kind == NodeKind::group)
    return fail(value->begin, "no-statement", "this does nothing",
                "a line sets a value, calls a function, or begins with a word of Lua");
  return fail(value->begin, "no-statement", fmt::format("{} alone does nothing", shown),
              fmt::format("to call it, write {0}(); to set it, write {0} = ...", shown));
}

// A line that begins with a word which is not of Lua.
Node* Parser::misspelt_statement(const Node* value) {
  bool const goes_on = same_line() && (starts_value() || now().kind == TokenKind::keyword);
  if (value->kind != NodeKind::name || !goes_on) return nullptr;
  std::string const message = fmt::format("Lua does not know the word {} here", value->text);
  for (const Foreign& foreign : foreign_words)
    if (value->text == foreign.word)
      return fail(value->begin, "not-lua", message, std::string(foreign.help));
  std::string_view const near = nearest_name(value->text, keywords());
  if (near.empty()) return nullptr;
  return fail(value->begin, "misspelt-word", message, fmt::format("did you mean {}?", near));
}

// The token cannot begin a statement.
Node* Parser::foreign_statement() {
  const Token& token = now();
  if (token.is("{") || token.is("}")) {
    if (token.is("}") && find_open_block(tokens_, at_)) return fail_open_block();
    return fail(token.offset, "braces", "Lua does not put the lines of a block between { and }",
                token.is("}") && token.first_in_line ? "write end in place of }" : "remove it");
  }
  if (token.is("?"))
    return fail(token.offset, "not-lua",
                "Lua has no ? and :", "write condition and value or other");
  if (token.is(":") && same_line())
    return fail(token.offset, "unexpected", "Lua does not expect : here", "remove it");
  if (token.is("=") && same_line()) return fail_one_equals();
  bool const value_before = is_value(before()) || before().is(")");
  if (is_value(token) && same_line() && value_before)
    return fail(token.offset, "missing-operator", "two values follow each other",
                "to join texts, write .. between them; to list values, a comma");
  bool const closes = token.is(")") || token.is("]") || token.is(",");
  if (closes && find_open_block(tokens_, at_)) return fail_open_block();
  return fail_unexpected();
}

}  // namespace huntd::check
