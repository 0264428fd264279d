// SPDX-License-Identifier: Apache-2.0
#include "reconcile/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

namespace huntd::reconcile {
namespace {

// Of a hunter, else of a supply.
uint32_t section_of(const Difference& difference) { return difference.hunter_id.empty() ? 1 : 0; }

// Orders the numbers in a position by value: "partition 3 offset 41" is before "… offset 100".
std::string order_of(std::string_view position) {
  constexpr size_t digits = 20;
  std::string order;
  for (size_t at = 0; at < position.size();) {
    size_t const end = std::min(position.find_first_not_of("0123456789", at), position.size());
    if (end == at) {
      order += position[at++];
      continue;
    }
    order.append(end - at < digits ? digits - (end - at) : 0, '0');
    order += position.substr(at, end - at);
    at = end;
  }
  return order;
}

// Adds `value`, and removes the last if there are more than `list_max`.
template <class Set, class Value>
void insert_bounded(Set& set, Value value, size_t list_max) {
  set.insert(std::move(value));
  if (set.size() > list_max) set.erase(std::prev(set.end()));
}

}  // namespace

void Findings::add(Difference difference) {
  totals_.differences_total += 1;
  uint32_t const section = section_of(difference);
  insert_bounded(differences_, Listed{section, next_number_++, std::move(difference)}, list_max_);
}

void Findings::add_unreadable(std::string_view position, std::string_view reason) {
  totals_.differences_total += 1;
  insert_bounded(unreadable_,
                 ListedRecord{order_of(position), {std::string(position), std::string(reason)}},
                 list_max_);
}

void Findings::add_dead_letter(std::string_view position, std::string_view reason) {
  totals_.set_aside += 1;
  insert_bounded(dead_letters_,
                 ListedRecord{order_of(position), {std::string(position), std::string(reason)}},
                 list_max_);
}

Report Findings::take() {
  Report report = std::exchange(totals_, {});
  for (const Listed& listed : differences_) report.differences.push_back(listed.difference);
  for (const ListedRecord& listed : unreadable_) {
    if (report.differences.size() == list_max_) break;
    report.differences.push_back(
        {.kind = "unreadable",
         .hunter_id = "",
         .hunt_id = "",
         .detail = fmt::format("{}: {}", listed.record.position, listed.record.reason)});
  }
  for (const ListedRecord& listed : dead_letters_) report.dead_lettered.push_back(listed.record);
  differences_.clear();
  unreadable_.clear();
  dead_letters_.clear();
  return report;
}

}  // namespace huntd::reconcile
