// SPDX-License-Identifier: Apache-2.0
// The bundles that were live, as files in the folder `bundles` of hunts.state_dir, with their
// history (decision 64, docs/formats/bundle.md). Every function waits for the disk; errors name the
// path.
#pragma once
#include <optional>
#include <string>

#include "base/result.h"
#include "bundle/bundle.h"
#include "bundle/bundle_history.h"

namespace huntd {

// Writes the sources of `bundle` to its own file, unless it is there. Makes the folder.
Result<void> keep_bundle(const std::string& state_dir, const Bundle& bundle);
// The kept bundle `name`, without images. The error says that there is none, or what is wrong.
Result<Bundle> load_kept_bundle(const std::string& state_dir, const std::string& name);
// Replaces the history, then removes the files of bundles that it does not name.
Result<void> save_history(const std::string& state_dir, const BundleHistory& history);
// Nothing if there is none yet.
Result<std::optional<BundleHistory>> load_history(const std::string& state_dir);

}  // namespace huntd
