// SPDX-License-Identifier: Apache-2.0
// What a value certainly is, as far as the script shows it without being run.
#pragma once
#include <string_view>

#include "check/scopes.h"
#include "check/tree.h"

namespace huntd::check {

enum class Meaning {
  unknown,
  hunt,        // the table
  function,    // of hunt, not called
  value,       // of hunt, such as hunt.now
  held,        // the result of hunt.held()
  held_count,  // a field of it, which is nil if the hunter has none
  table,       // that the script writes out
};

struct Meant {
  Meaning kind = Meaning::unknown;
  std::string_view name;  // of the function or the value; the loot_id of a held_count
  bool sure = true;       // false: a parameter is taken for the hunt table by its name only
};

// Follows parentheses, and local variables that get no other value later.
Meant meaning_of(const Node* node);

// The nil, boolean, number, text, table or function that the value certainly is; null: not known.
const Node* literal_of(const Node* node);

}  // namespace huntd::check
