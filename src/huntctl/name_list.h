// SPDX-License-Identifier: Apache-2.0
// Names for a message: all are counted, the first ones are kept.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/format_text.h"

namespace huntd::huntctl {

class NameList {
 public:
  explicit NameList(size_t kept_max = 5) : kept_max_(kept_max) {}

  void add(std::string name) {
    count_ += 1;
    if (names_.size() < kept_max_) names_.push_back(std::move(name));
  }
  uint64_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  const std::vector<std::string>& names() const { return names_; }
  // "ann, bob and 7 more".
  std::string text() const {
    std::string joined = join_texts(names_, ", ");
    if (count_ > names_.size()) joined += fmt::format(" and {} more", count_ - names_.size());
    return joined;
  }

 private:
  size_t kept_max_;
  uint64_t count_ = 0;
  std::vector<std::string> names_;
};

}  // namespace huntd::huntctl
