#include "base/log.h"

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace huntd::log {
namespace {

constexpr size_t line_bytes_max = 4096;
std::string& origin() {
  static std::string text;
  return text;
}

bool needs_quotes(std::string_view value) {
  if (value.empty()) return true;
  for (unsigned char c : value)
    if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7f) return true;
  return false;
}

void append_value(std::string& line, std::string_view value) {
  if (!needs_quotes(value)) {
    line.append(value);
    return;
  }
  line.push_back('"');
  for (unsigned char c : value) {
    if (c == '"' || c == '\\') {
      line.push_back('\\');
      line.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      line.append("\\n");
    } else if (c == '\t') {
      line.append("\\t");
    } else if (c < 0x20 || c == 0x7f) {
      char text[8];
      std::snprintf(text, sizeof text, "\\x%02x", c);
      line.append(text);
    } else {
      line.push_back(static_cast<char>(c));
    }
  }
  line.push_back('"');
}

}  // namespace

void set_origin(std::string text) { origin() = std::move(text); }

void write(Level level, std::string_view message, std::initializer_list<Field> fields) {
  std::string line;
  line.reserve(256);
  line.push_back('<');
  line.push_back(static_cast<char>('0' + static_cast<int>(level)));
  line.push_back('>');
  line.append(message);
  if (!origin().empty()) {
    line.push_back(' ');
    line.append(origin());
  }
  for (const Field& field : fields) {
    line.push_back(' ');
    line.append(field.key);
    line.push_back('=');
    append_value(line, field.value);
  }
  if (line.size() > line_bytes_max) {
    line.resize(line_bytes_max);
    line.append(" [cut]");
  }
  line.push_back('\n');
  // A log that can't be written has nowhere to be reported; the program goes on.
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

bool Budget::take(uint64_t now_ns) {
  uint64_t const second = now_ns / 1'000'000'000;
  if (second != second_) {
    second_ = second;
    taken_ = 0;
    if (left_out_ > 0) warning("log lines left out", {{"count", std::exchange(left_out_, 0)}});
  }
  if (taken_ < lines_per_s_) {
    ++taken_;
    return true;
  }
  ++left_out_;
  return false;
}

}  // namespace huntd::log
