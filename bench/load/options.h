// What the command line asks for.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace huntd::load {

struct Options {
  std::string target;  // ADDR:PORT
  uint32_t connections = 64;
  double rate = 0;  // requests a second; 0 where `closed`
  bool closed = false;
  double seconds = 10;
  double warmup_s = 2;
  uint32_t hunters = 0;            // as many as connections where none are given
  std::vector<std::string> hunts;  // empty where `method` and `path` are
  std::string method;
  std::string path;
  std::string body;
  bool keys = false;
  double connect_rate = 2000;
  uint64_t timeout_ms = 10'000;
  uint64_t tick_us = 100;  // between two turns of the open loop, at least
  uint64_t seed = 1;
  std::string hlog_file;
  bool json = false;
};

// The options, or the exit code where the program is to end now (help was asked for, or wrong
// usage, which has been told).
struct Parsed {
  std::optional<Options> options;
  int exit_code = 0;
};
Parsed parse_options(int argc, char** argv);

}  // namespace huntd::load
