// SPDX-License-Identifier: Apache-2.0
// Files that hold a secret and that may have changed. A file system may take as long as it likes, and
// a core must not wait for it.
#pragma once
#include <string>

#include "base/result.h"

namespace huntd::server {

// Callback of SecretFiles::read(); called at most once per call.
class SecretUser {
 public:
  // As read_secret() in base/private_file.h.
  virtual void on_secret(Result<std::string> secret) = 0;

 protected:
  ~SecretUser() = default;
};

// One file at a time.
class SecretFiles {
 public:
  virtual ~SecretFiles() = default;
  // Reads the first line of the private file `path`; `key` names it in errors, and is a literal. May
  // call back before it returns. If the user has given up on a read of this file that still runs,
  // gives the result of that one. REQUIRES: no user waits.
  virtual void read(const std::string& path, const char* key, SecretUser& user) = 0;
  // The user waits no longer: no callback follows.
  virtual void give_up() = 0;
};

}  // namespace huntd::server
