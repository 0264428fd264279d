// SPDX-License-Identifier: Apache-2.0
// What a script does with each value that it reads: whether nil would fail there.
#pragma once
#include "check/scopes.h"
#include "check/tree.h"

namespace huntd::check {

// Sets Node::read of each node below `chunk`, and in `scopes` what the script asks for.
// REQUIRES: Node::variable is set.
void mark_reads(Node* chunk, Scopes& scopes);

}  // namespace huntd::check
