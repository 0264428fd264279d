// SPDX-License-Identifier: Apache-2.0
#include "base/journal.h"

#include <endian.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace huntd::log {
namespace {

char name_character(char c) {
  if (c >= 'a' && c <= 'z') return static_cast<char>(c - 'a' + 'A');
  bool const accepted = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return accepted ? c : '_';
}

}  // namespace

bool is_journal(int descriptor, const char* journal_stream) {
  struct stat status {};
  if (journal_stream == nullptr || fstat(descriptor, &status) != 0) return false;
  return fmt::format("{}:{}", status.st_dev, status.st_ino) == journal_stream;
}

int connect_journal(const char* path) {
  int const descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0 || reconnect_journal(descriptor, path)) return descriptor;
  int const error = errno;
  close(descriptor);
  errno = error;
  return -1;
}

bool reconnect_journal(int descriptor, const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (std::strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  std::strcpy(address.sun_path, path);
  return connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void append_journal_field(std::string& entry, std::string_view name, std::string_view value) {
  for (char const c : name) entry.push_back(name_character(c));
  if (value.find('\n') == std::string_view::npos) {
    entry.push_back('=');
  } else {
    // A value with line breaks has its length before it, as 64 bits in little endian.
    uint64_t const bytes = htole64(value.size());
    entry.push_back('\n');
    entry.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  }
  entry.append(value);
  entry.push_back('\n');
}

}  // namespace huntd::log
