// SPDX-License-Identifier: Apache-2.0
// The command line.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace huntd::load {

struct Options {
  std::string target;  // ADDR:PORT
  uint32_t connections = 64;
  double rate = 0;  // requests per second; 0 if `closed`
  bool closed = false;
  double seconds = 10;
  double warmup_s = 2;
  uint32_t hunters = 0;            // default: as many as connections
  std::vector<std::string> hunts;  // empty if `method` and `path` are set
  std::string method;
  std::string path;
  std::string body;
  bool keys = false;
  bool repeat_closed = false;
  double connect_rate = 2000;
  uint64_t timeout_ms = 10'000;
  uint64_t tick_us = 100;  // the least time between two ticks of the open loop
  uint64_t seed = 1;
  std::string hlog_file;
  bool json = false;
};

// The options, or the exit status if the program must end now: help was printed, or the usage was
// wrong and the error was printed.
struct Parsed {
  std::optional<Options> options;
  int exit_code = 0;
};
Parsed parse_options(int argc, char** argv);

}  // namespace huntd::load
