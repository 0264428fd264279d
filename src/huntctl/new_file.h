// SPDX-License-Identifier: Apache-2.0
// Writes whole files.
#pragma once
#include <filesystem>
#include <string_view>

#include "base/result.h"

namespace huntd::huntctl {

enum class WriteMode {
  create,   // the file must not exist
  replace,  // it may exist
};

// The error names the file; it is of kind `usage` if the file exists and must not.
Result<void> write_file(const std::filesystem::path& path, std::string_view text, WriteMode mode);

}  // namespace huntd::huntctl
