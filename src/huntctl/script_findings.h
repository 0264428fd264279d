// SPDX-License-Identifier: Apache-2.0
// The findings of one script, which a real hunt_worker compiles and src/check/ explains.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "check/finding.h"
#include "config/config.h"

namespace huntd::huntctl {

// Reads a script; one that is longer than limits::script_bytes_max is cut one byte behind that. The
// error is of kind `usage`.
Result<std::string> read_script_file(const std::filesystem::path& path);

// The findings of `text`, the settings of a hunt (NAME.toml).
std::vector<check::Finding> find_settings_mistakes(const std::string& text);

// The findings of `text`, a module that scripts share (lib/NAME.lua).
Result<std::vector<check::Finding>> find_module_mistakes(const std::filesystem::path& path,
                                                         const std::string& text,
                                                         const Config& config,
                                                         const std::string& worker_path);

// The findings of the script `text` of `path`: of a hunt, or of a test if the file's name ends in
// _test.lua. The error says why no worker could compile it.
Result<std::vector<check::Finding>> find_mistakes(const std::filesystem::path& path,
                                                  const std::string& text, const Config& config,
                                                  const std::string& worker_path);

// The findings of a file, which its name says to be one of these.
Result<std::vector<check::Finding>> find_file_mistakes(const std::filesystem::path& path,
                                                       const std::string& text,
                                                       const Config& config,
                                                       const std::string& worker_path);

}  // namespace huntd::huntctl
