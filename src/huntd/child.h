// SPDX-License-Identifier: Apache-2.0
// The first steps of a process that the parent has forked.
#pragma once
#include <sys/types.h>

#include <string>
#include <vector>

namespace huntd::server {

// It ends with its parent and has its own signal handling. `name` is what ps shows, at most 15
// bytes. With `keep_term` SIGTERM ends it; else it ignores SIGTERM, SIGINT and SIGHUP, since only
// the parent acts on a signal to the whole group (Ctrl-C).
void begin_child(pid_t parent_pid, const char* name, bool keep_term);

// Closes every descriptor from 3 on except these and that of the log, so that a child that takes
// long holds no socket of the parent.
void close_all_but(std::vector<int> kept);

// A child of the parent that has ended.
struct EndedChild {
  pid_t pid = -1;
  std::string reason;  // "signal 9", "exit status 1"
};

}  // namespace huntd::server
