// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "base/check.h"
#include "base/journal.h"
#include "base/limits.h"
#include "base/log_sink.h"
#include "base/log_writer.h"
#include "base/utf8.h"

namespace huntd::log {
namespace {

constexpr std::string_view cut_mark = " [truncated]\n";

// Never destroyed: threads of libraries may log until the end.
Sink& sink() {
  static Sink* const one = new Sink(STDERR_FILENO);
  return *one;
}

Writer& writer() {
  static Writer* const one = new Writer(sink());
  return *one;
}

std::string& origin() {
  static std::string text;
  return text;
}

// Whether entries go to the journal's own socket.
bool native = false;

void append_code(std::string& entry, Place at) {
  append_journal_field(entry, "CODE_FILE", at.file);
  append_journal_field(entry, "CODE_LINE", std::to_string(at.line));
  append_journal_field(entry, "CODE_FUNC", at.function);
}

// A line of text as an entry. Without a priority in front, it is an error.
std::string entry_of_text(std::string_view line) {
  std::string_view priority = "3";
  if (line.size() > 3 && line[0] == '<' && line[2] == '>') {
    priority = line.substr(1, 1);
    line.remove_prefix(3);
  }
  std::string entry;
  append_journal_field(entry, "PRIORITY", priority);
  append_journal_field(entry, "SYSLOG_IDENTIFIER", program_invocation_short_name);
  append_journal_field(entry, "MESSAGE", line);
  return entry;
}

// Returns true for non-ASCII characters that end a line, move the cursor or reverse the direction
// of text in a terminal: C1 controls, line and paragraph separators, and bidirectional marks.
bool is_control_sequence(std::string_view sequence) {
  auto const at = [&](size_t i) { return static_cast<uint8_t>(sequence[i]); };
  if (sequence.size() == 2) return (at(0) == 0xc2 && at(1) < 0xa0) || sequence == "\xd8\x9c";
  if (sequence.size() != 3 || at(0) != 0xe2) return false;
  if (at(1) == 0x80) return at(2) == 0x8e || at(2) == 0x8f || (at(2) >= 0xa8 && at(2) <= 0xae);
  return at(1) == 0x81 && at(2) >= 0xa6 && at(2) <= 0xa9;
}

// Returns the length in bytes of the first character of `text` if it may be logged unescaped, or 0
// if its first byte must be escaped.
size_t plain_bytes(std::string_view text) {
  size_t const length = utf8_sequence_bytes(text);
  if (length <= 1) return text[0] >= ' ' && text[0] != 0x7f ? length : 0;
  return is_control_sequence(text.substr(0, length)) ? 0 : length;
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (unsigned char c : value)
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) return true;
  return false;
}

void append_byte(std::string& line, char byte) {
  if (byte == '\n') {
    line.append("\\n");
  } else if (byte == '\t') {
    line.append("\\t");
  } else {
    char text[8];
    std::snprintf(text, sizeof text, "\\x%02x", static_cast<unsigned>(static_cast<uint8_t>(byte)));
    line.append(text);
  }
}

// Appends `text`. Unprintable bytes become \xNN; each character of `marks` gets a backslash.
void append_escaped(std::string& line, std::string_view text, std::string_view marks) {
  while (!text.empty()) {
    size_t const plain = plain_bytes(text);
    if (plain == 0) {
      append_byte(line, text[0]);
    } else {
      if (marks.find(text[0]) != std::string_view::npos) line.push_back('\\');
      line.append(text.substr(0, plain));
    }
    text.remove_prefix(std::max<size_t>(plain, 1));
  }
}

void append_value(std::string& line, std::string_view value) {
  if (!needs_quotes(value)) {
    line.append(value);
    return;
  }
  line.push_back('"');
  append_escaped(line, value, "\"\\");
  line.push_back('"');
}

// As the sink takes it.
std::string entry_of(Level level, std::string_view message, std::initializer_list<Field> fields,
                     Place at) {
  if (!native) return line_of(level, message, fields);
  std::string entry = journal_entry_of(level, message, fields);
  append_code(entry, at);
  return entry;
}

}  // namespace

void set_origin(std::string text) { origin() = std::move(text); }

std::string line_of(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  line.reserve(256);
  line.push_back('<');
  line.push_back(static_cast<char>('0' + static_cast<int>(level)));
  line.push_back('>');
  append_escaped(line, message, "");  // a message may quote a config or a library
  if (!origin().empty()) {
    line.push_back(' ');
    line.append(origin());
  }
  for (const Field& field : fields) {
    if (field.key.empty()) continue;
    line.push_back(' ');
    line.append(field.key);
    line.push_back('=');
    append_value(line, field.value);
  }
  if (line.size() + 1 > limits::log_line_bytes_max) {
    size_t end = limits::log_line_bytes_max - cut_mark.size();
    while ((static_cast<uint8_t>(line[end]) & 0xc0) == 0x80) --end;  // not within a character
    line.resize(end);
    line.append(cut_mark);
  } else {
    line.push_back('\n');
  }
  return line;
}

std::string journal_entry_of(Level level, std::string_view message,
                             std::initializer_list<Field> fields) {
  std::string const line = line_of(level, message, fields);
  std::string entry = entry_of_text(std::string_view(line).substr(0, line.size() - 1));
  if (size_t const equals = origin().find('='); equals != std::string::npos)
    append_journal_field(entry, origin().substr(0, equals), origin().substr(equals + 1));
  for (const Field& field : fields) {
    if (field.key.empty()) continue;
    append_journal_field(entry, field.key,
                         std::string_view(field.value).substr(0, limits::log_line_bytes_max));
  }
  return entry;
}

void write(Level level, std::string_view message, std::initializer_list<Field> fields, Place at) {
  std::string entry = entry_of(level, message, fields, at);
  if (native) return sink().write_entry(std::move(entry));
  sink().write(entry);
}

void write_later(Level level, std::string_view message, std::initializer_list<Field> fields,
                 Place at) {
  if (!writer().running()) return write(level, message, fields, at);
  writer().push(entry_of(level, message, fields, at));
}

void print(std::string_view text) {
  if (!native) return sink().write(text);
  while (!text.empty()) {
    std::string_view const line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (!line.empty()) sink().write_entry(entry_of_text(line));
  }
}

void never_wait() {
  std::signal(SIGPIPE, SIG_IGN);  // the log may be a pipe whose reader is gone
  sink().use(stop_waiting(STDERR_FILENO));
  if (is_journal(STDERR_FILENO, std::getenv("JOURNAL_STREAM")))
    native = sink().use_journal(journal_socket);
  pthread_atfork(
      [] {
        writer().before_fork();
        sink().before_fork();
      },
      [] {
        sink().after_fork_in_parent();
        writer().after_fork_in_parent();
      },
      [] {
        sink().after_fork_in_child();
        writer().after_fork_in_child();
      });
}

void flush(uint64_t now_ns) { sink().flush(now_ns); }

bool start_writer() { return writer().start(); }

void stop_writer() { writer().stop(); }

int descriptor() { return sink().descriptor(); }

uint64_t lines_dropped() { return sink().dropped(); }

bool Budget::take(uint64_t now_ns) {
  uint64_t const second = now_ns / 1'000'000'000;
  if (second != second_) {
    second_ = second;
    taken_ = 0;
    if (suppressed_ > 0)
      warning("log lines suppressed", {{"count", std::exchange(suppressed_, 0)}});
  }
  if (taken_ < lines_per_s_) {
    ++taken_;
    return true;
  }
  ++suppressed_;
  return false;
}

}  // namespace huntd::log

namespace huntd {

void check_failed(const char* file, int line, const char* condition) {
  char text[1024];
  std::snprintf(text, sizeof text - 1, "<2>check failed at=%s:%d condition=\"%s\"", file, line,
                condition);
  log::print(std::string(text) + "\n");
  std::abort();
}

}  // namespace huntd
