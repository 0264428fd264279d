// SPDX-License-Identifier: Apache-2.0
// hunt-load: an open-loop load generator for huntd (docs/hunt-load.md).
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <memory>

#include "result.h"

namespace {

bool write_file(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return false;
  bool const written = std::fwrite(text.data(), 1, text.size(), file) == text.size();
  return std::fclose(file) == 0 && written;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace huntd::load;
  auto const parsed = parse_options(argc, argv);
  if (!parsed.options) return parsed.exit_code;
  const Options& options = *parsed.options;
  std::signal(SIGPIPE, SIG_IGN);
  auto const generator = std::make_unique<Generator>(options);
  if (auto const ran = generator->run(); !ran) {
    fmt::print(stderr, "hunt-load: {}\n", ran.error().message);
    return 1;
  }
  fmt::print("{}",
             options.json ? result_json(options, *generator) : result_table(options, *generator));
  for (const std::string& warning : result_warnings(*generator))
    fmt::print(stderr, "warning: {}\n", warning);
  if (!options.hlog_file.empty() && !write_file(options.hlog_file, result_hlog(*generator))) {
    fmt::print(stderr, "hunt-load: cannot write {}\n", options.hlog_file);
    return 1;
  }
  return 0;
}
