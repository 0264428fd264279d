// SPDX-License-Identifier: Apache-2.0
#include "huntctl/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "base/format_text.h"
#include "base/json_text.h"
#include "huntctl/commands.h"

namespace huntd::huntctl {
namespace {

struct State {
  std::mutex mutex;  // the thread of the deadline prints too
  bool json = false;
  bool finished = false;
  bool lines = false;  // print_object_line() was called
  std::string text;
  std::string object;
  std::vector<std::string> errors;
};

std::atomic<void (*)()> end_hook = nullptr;

// Never destroyed: the thread of the deadline runs until the process ends.
State& state() {
  static State& made = *new State;
  return made;
}

// Returns 0, or the errno.
int write_all(std::string_view text) {
  while (!text.empty()) {
    ssize_t const written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

int cannot_write(int failed) {
  run_end_hook();
  std::fprintf(stderr, "huntctl: cannot write to standard output: %s\n", std::strerror(failed));
  return exit_failure;
}

// Returns the exit code. A reader that has left, as `head` does, wants no more.
int write_output(std::string_view text, int exit_code) {
  int const failed = write_all(text);
  if (failed == 0 || failed == EPIPE) return exit_code;
  int const code = cannot_write(failed);
  return exit_code == exit_ok ? code : exit_code;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::strchr(" \t\r\n", text.back()) != nullptr) text.remove_suffix(1);
  return text;
}

std::string whole_object(const State& output, int exit_code) {
  std::string object = "{";
  if (exit_code != exit_ok) {
    std::string const errors = join_texts(output.errors, "; ");
    add_member(object, "error", json_string(errors.empty() ? "failed" : errors));
    add_member(object, "exit_code", std::to_string(exit_code));
  }
  std::string_view const own = trimmed(output.object);
  if (own.empty() && !output.text.empty())
    add_member(object, "output", json_string(trimmed(output.text)));
  std::string_view const members = own.empty() ? own : own.substr(1, own.size() - 2);
  if (object.size() > 1 && !trimmed(members).empty()) object += ',';
  object += members;
  return object + "}\n";
}

// REQUIRES: the lock is held.
int finish(State& output, int exit_code) {
  output.finished = true;
  std::fflush(stdout);
  if (output.json && output.lines && output.errors.empty()) return exit_code;
  return write_output(output.json ? whole_object(output, exit_code) : output.text, exit_code);
}

void note_error(State& output, const std::string& message) {
  run_end_hook();
  std::fprintf(stderr, "huntctl: %s\n", message.c_str());
  output.errors.push_back(message);
}

int fail_with(const std::string& message, int exit_code) {
  State& output = state();
  std::lock_guard const lock(output.mutex);
  note_error(output, message);
  return exit_code;
}

}  // namespace

void want_json(bool wanted) { state().json = wanted; }

void print(std::string_view text) {
  std::lock_guard const lock(state().mutex);
  state().text += text;
}

void print_object(std::string object) {
  std::lock_guard const lock(state().mutex);
  state().object = std::move(object);
}

void print_note(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); }

std::optional<int> flush_output() {
  State& output = state();
  std::lock_guard const lock(output.mutex);
  int const failed = write_all(std::exchange(output.text, {}));
  if (failed == 0) return std::nullopt;
  return failed == EPIPE ? exit_ok : cannot_write(failed);
}

std::optional<int> print_object_line(std::string object) {
  // A line break in JSON is white space: in a text it is escaped.
  std::replace(object.begin(), object.end(), '\n', ' ');
  State& output = state();
  std::lock_guard const lock(output.mutex);
  output.lines = true;
  int const failed = write_all(object + "\n");
  if (failed == 0) return std::nullopt;
  return failed == EPIPE ? exit_ok : cannot_write(failed);
}

void set_end_hook(void (*hook)()) { end_hook.store(hook); }

void run_end_hook() {
  if (void (*const hook)() = end_hook.load()) hook();
}

int fail(const std::string& message) { return fail_with(message, exit_failure); }

int exit_code_of(const Error& error) {
  if (error.kind == ErrorKind::unreachable) return exit_unreachable;
  return error.kind == ErrorKind::usage ? exit_usage : exit_failure;
}

int fail(const Error& error, std::string_view advice) {
  return fail_with(error.message + std::string(advice), exit_code_of(error));
}

int fail_usage(const std::string& message) { return fail_with(message, exit_usage); }

int fail_unreachable(const std::string& message) { return fail_with(message, exit_unreachable); }

int finish_output(int exit_code) {
  State& output = state();
  std::lock_guard const lock(output.mutex);
  return finish(output, exit_code);
}

void end_unreachable(const std::string& message) {
  State& output = state();
  std::lock_guard const lock(output.mutex);
  if (output.finished) return;
  // What the command has collected so far may be half of it.
  output.text.clear();
  output.object.clear();
  note_error(output, message);
  // Without destructors: the command's thread still uses everything.
  _exit(finish(output, exit_unreachable));
}

bool wants_colour(int stream) {
  const char* const no_colour = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  if (no_colour != nullptr && *no_colour != '\0') return false;
  if (terminal != nullptr && std::strcmp(terminal, "dumb") == 0) return false;
  return isatty(stream) == 1;
}

void occupy_standard_streams() {
  for (int stream = 0; stream <= STDERR_FILENO; ++stream)
    if (fcntl(stream, F_GETFD) < 0)
      // The lowest free descriptor is `stream`. Reading 0 and writing 1 and 2 fail with EBADF.
      (void)open("/dev/null", (stream == 0 ? O_WRONLY : O_RDONLY));
}

std::string json_number(uint64_t number) {
  return number <= json_number_max ? std::to_string(number) : fmt::format("\"{}\"", number);
}

std::string json_string(std::string_view text) {
  std::string quoted;
  append_json_string(quoted, text);
  return quoted;
}

void add_member(std::string& object, std::string_view name, std::string_view value) {
  // Also for an object that is not closed yet, as in "{".
  bool const closed = object.ends_with('}');
  if (closed) object.pop_back();
  if (!trimmed(object).ends_with('{')) object += ',';
  object += fmt::format("\"{}\":{}", name, value);
  if (closed) object += '}';
}

}  // namespace huntd::huntctl
