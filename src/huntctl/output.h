// SPDX-License-Identifier: Apache-2.0
// What huntctl prints. A command only says what to print; main() writes it when the command has
// ended. So with --json standard output gets one JSON object, in each case, and an
// error of standard output is known before the exit.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace huntd::huntctl {

// Numbers above it are not exact in every JSON reader.
inline constexpr uint64_t json_number_max = (uint64_t{1} << 53) - 1;

// Called by main(): with --json, standard output gets one JSON object.
void want_json(bool wanted);

// Text for people. With --json it is printed only if the command prints no object, as
// {"output":TEXT}.
void print(std::string_view text);
// The object of --json. REQUIRES: `object` is a JSON object; a later one replaces it.
void print_object(std::string object);
// Text beside the output, to standard error at once.
void print_note(std::string_view text);
// Writes what print() has collected, for a command that goes on. Returns the exit code if the reader
// has gone, or if it cannot be written.
std::optional<int> flush_output();
// With --json, for a command that goes on: writes `object` at once, as one line. If each line says
// what is not well, the end of the command adds none; after fail() it adds one with the error.
// Returns as flush_output() does.
std::optional<int> print_object_line(std::string object);

// `hook` is called before an error is printed and before the process ends: a command that has
// changed the terminal restores it there. It has to be safe in a signal handler and on each thread,
// and may be called more than once. nullptr: none.
void set_end_hook(void (*hook)());
void run_end_hook();

// Prints "huntctl: MESSAGE" to standard error, and keeps it for the JSON object. Returns the exit
// code: exit_failure, or that of the kind of the error.
int fail(const std::string& message);
int fail(const Error& error, std::string_view advice = {});  // `advice` follows the message
// exit_failure, or the code of the kind of the error.
int exit_code_of(const Error& error);
// For wrong usage; returns exit_usage.
int fail_usage(const std::string& message);
// For a peer that cannot be reached; returns exit_unreachable.
int fail_unreachable(const std::string& message);

// Writes everything to standard output. Returns `exit_code`, or exit_failure if that cannot be
// written; a reader that has closed its end is not a failure. With --json and an exit code that is
// not exit_ok, the object has the members `error` and `exit_code` beside those of the command.
int finish_output(int exit_code);
// The same with exit_unreachable, then ends the process. For another thread than the command's;
// returns if that thread has started to finish.
void end_unreachable(const std::string& message);

// True if `stream` (STDOUT_FILENO) is a terminal for which colours are wanted: not with NO_COLOR,
// and not with TERM=dumb.
bool wants_colour(int stream);

// Descriptors 0 to 2 that are closed are opened so that they cannot be read or written: otherwise
// a socket could become standard output.
void occupy_standard_streams();

// A number in JSON: in quotes above json_number_max.
std::string json_number(uint64_t number);
// Appends a member to a JSON object: `value` is JSON.
void add_member(std::string& object, std::string_view name, std::string_view value);
std::string json_string(std::string_view text);

}  // namespace huntd::huntctl
