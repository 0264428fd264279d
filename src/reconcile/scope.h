// SPDX-License-Identifier: Apache-2.0
// Which sessions reconcile compares.
#pragma once
#include <string>
#include <string_view>

namespace huntd::reconcile {

struct Scope {
  std::string hunter_id;  // empty: all
  std::string hunt_id;    // empty: all

  bool is_all() const { return hunter_id.empty() && hunt_id.empty(); }
  bool has(std::string_view hunter, std::string_view hunt) const {
    return (hunter_id.empty() || hunter_id == hunter) && (hunt_id.empty() || hunt_id == hunt);
  }
  // What all hunters hold of a hunt is known, so its supplies can be compared.
  bool has_supplies_of(std::string_view hunt) const {
    return hunter_id.empty() && (hunt_id.empty() || hunt_id == hunt);
  }
};

}  // namespace huntd::reconcile
