// One line per event on stderr, logfmt after a syslog priority that systemd's journal understands:
//   <6>core started core=1 cpu=1
// Values are quoted and escaped where they must be, so that no id or script text can forge a line,
// a field, or what a terminal shows of them: controls, ends of lines and what is no UTF-8 are \xNN.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace huntd::log {

enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

// A key and its value, already text; numbers go through the constructors.
struct Field {
  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(v) {}
  Field(std::string_view k, const std::string& v) : key(k), value(v) {}
  Field(std::string_view k, long long v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, unsigned long long v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, long v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, unsigned long v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, int v) : key(k), value(std::to_string(v)) {}
  Field(std::string_view k, unsigned v) : key(k), value(std::to_string(v)) {}
  std::string_view key;
  std::string value;
};

// The line, its line break included; longer than 4 KiB it is cut and marked.
std::string line_of(Level level, std::string_view message,
                    std::initializer_list<Field> fields = {});
// Writes it with one write(2).
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {});

inline void error(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::error, m, f);
}
inline void warning(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::warning, m, f);
}
inline void notice(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::notice, m, f);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {}) {
  write(Level::info, m, f);
}

// Keeps lines that clients can cause from filling a disk: so many a second, and then only their
// number.
class Budget {
 public:
  explicit Budget(uint32_t lines_per_s) : lines_per_s_(lines_per_s) {}
  // True where a line may be written now (`now_ns` on any clock that goes forward). At the first
  // line of a new second the number of those left out before is told.
  bool take(uint64_t now_ns);

 private:
  uint32_t lines_per_s_;
  uint64_t second_ = 0;
  uint32_t taken_ = 0;
  uint64_t left_out_ = 0;
};

// A name put into every later line of this process, such as "core=1"; empty for none.
void set_origin(std::string origin);

}  // namespace huntd::log
