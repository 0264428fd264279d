// SPDX-License-Identifier: Apache-2.0
// The tables of odds that scripts have, so that the admin page can set them beside what was awarded
// (decision 71).
#pragma once
#include <string>

#include "bundle/bundle.h"

namespace huntd::server {

// A JSON array with an entry per table: {"hunt":"gold","lines":[{"loot":"ring","share":0.25},...]}.
// A table is a list of lines that each have a loot_id and a weight, written as a text and a number in
// the script, or in [config] of its settings; `share` is the weight's part of the sum. At most
// limits::odds_bytes_max bytes: what does not fit is left out, the last hunts first.
std::string meant_odds(const Bundle& bundle);

}  // namespace huntd::server
