// SPDX-License-Identifier: Apache-2.0
#include "base/private_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "base/unique_fd.h"

namespace huntd {

Result<std::string> read_private_file(const std::string& path, const char* key, PrivateFile kind) {
  // Without O_NONBLOCK, open() of a FIFO that has no writer would block the start of a server.
  int const nonblocking = kind == PrivateFile::regular_or_pipe ? 0 : O_NONBLOCK;
  UniqueFd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC | nonblocking));
  struct stat status {};
  if (!file.valid() || fstat(file.get(), &status) != 0)
    return Error{fmt::format("{}: {}: {}", key, path, std::strerror(errno))};
  bool const pipe = kind == PrivateFile::regular_or_pipe && S_ISFIFO(status.st_mode);
  if (!S_ISREG(status.st_mode) && !pipe)
    return Error{fmt::format("{}: {} is not a regular file", key, path)};
  bool const secret = kind != PrivateFile::readable_by_all;
  if (!secret && (status.st_mode & S_IWOTH) != 0)
    return Error{fmt::format("{}: {} is world-writable: chmod o-w it", key, path)};
  if (secret && (status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    return Error{fmt::format(
        "{}: {} is world-readable or world-writable: chmod o-rw it, and create new secrets", key,
        path)};
  size_t const bytes_max = secret ? limits::secrets_file_bytes_max : limits::public_file_bytes_max;
  std::string text;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = read(file.get(), buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > bytes_max)
      return Error{fmt::format("{}: {} has more than {} bytes", key, path, bytes_max)};
  }
  if (got < 0) return Error{fmt::format("{}: cannot read {}: {}", key, path, std::strerror(errno))};
  return text;
}

Result<std::string> read_secret(const std::string& path, const char* key, PrivateFile kind) {
  Result<std::string> text = read_private_file(path, key, kind);
  if (!text) return text;
  text->resize(std::min(text->find_first_of("\r\n"), text->size()));
  if (text->empty())
    return Error{
        fmt::format("{}: the first line of {} is empty: write the secret there", key, path)};
  return text;
}

}  // namespace huntd
