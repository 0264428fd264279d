#include "base/private_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/limits.h"

namespace huntd {
namespace {

struct Descriptor {
  explicit Descriptor(int opened) : number(opened) {}
  ~Descriptor() {
    if (number >= 0) close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int number;
};

}  // namespace

Result<std::string> read_private_file(const std::string& path, const char* key, PrivateFile kind) {
  // A FIFO without a writer would hold a server's start for ever.
  int const nonblocking = kind == PrivateFile::regular ? O_NONBLOCK : 0;
  Descriptor const file(open(path.c_str(), O_RDONLY | O_CLOEXEC | nonblocking));
  struct stat status {};
  if (file.number < 0 || fstat(file.number, &status) != 0)
    return Error{fmt::format("{}: {}: {}", key, path, std::strerror(errno))};
  bool const pipe = kind == PrivateFile::regular_or_pipe && S_ISFIFO(status.st_mode);
  if (!S_ISREG(status.st_mode) && !pipe) return Error{fmt::format("{}: {} is no file", key, path)};
  if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0)
    return Error{fmt::format(
        "{}: everybody may read or write {}: chmod o-rw it, and make new secrets", key, path)};
  std::string text;
  char piece[4096];
  ssize_t got = 0;
  while ((got = read(file.number, piece, sizeof piece)) > 0) {
    text.append(piece, static_cast<size_t>(got));
    if (text.size() > limits::secrets_file_bytes_max)
      return Error{
          fmt::format("{}: {} is longer than {} bytes", key, path, limits::secrets_file_bytes_max)};
  }
  if (got < 0)
    return Error{fmt::format("{}: {} can't be read: {}", key, path, std::strerror(errno))};
  return text;
}

}  // namespace huntd
