// Files that hold secrets: read only where not everybody may.
#pragma once
#include <string>

#include "base/result.h"

namespace huntd {

enum class PrivateFile {
  regular,
  regular_or_pipe,  // `--token-file <(pass show huntd)` too
};

// The whole file. `key` is what names it to the user (a config key, an option), for errors, which
// never show the content. What is looked at is what is read: the file is opened once.
Result<std::string> read_private_file(const std::string& path, const char* key, PrivateFile kind);

}  // namespace huntd
