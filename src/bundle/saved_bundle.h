// SPDX-License-Identifier: Apache-2.0
// The sources of the bundle that huntd serves, in a file (docs/formats/bundle.md): a start whose
// scripts have an error serves these.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "bundle/bundle.h"

namespace huntd {

// The path of the file in the directory `dir` (config key hunts.state_dir).
std::string saved_bundle_path(const std::string& dir);

// Replaces the file by the sources of `bundle`: a crash leaves the old file or the new one. Waits
// for the disk. The error names the path; it is also returned while another process saves.
Result<void> save_bundle(const std::string& dir, const Bundle& bundle);

// The same for any file `path` in `dir`, without the lock: the caller holds one.
Result<void> write_bundle_file(const std::string& dir, const std::string& path,
                               const Bundle& bundle);
// As load_saved_bundle(), of any file.
Result<std::optional<Bundle>> read_bundle_file(const std::string& path);
// Replaces `path` in `dir` by `text`: a crash leaves the old file or the new one. As above.
Result<void> write_text_file(const std::string& dir, const std::string& path,
                             std::string_view text);

// The saved bundle, without images; empty if there is none. The error names the file and says why
// it cannot be used.
Result<std::optional<Bundle>> load_saved_bundle(const std::string& dir);

}  // namespace huntd
