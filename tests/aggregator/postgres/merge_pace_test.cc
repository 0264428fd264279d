// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/merge_pace.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "aggregator/sessions/batch.h"

using huntd::aggregator::BatchSession;
using huntd::aggregator::MergePace;
namespace limits = huntd::limits;

namespace {

constexpr size_t mib = 1024 * 1024;

std::vector<BatchSession> sessions_of(size_t count, uint32_t events) {
  std::vector<BatchSession> sessions(count);
  for (BatchSession& session : sessions) session.event_count = events;
  return sessions;
}

}  // namespace

TEST_CASE("parts grow up to the bound while they are fast") {
  MergePace pace(64 * mib, 120'000);
  for (int i = 0; i < 10; ++i) pace.merged(pace.sessions(), 0, 10);
  CHECK(pace.sessions() == limits::merge_sessions_max);
}

TEST_CASE("after a part that is slow or rejected the next is smaller, down to one session") {
  MergePace pace(64 * mib, 8'000);
  size_t const before = pace.sessions();
  pace.merged(before, 0, 1'001);  // an eighth of the timeout
  CHECK(pace.sessions() == before / 2);
  for (int i = 0; i < 40; ++i) pace.failed(pace.sessions());
  CHECK(pace.sessions() == 1);
}

TEST_CASE("parts shrink at once to what fits in memory") {
  MergePace pace(mib, 120'000);
  pace.merged(100, 100 * 64 * 1024, 1);
  CHECK(pace.sessions() == 8);  // half of the bound, because the rows are not alike
}

TEST_CASE("a part has as many sessions as its events allow, and at least one") {
  MergePace const pace(mib, 120'000);
  std::vector<BatchSession> const large = sessions_of(10, 1'000'000);
  CHECK(pace.first_part(large).size() == 1);
  std::vector<BatchSession> const small = sessions_of(10, 3);
  CHECK(pace.first_part(small).size() == 10);
  std::vector<BatchSession> const many = sessions_of(limits::merge_sessions_max * 2, 1);
  CHECK(pace.first_part(many).size() < limits::merge_sessions_max);
}
