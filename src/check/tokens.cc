// SPDX-License-Identifier: Apache-2.0
#include "check/tokens.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

namespace huntd::check {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
// As LuaJIT: every byte of a character that is not ASCII counts as a letter.
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<uint8_t>(c) >= 0x80;
}
bool is_name_char(char c) { return is_name_start(c) || is_digit(c); }
bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' || c == '\v';
}

// A sign, as Lua has it or as another language has it. Longer ones come first.
struct Sign {
  std::string_view text;
  std::string_view lua;      // what takes its place; the same text: it is a sign of Lua
  std::string_view code;     // of the finding
  std::string_view message;  // the rest of: "!=" ...
  std::string_view help;
};

constexpr Sign signs[] = {
    {"...", "...", "", "", ""},
    {"..=", "..=", "", "", ""},  // the parser reports it, and the four below
    {"+=", "+=", "", "", ""},
    {"-=", "-=", "", "", ""},
    {"*=", "*=", "", "", ""},
    {"/=", "/=", "", "", ""},
    {"++", "++", "", "", ""},
    {"..", "..", "", "", ""},
    {"::", "::", "", "", ""},
    {"===", "==", "not-lua", "does not exist in Lua", "to compare, write =="},
    {"==", "==", "", "", ""},
    {"~=", "~=", "", "", ""},
    {"<=", "<=", "", "", ""},
    {">=", ">=", "", "", ""},
    {"!==", "~=", "not-equal", "does not exist in Lua", "for \"is not equal\", write ~="},
    {"!=", "~=", "not-equal", "does not exist in Lua", "for \"is not equal\", write ~="},
    {"<>", "~=", "not-equal", "does not exist in Lua", "for \"is not equal\", write ~="},
    {"=>", ">=", "not-lua", "does not exist in Lua", "for \"at least\", write >="},
    {"=<", "<=", "not-lua", "does not exist in Lua", "for \"at most\", write <="},
    {":=", "=", "not-lua", "does not exist in Lua", "to set a value, write ="},
    {"&&", "and", "and-or-not", "does not exist in Lua", "write the word and"},
    {"&", "and", "and-or-not", "does not exist in Lua", "write the word and"},
    {"||", "or", "and-or-not", "does not exist in Lua", "write the word or"},
    {"|", "or", "and-or-not", "does not exist in Lua", "write the word or"},
    {"!", "not", "and-or-not", "does not exist in Lua", "write the word not"},
    {"+", "+", "", "", ""},
    {"-", "-", "", "", ""},
    {"*", "*", "", "", ""},
    {"/", "/", "", "", ""},
    {"%", "%", "", "", ""},
    {"^", "^", "", "", ""},
    {"#", "#", "", "", ""},
    {"<", "<", "", "", ""},
    {">", ">", "", "", ""},
    {"=", "=", "", "", ""},
    {"(", "(", "", "", ""},
    {")", ")", "", "", ""},
    {"{", "{", "", "", ""},
    {"}", "}", "", "", ""},
    {"[", "[", "", "", ""},
    {"]", "]", "", "", ""},
    {";", ";", "", "", ""},
    {":", ":", "", "", ""},
    {",", ",", "", "", ""},
    {".", ".", "", "", ""},
    {"?", "?", "", "", ""},
};

// A character that word processors and web pages put in place of one of the keyboard.
struct OddCharacter {
  std::string_view bytes;
  std::string_view name;
  std::string_view meant;  // a quote: it begins and ends a text; empty: nothing
};

constexpr OddCharacter odd_characters[] = {
    {"\xe2\x80\x98", "a curly quote", "\""},
    {"\xe2\x80\x99", "a curly quote", "\""},
    {"\xe2\x80\x9a", "a curly quote", "\""},
    {"\xe2\x80\x9c", "a curly quote", "\""},
    {"\xe2\x80\x9d", "a curly quote", "\""},
    {"\xe2\x80\x9e", "a curly quote", "\""},
    {"\xc2\xab", "a curly quote", "\""},
    {"\xc2\xbb", "a curly quote", "\""},
    {"\xe2\x80\x93", "a long dash", "-"},
    {"\xe2\x80\x94", "a long dash", "-"},
    {"\xe2\x88\x92", "a long dash", "-"},
    {"\xe2\x80\xa6", "one character of three dots", "..."},
    {"\xc2\xa0", "a special space", ""},
    {"\xe2\x80\x8b", "a space that cannot be seen", ""},
    {"\xef\xbb\xbf", "a sign that cannot be seen", ""},
    {"\xe2\x89\xa0", "a sign of mathematics", "~="},
    {"\xe2\x89\xa4", "a sign of mathematics", "<="},
    {"\xe2\x89\xa5", "a sign of mathematics", ">="},
    {"\xc3\x97", "a sign of mathematics", "*"},
};

class Splitter {
 public:
  explicit Splitter(std::string_view script) : script_(script) {}

  Tokens split() {
    if (script_.starts_with("\xef\xbb\xbf")) at_ = 3;
    if (rest().starts_with('#')) skip_line();
    while (!found_.broken) {
      skip_space();
      if (at_ >= script_.size()) break;
      next();
    }
    at_ = script_.size();
    add(TokenKind::end, "", at_, 0);
    return std::move(found_);
  }

 private:
  std::string_view rest() const { return script_.substr(at_); }
  char peek(size_t ahead = 0) const {
    return at_ + ahead < script_.size() ? script_[at_ + ahead] : '\0';
  }

  void skip_space() {
    for (; at_ < script_.size() && is_space(script_[at_]); ++at_) count_line(at_);
  }
  void count_line(size_t offset) {
    if (script_[offset] != '\n') return;
    ++line_;
    new_line_ = true;
  }
  void skip_line() { at_ = std::min(script_.find('\n', at_), script_.size()); }
  // Moves behind `end`, and counts the lines until there.
  void skip_to(size_t end) {
    for (; at_ < end; ++at_) count_line(at_);
  }

  void add(TokenKind kind, std::string_view text, size_t offset, size_t bytes) {
    if (line_ != indent_line_) {
      indent_ = indent_at(offset);
      indent_line_ = line_;
    }
    found_.tokens.push_back({kind, text, offset, bytes, line_, indent_, new_line_});
    new_line_ = false;
  }
  // The columns before the first token of the line of `offset`.
  size_t indent_at(size_t offset) const {
    size_t const newline = offset == 0 ? std::string_view::npos : script_.rfind('\n', offset - 1);
    size_t columns = 0;
    for (size_t at = newline == std::string_view::npos ? 0 : newline + 1; at < script_.size();
         ++at) {
      if (script_[at] == ' ')
        ++columns;
      else if (script_[at] == '\t')
        columns = (columns / 4 + 1) * 4;
      else
        break;
    }
    return columns;
  }
  void report(size_t offset, std::string_view code, std::string message, std::string_view help) {
    if (found_.findings.size() >= findings_max) return;
    found_.findings.push_back(
        {offset, Severity::error, std::string(code), std::move(message), std::string(help)});
  }

  void next() {
    if (rest().starts_with("--")) return comment();
    if (rest().starts_with("/*") || rest().starts_with("//")) return foreign_comment();
    char const c = peek();
    if (c == '"' || c == '\'') return text(c);
    if (c == '[' && long_bracket_level()) return long_text();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number();
    if (const OddCharacter* const odd = odd_character()) return take_odd(*odd);
    if (is_name_start(c)) return name();
    sign();
  }

  // The number of = in "[==[" at the current place; -1 as false: there is no long bracket.
  struct Level {
    int equals = -1;
    explicit operator bool() const { return equals >= 0; }
  };
  Level long_bracket_level() const {
    if (peek() != '[') return {};
    size_t equals = 0;
    while (peek(1 + equals) == '=') ++equals;
    return peek(1 + equals) == '[' ? Level{static_cast<int>(equals)} : Level{};
  }
  // The offset of the "]==]" that ends the long bracket; npos: there is none.
  size_t long_bracket_end(Level level) const {
    std::string const close = "]" + std::string(static_cast<size_t>(level.equals), '=') + "]";
    return script_.find(close, at_ + static_cast<size_t>(level.equals) + 2);
  }
  static size_t bracket_bytes(Level level) { return static_cast<size_t>(level.equals) + 2; }

  void comment() {
    size_t const start = at_;
    at_ += 2;
    Level const level = long_bracket_level();
    if (!level) return skip_line();
    size_t const close = long_bracket_end(level);
    if (close != std::string_view::npos) return skip_to(close + bracket_bytes(level));
    report(start, "unfinished-comment", "this comment has no end, so the rest of the file is in it",
           "write ]] at the end of the comment");
    found_.broken = true;
  }

  void foreign_comment() {
    bool const block = peek(1) == '*';
    std::string_view const mark = script_.substr(at_, 2);
    size_t const close = block ? script_.find("*/", at_ + 2) : std::string_view::npos;
    report(at_, "comment", fmt::format("{} does not begin a comment in Lua", mark),
           block ? "write --[[ before the comment and ]] behind it"
                 : "a comment begins with --; to divide and round down, write math.floor(a / b)");
    found_.uncertain = true;
    if (close != std::string_view::npos) return skip_to(close + 2);
    if (block) found_.broken = true;
    skip_line();
  }

  // A text may go on in the next line only behind a backslash.
  void text(char quote) {
    size_t const start = at_;
    size_t end = at_ + 1;
    for (; end < script_.size() && script_[end] != quote && script_[end] != '\n'; ++end) {
      if (script_[end] != '\\' || end + 1 >= script_.size()) continue;
      ++end;
      if (script_[end] == '\r' && end + 1 < script_.size() && script_[end + 1] == '\n') ++end;
      if (script_[end] == 'z')
        while (end + 1 < script_.size() && is_space(script_[end + 1])) ++end;
    }
    if (end >= script_.size() || script_[end] != quote) return unfinished_text(start, quote);
    add(TokenKind::text, script_.substr(start + 1, end - start - 1), start, end + 1 - start);
    skip_to(end + 1);
    new_line_ = false;
  }

  void unfinished_text(size_t start, char quote) {
    found_.broken = true;
    std::string_view const line =
        script_.substr(start, std::min(script_.find('\n', start), script_.size()) - start);
    for (const OddCharacter& odd : odd_characters)
      if (odd.meant == "\"" && line.find(odd.bytes) != std::string_view::npos)
        return report(start + line.find(odd.bytes), "curly-quote",
                      fmt::format("this text begins with {} and ends with a curly quote", quote),
                      fmt::format("type {} on the keyboard; a word processor changes it", quote));
    if (quote == '\'' && after_apostrophe())
      return report(start, "unfinished-text", "this ' begins a text that has no end",
                    "a text with ' in it is written in double quotes: \"don't\"");
    report(start, "unfinished-text", fmt::format("the text that begins here has no end"),
           fmt::format("write {} at the end of the text, in the same line", quote));
  }

  // A text in this line ends in the middle of a word, as 'don' in 'don't'.
  bool after_apostrophe() const {
    const std::vector<Token>& all = found_.tokens;
    for (size_t at = all.size(); at > 1 && all[at - 2].line == line_; --at)
      if (all[at - 2].kind == TokenKind::text && all[at - 1].kind == TokenKind::name &&
          all[at - 2].end() == all[at - 1].offset)
        return true;
    return false;
  }

  void long_text() {
    Level const level = long_bracket_level();
    size_t const start = at_;
    size_t const close = long_bracket_end(level);
    if (close == std::string_view::npos) {
      report(start, "unfinished-text", "the text that begins here has no end",
             "write ]] at the end of the text");
      found_.broken = true;
      return;
    }
    size_t begin = start + bracket_bytes(level);
    // Lua leaves out a line break right behind the brackets.
    std::string_view const first = script_.substr(begin, 2);
    if (first == "\r\n" || first == "\n\r")
      begin += 2;
    else if (first.starts_with('\n') || first.starts_with('\r'))
      ++begin;
    add(TokenKind::text, script_.substr(begin, close - begin), start,
        close + bracket_bytes(level) - start);
    skip_to(close + bracket_bytes(level));
    new_line_ = false;
  }

  void number() {
    size_t const start = at_;
    bool const hex = peek() == '0' && (peek(1) == 'x' || peek(1) == 'X');
    for (; is_name_char(peek()) || peek() == '.' || peek() == '+' || peek() == '-'; ++at_) {
      char const before = at_ > start ? static_cast<char>(script_[at_ - 1] | 0x20) : ' ';
      if ((peek() == '+' || peek() == '-') && before != (hex ? 'p' : 'e')) break;
    }
    add(TokenKind::number, script_.substr(start, at_ - start), start, at_ - start);
  }

  void name() {
    size_t const start = at_;
    while (is_name_char(peek()) && odd_character() == nullptr) ++at_;
    std::string_view const text = script_.substr(start, at_ - start);
    bool const keyword = std::ranges::find(keywords(), text) != keywords().end();
    add(keyword ? TokenKind::keyword : TokenKind::name, text, start, at_ - start);
  }

  const OddCharacter* odd_character() const {
    if (static_cast<uint8_t>(peek()) < 0x80) return nullptr;
    for (const OddCharacter& odd : odd_characters)
      if (rest().starts_with(odd.bytes)) return &odd;
    return nullptr;
  }

  void take_odd(const OddCharacter& odd) {
    size_t const start = at_;
    bool const quote = odd.meant == "\"";
    std::string const help = odd.meant.empty() ? "remove it, and type a space"
                                               : fmt::format("type {} on the keyboard", odd.meant);
    if (found_.odd_characters.size() < findings_max)
      found_.odd_characters.push_back(
          {start, Severity::error, quote ? "curly-quote" : "odd-character",
           fmt::format("this is {}, which Lua does not know", odd.name), help});
    found_.uncertain = true;
    at_ += odd.bytes.size();
    if (!quote) {
      if (!odd.meant.empty()) add(TokenKind::sign, odd.meant, start, odd.bytes.size());
      return;
    }
    // A text until the next quote of any kind.
    size_t const begin = at_;
    while (at_ < script_.size() && peek() != '\n' && peek() != '"' && !is_quote(odd_character()))
      ++at_;
    size_t const end = at_;
    at_ += peek() == '"' ? 1 : odd_character() != nullptr ? odd_character()->bytes.size() : 0;
    add(TokenKind::text, script_.substr(begin, end - begin), start, at_ - start);
  }
  static bool is_quote(const OddCharacter* odd) { return odd != nullptr && odd->meant == "\""; }

  void sign() {
    for (const Sign& sign : signs) {
      if (!rest().starts_with(sign.text)) continue;
      add(TokenKind::sign, sign.lua, at_, sign.text.size());
      if (sign.lua == "and" || sign.lua == "or" || sign.lua == "not")
        found_.tokens.back().kind = TokenKind::keyword;
      if (!sign.code.empty())
        report(at_, sign.code, fmt::format("{} {}", sign.text, sign.message), sign.help);
      at_ += sign.text.size();
      return;
    }
    bool const visible = peek() > ' ' && peek() != '\x7f';
    report(at_, "odd-character",
           visible ? fmt::format("Lua does not know the character {}", peek())
                   : "here is a character that cannot be seen",
           peek() == '~' ? "for \"not\", write the word not; for \"is not equal\", write ~="
                         : "remove it, or write it within the quotes of a text");
    found_.uncertain = true;
    ++at_;
  }

  std::string_view script_;
  size_t at_ = 0;
  size_t line_ = 1;
  bool new_line_ = true;
  size_t indent_ = 0;       // of the line indent_line_
  size_t indent_line_ = 0;  // none yet
  Tokens found_;
};

}  // namespace

const std::vector<std::string_view>& keywords() {
  static const std::vector<std::string_view> all = {
      "and", "break",    "do",     "else", "elseif", "end",   "false",
      "for", "function", "if",     "in",   "local",  "nil",   "not",
      "or",  "repeat",   "return", "then", "true",   "until", "while"};
  return all;
}

Tokens split_script(std::string_view script) { return Splitter(script).split(); }

}  // namespace huntd::check
