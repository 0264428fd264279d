// SPDX-License-Identifier: Apache-2.0
#include "check/reads.h"

#include <string_view>

#include "check/literals.h"

namespace huntd::check {
namespace {

class Reads {
 public:
  explicit Reads(Scopes& scopes) : scopes_(scopes) {}

  // Node::read of `node` itself is set before.
  void visit(Node* node) {
    if (node->read == Read::asked) note_asked(node);
    mark_parts(node);
    for (Node* const part : node->parts) visit(part);
  }

 private:
  void note_asked(const Node* node) {
    if (node->kind == NodeKind::name && node->variable == nullptr)
      scopes_.globals_asked.insert(node->text);
    if (node->kind == NodeKind::index && node->parts[1]->kind == NodeKind::text)
      scopes_.fields_asked[node->parts[0]->text].insert(node->parts[1]->text);
  }

  void mark_parts(Node* node) {
    switch (node->kind) {
      case NodeKind::group:
        node->parts[0]->read = node->read;
        return;
      case NodeKind::index:
      case NodeKind::method:
        node->parts[0]->read = Read::needed;
        return;
      case NodeKind::call:
        return call(node);
      case NodeKind::unary:
        node->parts[0]->read = node->text == "not" ? Read::asked : Read::needed;
        return;
      case NodeKind::binary:
        return binary(node);
      case NodeKind::choice:
        for (Node* const part : node->parts) part->read = Read::asked;
        return;
      case NodeKind::loop_while:
        node->parts[0]->read = Read::asked;
        return;
      case NodeKind::loop_repeat:
        node->parts[1]->read = Read::asked;
        return;
      case NodeKind::loop_number:
        for (Node* const part : node->parts) part->read = Read::needed;
        return;
      case NodeKind::loop_in:
        if (node->parts.size() == node->count + 2) node->parts[node->count]->read = Read::needed;
        return;
      default:
        return;
    }
  }

  void binary(Node* node) {
    Node* const left = node->parts[0];
    Node* const right = node->parts[1];
    Read read = Read::needed;
    if (node->text == "and" || node->text == "or")
      read = Read::asked;
    else if (node->text == "==" || node->text == "~=")
      read =
          left->kind == NodeKind::nil || right->kind == NodeKind::nil ? Read::asked : Read::plain;
    left->read = right->read = read;
  }

  void call(Node* node) {
    Node* const called = node->parts[0];
    called->read = Read::needed;
    if (node->parts.size() < 2) return;
    Node* const first = node->parts[1];
    Meant const meant = meaning_of(called);
    if (meant.kind == Meaning::function && meant.name == "award" && meant.sure)
      first->read = Read::needed;
    if (called->kind != NodeKind::name || called->variable != nullptr ||
        scopes_.globals_set.contains(called->text))
      return;
    std::string_view const name = called->text;
    if (name == "type" || name == "assert") first->read = Read::asked;
    if (name == "pairs" || name == "ipairs" || name == "next") first->read = Read::needed;
    if (name != "setmetatable") return;
    if (const Node* const given = literal_of(first)) scopes_.with_metatable.insert(given);
  }

  Scopes& scopes_;
};

}  // namespace

void mark_reads(Node* chunk, Scopes& scopes) { Reads(scopes).visit(chunk); }

}  // namespace huntd::check
