// SPDX-License-Identifier: Apache-2.0
#include "check/scopes.h"

#include <algorithm>

#include "check/reads.h"

namespace huntd::check {
namespace {

class Resolver {
 public:
  explicit Resolver(bool of_hunt) : of_hunt_(of_hunt) {}

  Scopes resolve(Node* chunk) {
    visit(chunk);
    if (of_hunt_) mark_hunt(chunk);
    mark_reads(chunk, scopes_);
    return std::move(scopes_);
  }

 private:
  Variable* declare(Node* name) {
    Variable& made = scopes_.variables.emplace_back();
    made.name = name->text;
    made.offset = name->offset;
    made.outer = innermost();
    name->variable = &made;
    visible_.push_back(&made);
    return &made;
  }

  Variable* find(std::string_view name) const {
    auto const found = std::find_if(visible_.rbegin(), visible_.rend(),
                                    [&](const Variable* one) { return one->name == name; });
    return found == visible_.rend() ? nullptr : *found;
  }

  const Variable* innermost() const { return visible_.empty() ? nullptr : visible_.back(); }

  GlobalUse* use(Node* name) {
    name->variable = find(name->text);
    if (name->variable != nullptr) return nullptr;
    scopes_.uses_g |= name->text == "_G";
    GlobalUse& made = scopes_.globals.emplace_back();
    made.name = name;
    made.visible = innermost();
    return &made;
  }

  // Visits what `from` and later parts are.
  void visit_parts(Node* node, size_t from = 0) {
    for (size_t i = from; i < node->parts.size(); ++i) visit(node->parts[i]);
  }

  void visit(Node* node) {
    switch (node->kind) {
      case NodeKind::name:
        use(node);
        return;
      case NodeKind::function:
        return function(node);
      case NodeKind::block: {
        size_t const outer = visible_.size();
        visit_parts(node);
        visible_.resize(outer);
        return;
      }
      case NodeKind::local:
        return local(node);
      case NodeKind::local_function:
        declare(node->parts[0])->value = node->parts[1];
        return visit(node->parts[1]);
      case NodeKind::assign:
        return assign(node);
      case NodeKind::loop_number:
      case NodeKind::loop_in:
        return loop(node);
      case NodeKind::loop_repeat:
        return loop_repeat(node);
      default:
        return visit_parts(node);
    }
  }

  void function(Node* node) {
    size_t const outer = visible_.size();
    for (size_t i = 0; i + 1 < node->parts.size(); ++i)
      if (node->parts[i]->kind == NodeKind::name) {
        Variable* const made = declare(node->parts[i]);
        made->parameter = true;
        made->is_hunt = made->name == "hunt";
      }
    visit(node->parts.back());
    visible_.resize(outer);
  }

  void local(Node* node) {
    visit_parts(node, node->count);
    for (size_t i = 0; i < node->count; ++i) {
      size_t const value = node->count + i;
      Variable* const made = declare(node->parts[i]);
      if (value < node->parts.size()) made->value = node->parts[value];
    }
  }

  void assign(Node* node) {
    bool const by_function = node->parts.back()->kind == NodeKind::function;
    visit_parts(node, node->count);
    for (size_t i = 0; i < node->count; ++i) {
      Node* const target = node->parts[i];
      if (target->kind == NodeKind::name) {
        if (GlobalUse* const made = use(target)) {
          made->set = true;
          made->by_function = by_function;
          scopes_.globals_set.insert(target->text);
        } else {
          target->variable->changed = true;
        }
        continue;
      }
      visit(target);
      if (target->kind == NodeKind::index && target->parts[0]->kind == NodeKind::name &&
          target->parts[1]->kind == NodeKind::text)
        scopes_.fields_set[target->parts[0]->text].insert(target->parts[1]->text);
    }
  }

  void loop(Node* node) {
    size_t const outer = visible_.size();
    for (size_t i = node->count; i + 1 < node->parts.size(); ++i) visit(node->parts[i]);
    for (size_t i = 0; i < node->count; ++i) declare(node->parts[i]);
    visit(node->parts.back());
    visible_.resize(outer);
  }

  // The condition of `until` sees the variables of the block.
  void loop_repeat(Node* node) {
    size_t const outer = visible_.size();
    visit_parts(node->parts[0]);
    visit(node->parts[1]);
    visible_.resize(outer);
  }

  // The first parameter of the function that the script returns is the hunt table.
  void mark_hunt(Node* chunk) {
    if (chunk->parts.empty() || chunk->parts.back()->kind != NodeKind::returns) return;
    const Node* const last = chunk->parts.back();
    if (last->parts.size() != 1) return;
    const Node* returned = last->parts[0];
    if (returned->kind == NodeKind::name && returned->variable != nullptr)
      returned = returned->variable->value;
    if (returned == nullptr || returned->kind != NodeKind::function) return;
    for (Variable& variable : scopes_.variables) variable.hunt_by_name = variable.is_hunt;
    const Node* const first = returned->parts[0];
    if (first->kind != NodeKind::name) return;
    first->variable->is_hunt = true;
    first->variable->hunt_by_name = false;
  }

  bool of_hunt_;
  Scopes scopes_;
  std::vector<Variable*> visible_;
};

}  // namespace

Scopes resolve(Node* chunk, bool of_hunt) { return Resolver(of_hunt).resolve(chunk); }

}  // namespace huntd::check
