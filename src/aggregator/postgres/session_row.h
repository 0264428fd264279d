// SPDX-License-Identifier: Apache-2.0
// The columns of hunt_session, in one place: their order, and the statements that write them.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "aggregator/sessions/session.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// A row that a merge inserts or updates. The caller owns what it refers to.
struct SessionRow {
  std::string_view hunter_id;
  std::string_view hunt_id;
  const Session& session;
  const SessionChange& change;
};

// Rows as the parameters of insert_rows_statement() and update_rows_statement(): one array per
// column.
class SessionRowArrays {
 public:
  SessionRowArrays();
  void add(const SessionRow& row);
  size_t size() const { return arrays_.front().size(); }
  const std::vector<PgArray>& arrays() const { return arrays_; }

 private:
  std::vector<PgArray> arrays_;
};

// Appends a row for copy_rows_statement().
void add_row(PgCopy& copy, const SessionRow& row);

// INSERT of rows that do not exist, in key order.
const std::string& insert_rows_statement();
// UPDATE of rows that exist.
const std::string& update_rows_statement();
// COPY of rows that do not exist. The rows must be in key order.
const std::string& copy_rows_statement();

}  // namespace huntd::aggregator
