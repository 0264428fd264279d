// SPDX-License-Identifier: Apache-2.0
// Listening sockets that have a path, and their files.
#pragma once
#include <sys/types.h>

#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace huntd {

// Owns the file of a socket of this process, or none: removes it when it is destroyed or gets
// another one, unless another process has replaced it. A child process that ends by _exit() leaves
// it.
class SocketFile {
 public:
  SocketFile() = default;
  // REQUIRES: this process has just made the file.
  explicit SocketFile(std::string path);
  SocketFile(SocketFile&& other) noexcept { *this = std::move(other); }
  SocketFile& operator=(SocketFile&& other) noexcept;
  ~SocketFile() { remove(); }

 private:
  void remove();

  std::string path_;  // empty: none
  dev_t device_ = 0;
  ino_t number_ = 0;
};

struct ListeningSocket {
  UniqueFd socket;
  SocketFile file = {};  // none if the socket has no path
};

// Listens on a path. Its file has `mode`, and never permits more, not even for a moment. A file on
// which no process listens is replaced; one of a live process, or one that is not a socket, is an
// error. The error names the path.
Result<ListeningSocket> listen_unix(const std::string& path, mode_t mode, int backlog);

}  // namespace huntd
