// SPDX-License-Identifier: Apache-2.0
#include "huntctl/metrics_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace huntd::huntctl {

Result<Samples> read_samples(std::string_view text) {
  Samples samples;
  while (!text.empty()) {
    size_t const end = std::min(text.find('\n'), text.size());
    std::string_view const line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    size_t const space = line.rfind(' ');
    std::string_view const number = space == std::string_view::npos ? "" : line.substr(space + 1);
    double value = 0;
    auto const [stop, failed] =
        std::from_chars(number.data(), number.data() + number.size(), value);
    if (number.empty() || failed != std::errc() || stop != number.data() + number.size())
      return Error{fmt::format("not a sample: {}", line)};
    samples.insert_or_assign(std::string(line.substr(0, space)), value);
  }
  return samples;
}

}  // namespace huntd::huntctl
