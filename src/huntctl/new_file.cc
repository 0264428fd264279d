// SPDX-License-Identifier: Apache-2.0
#include "huntctl/new_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/unique_fd.h"

namespace huntd::huntctl {

Result<void> write_file(const std::filesystem::path& path, std::string_view text, WriteMode mode) {
  int const how = mode == WriteMode::create ? O_EXCL : O_TRUNC;
  UniqueFd const file(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | how, 0666));
  if (!file.valid() && errno == EEXIST)
    return Error{fmt::format("{} exists, and is not overwritten", path.string()), ErrorKind::usage};
  while (file.valid() && !text.empty()) {
    ssize_t const wrote = write(file.get(), text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    text.remove_prefix(static_cast<size_t>(wrote));
  }
  if (file.valid() && text.empty()) return {};
  return Error{fmt::format("cannot write {}: {}", path.string(), std::strerror(errno))};
}

}  // namespace huntd::huntctl
