// SPDX-License-Identifier: Apache-2.0
#include "check/literals.h"

#include "check/lua_names.h"

namespace huntd::check {
namespace {

// A variable of a variable of a variable ... is followed this far.
constexpr int steps_max = 16;

// The node behind parentheses and unchanged local variables.
const Node* source_of(const Node* node) {
  for (int step = 0; step < steps_max; ++step) {
    if (node->kind == NodeKind::group) {
      node = node->parts[0];
    } else if (node->kind == NodeKind::name && node->variable != nullptr &&
               !node->variable->changed && node->variable->value != nullptr) {
      node = node->variable->value;
    } else {
      break;
    }
  }
  return node;
}

Meant meaning(const Node* node, int steps);

Meant meaning_of_index(const Node* node, int steps) {
  const Node* const key = literal_of(node->parts[1]);
  if (key == nullptr || key->kind != NodeKind::text) return {};
  Meant const object = meaning(node->parts[0], steps + 1);
  if (object.kind == Meaning::held) return {Meaning::held_count, key->text, object.sure};
  if (object.kind != Meaning::hunt) return {};
  if (contains(hunt_functions(), key->text)) return {Meaning::function, key->text, object.sure};
  if (contains(hunt_values(), key->text)) return {Meaning::value, key->text, object.sure};
  return {};
}

Meant meaning(const Node* node, int steps) {
  if (steps > steps_max) return {};
  node = source_of(node);
  switch (node->kind) {
    case NodeKind::name:
      if (node->variable != nullptr && node->variable->is_hunt && !node->variable->changed)
        return {Meaning::hunt, {}, !node->variable->hunt_by_name};
      return {};
    case NodeKind::table:
      return {Meaning::table, {}};
    case NodeKind::index:
      return meaning_of_index(node, steps);
    case NodeKind::call: {
      Meant const called = meaning(node->parts[0], steps + 1);
      if (called.kind == Meaning::function && called.name == "held")
        return {Meaning::held, {}, called.sure};
      return {};
    }
    default:
      return {};
  }
}

}  // namespace

Meant meaning_of(const Node* node) { return meaning(node, 0); }

const Node* literal_of(const Node* node) {
  const Node* const source = source_of(node);
  switch (source->kind) {
    case NodeKind::nil:
    case NodeKind::boolean:
    case NodeKind::number:
    case NodeKind::text:
    case NodeKind::table:
    case NodeKind::function:
      return source;
    default:
      return nullptr;
  }
}

}  // namespace huntd::check
