// SPDX-License-Identifier: Apache-2.0
// Writes one line per event to stderr: logfmt after a syslog priority, as systemd's journal reads
// it.
//   <6>core started core=1 cpu=1
// A server whose stderr is the journal sends the fields as well (base/journal.h): CORE=1, CPU=1.
// A server never waits for the reader of its log (base/log_sink.h): see never_wait().
// A value is quoted and escaped if needed: control characters, line breaks and invalid UTF-8 become
// \xNN. So no id or script text can forge a line or a field, or change what a terminal shows.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace huntd::log {

enum class Level { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

// A field's key and its value as text.
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
  std::string_view key;  // empty: the line lacks this field
  std::string value;
};

// A field that a line lacks if `value` is empty.
inline Field if_set(std::string_view key, std::string_view value) {
  return {value.empty() ? std::string_view() : key, value};
}

// Where in the source a line is written: std::source_location, which clang 14 lacks.
struct Place {
  const char* file;
  int line;
  const char* function;
  static constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                              const char* function = __builtin_FUNCTION()) {
    return {file, line, function};
  }
};

// Returns the line with its line break. A line of more than limits::log_line_bytes_max is cut and
// ends in [truncated].
std::string line_of(Level level, std::string_view message,
                    std::initializer_list<Field> fields = {});
// The same as an entry of the journal: PRIORITY, MESSAGE (the line without its priority), and each
// field with its value as it is.
std::string journal_entry_of(Level level, std::string_view message,
                             std::initializer_list<Field> fields = {});
// `at` becomes fields of the journal: CODE_FILE, CODE_LINE, CODE_FUNC.
void write(Level level, std::string_view message, std::initializer_list<Field> fields = {},
           Place at = Place::here());
// The same by a thread of its own, if start_writer() was called: the caller makes no system call for
// it, but for one that wakes the thread. For what may be written once per request. A line that is
// written at once may overtake it.
void write_later(Level level, std::string_view message, std::initializer_list<Field> fields = {},
                 Place at = Place::here());
// Writes text that is not in the form of a log line, such as the errors of a start.
void print(std::string_view text);

// A server calls this first. From then on, neither this process nor a child of it waits for the
// reader of stderr: lines that stderr does not take are kept up to limits::log_kept_bytes_max, then
// dropped, counted, and reported once there is room. Descriptor 2 itself no longer waits (unless it
// is a socket), so that this also holds for what libraries write to it. Without this call, a write
// waits as usual.
//
// If stderr is the stream of systemd's journal, lines go to the journal's own socket from then on,
// with their fields.
void never_wait();
// Tries again to write what stderr did not take. Called in the loop of each process that logs.
// `now_ns` is the time of any monotonic clock.
void flush(uint64_t now_ns);
// Starts the thread of write_later(), with the caller's priority and CPUs. Returns false if the system
// has no thread left; then write_later() is write(). REQUIRES: never_wait() was called.
bool start_writer();
// Writes what the thread has not written yet, and ends it.
void stop_writer();
// The descriptor that lines are written to: stderr, or the socket of the journal.
int descriptor();
// Lines that this process has dropped since its start.
uint64_t lines_dropped();

inline void error(std::string_view m, std::initializer_list<Field> f = {},
                  Place at = Place::here()) {
  write(Level::error, m, f, at);
}
inline void warning(std::string_view m, std::initializer_list<Field> f = {},
                    Place at = Place::here()) {
  write(Level::warning, m, f, at);
}
inline void notice(std::string_view m, std::initializer_list<Field> f = {},
                   Place at = Place::here()) {
  write(Level::notice, m, f, at);
}
inline void info(std::string_view m, std::initializer_list<Field> f = {},
                 Place at = Place::here()) {
  write(Level::info, m, f, at);
}

// Limits log lines that clients can cause, so that they cannot fill a disk. Lines above the limit
// are counted, and their number is logged.
class Budget {
 public:
  explicit Budget(uint32_t lines_per_s) : lines_per_s_(lines_per_s) {}
  // Returns true if a line may be written now. `now_ns` is the time of any monotonic clock. The
  // first call of a new second logs how many lines were suppressed before it.
  bool take(uint64_t now_ns);

 private:
  uint32_t lines_per_s_;
  uint64_t second_ = 0;
  uint32_t taken_ = 0;
  uint64_t suppressed_ = 0;
};

// Sets a field that every later line of this process carries, such as "core=1"; empty for none.
void set_origin(std::string origin);

}  // namespace huntd::log
