// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace huntd {

// Whether pages of the admin port show what is not for each client that reaches another host's port:
// names of hunters, what they sent, and loot_ids, which can be codes (decisions 65 and 71).
enum class Private : bool { hidden, shown };

// The JSON of the member that says so.
inline const char* shown_json(Private what) { return what == Private::shown ? "true" : "false"; }

}  // namespace huntd
