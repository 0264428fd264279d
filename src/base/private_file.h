// SPDX-License-Identifier: Apache-2.0
// Reads files that hold secrets, and files on which access depends. A file that every user of the host
// may write is rejected, and so is a secret that all may read.
#pragma once
#include <string>

#include "base/result.h"

namespace huntd {

enum class PrivateFile {
  regular,
  regular_or_pipe,  // also accepts a FIFO: `--token-file <(pass show huntd)`
  readable_by_all,  // no secret, such as a public key
};

// Reads the whole file, at most limits::secrets_file_bytes_max, or if it is `readable_by_all`
// limits::public_file_bytes_max. `key` names the file in errors: a
// config key or an option. Errors never show the content. The file is opened once, so the mode that
// is checked is that of the bytes that are read.
Result<std::string> read_private_file(const std::string& path, const char* key, PrivateFile kind);

// Reads the first line of a private file, without its line end. An empty line is an error.
Result<std::string> read_secret(const std::string& path, const char* key,
                                PrivateFile kind = PrivateFile::regular);

}  // namespace huntd
