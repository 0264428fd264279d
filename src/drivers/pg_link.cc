// SPDX-License-Identifier: Apache-2.0
#include "drivers/pg_link.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <charconv>
#include <type_traits>

#include "base/check.h"
#include "drivers/driver_limits.h"

namespace huntd {
namespace {

// Microseconds from the Unix epoch to PostgreSQL's, 2000-01-01.
constexpr int64_t postgres_epoch_us = 946'684'800'000'000;

constexpr int wait_step_ms = 1000;
constexpr size_t copy_chunk_bytes = 64 * 1024;

std::string one_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string line(text);
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line;
}

// Network byte order, as in all binary forms of PostgreSQL.
template <class Number>
void append(std::string& to, Number number) {
  static_assert(std::is_unsigned_v<Number>);
  char bytes[sizeof number];
  for (size_t i = 0; i < sizeof number; ++i)
    bytes[i] = static_cast<char>(number >> 8 * (sizeof number - 1 - i) & 0xff);
  to.append(bytes, sizeof bytes);
}

void append_timestamp(std::string& to, int64_t since_epoch_ms) {
  append<uint32_t>(to, 8);
  append(to, static_cast<uint64_t>(since_epoch_ms * 1000 - postgres_epoch_us));
}

void append_int8(std::string& to, int64_t number) {
  append<uint32_t>(to, 8);
  append(to, static_cast<uint64_t>(number));
}

void append_text(std::string& to, std::string_view text) {
  append(to, static_cast<uint32_t>(text.size()));
  to.append(text);
}

}  // namespace

void PgArray::add_text(std::string_view text) {
  append_text(elements_, text);
  size_ += 1;
}

void PgArray::add_int4(int32_t number) {
  append<uint32_t>(elements_, 4);
  append(elements_, static_cast<uint32_t>(number));
  size_ += 1;
}

void PgArray::add_int8(int64_t number) {
  append_int8(elements_, number);
  size_ += 1;
}

void PgArray::add_timestamp_ms(int64_t since_epoch_ms) {
  append_timestamp(elements_, since_epoch_ms);
  size_ += 1;
}

void PgArray::add_null() {
  append(elements_, UINT32_MAX);
  has_null_ = true;
  size_ += 1;
}

std::string PgArray::bytes() const {
  std::string whole;
  whole.reserve(5 * sizeof(uint32_t) + elements_.size());
  append<uint32_t>(whole, size_ == 0 ? 0 : 1);  // dimensions
  append<uint32_t>(whole, has_null_ ? 1 : 0);
  append(whole, static_cast<uint32_t>(element_));
  if (size_ > 0) {
    append(whole, static_cast<uint32_t>(size_));
    append<uint32_t>(whole, 1);  // index of the first element
  }
  return whole += elements_;
}

Oid PgArray::type() const {
  switch (element_) {
    case Of::bytea:
      return 1001;
    case Of::int8:
      return 1016;
    case Of::int4:
      return 1007;
    case Of::text:
      return 1009;
    case Of::timestamptz:
      return 1185;
  }
  CHECK(false);
}

PgCopy::PgCopy() : bytes_("PGCOPY\n\377\r\n\0", 11) {
  append<uint32_t>(bytes_, 0);  // flags
  append<uint32_t>(bytes_, 0);  // length of the header's extension
}

void PgCopy::begin_row(uint16_t columns) {
  append(bytes_, columns);
  size_ += 1;
}

void PgCopy::add_text(std::string_view text) { append_text(bytes_, text); }

void PgCopy::add_jsonb(std::string_view json) {
  append(bytes_, static_cast<uint32_t>(1 + json.size()));
  append<uint8_t>(bytes_, 1);  // version
  bytes_.append(json);
}

void PgCopy::add_int8(int64_t number) { append_int8(bytes_, number); }

void PgCopy::add_timestamp_ms(int64_t since_epoch_ms) { append_timestamp(bytes_, since_epoch_ms); }

void PgCopy::add_null() { append(bytes_, UINT32_MAX); }

namespace {

constexpr uint8_t lower_included = 0x02;  // RANGE_LB_INC
constexpr uint32_t int8range_bytes = 1 + 2 * (sizeof(uint32_t) + sizeof(uint64_t));

}  // namespace

void PgCopy::begin_int8multirange(size_t ranges) {
  append(bytes_,
         static_cast<uint32_t>(sizeof(uint32_t) + ranges * (sizeof(uint32_t) + int8range_bytes)));
  append(bytes_, static_cast<uint32_t>(ranges));
}

void PgCopy::add_int8range(int64_t first, int64_t end) {
  append(bytes_, int8range_bytes);
  append(bytes_, lower_included);
  append_int8(bytes_, first);
  append_int8(bytes_, end);
}

std::string PgCopy::bytes() && {
  append<uint16_t>(bytes_, UINT16_MAX);  // end of data
  return std::move(bytes_);
}

int64_t PgRows::integer(int row, int column) const {
  std::string_view digits = text(row, column);
  int64_t number = 0;
  auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  CHECK(failure == std::errc() && end == digits.data() + digits.size());
  return number;
}

uint64_t PgRows::affected() const {
  std::string_view digits = PQcmdTuples(result_.get());
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

Result<void> PgLink::connect() {
  if (connection_) return {};
  sqlstate_.clear();
  std::string const connect_s = std::to_string(limits::peer_timeout_ms / 1000);
  std::string const tcp_ms = std::to_string(limits::peer_timeout_ms);
  // The address is the last keyword, `dbname`, so it overrides the others. TCP detects a host that
  // is gone, however long a statement takes.
  const char* const keywords[] = {
      "connect_timeout",  "tcp_user_timeout", "keepalives_idle", "keepalives_interval",
      "keepalives_count", "application_name", "dbname",          nullptr};
  const char* const values[] = {connect_s.c_str(), tcp_ms.c_str(),   "10",   "5", "3",
                                "hunt-aggregator", address_.c_str(), nullptr};
  connection_.reset(PQconnectdbParams(keywords, values, 1));
  if (connection_ == nullptr) return Error{"postgres: out of memory"};
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    Error error{"postgres: " + one_line(PQerrorMessage(connection_.get()))};
    connection_.reset();
    return error;
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  return {};
}

Error PgLink::failed(const PGresult* result) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  sqlstate_ = state == nullptr ? "" : state;
  Error error{"postgres: " + one_line(PQerrorMessage(connection_.get()))};
  if (PQstatus(connection_.get()) != CONNECTION_OK) connection_.reset();
  return error;
}

bool PgLink::wait_for(short events) {
  pollfd wanted{.fd = PQsocket(connection_.get()), .events = events, .revents = 0};
  poll(&wanted, 1, wait_step_ms);  // EINTR and a timeout need no action: the caller looks again
  if (on_wait_) on_wait_();
  return PQconsumeInput(connection_.get()) == 1;
}

PGresult* PgLink::next_result() {
  // If the connection is broken, PQgetResult() returns the error.
  while (PQisBusy(connection_.get()) == 1 && wait_for(POLLIN)) {
  }
  return PQgetResult(connection_.get());
}

PGresult* PgLink::await_result() {
  PGresult* kept = nullptr;
  for (;;) {
    PGresult* next = next_result();
    if (next == nullptr) return kept;
    if (kept != nullptr && PQresultStatus(kept) == PGRES_FATAL_ERROR) {
      PQclear(next);
      continue;
    }
    PQclear(kept);
    kept = next;
  }
}

Result<PgRows> PgLink::execute(const std::string& statement,
                               const std::vector<PgArray>& parameters) {
  if (!connection_) return Error{"postgres: not connected"};
  std::vector<std::string> bytes;
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> lengths;
  bytes.reserve(parameters.size());
  for (const PgArray& parameter : parameters) {
    bytes.push_back(parameter.bytes());
    types.push_back(parameter.type());
    values.push_back(bytes.back().data());
    lengths.push_back(static_cast<int>(bytes.back().size()));
  }
  std::vector<int> const formats(parameters.size(), 1);
  bool const sent =
      PQsendQueryParams(connection_.get(), statement.c_str(), static_cast<int>(parameters.size()),
                        types.data(), values.data(), lengths.data(), formats.data(), 0) == 1;
  PGresult* result = sent ? await_result() : nullptr;
  ExecStatusType const status = PQresultStatus(result);
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
    Error error = failed(result);
    PQclear(result);
    return error;
  }
  return PgRows(result);
}

// PostgreSQL stops reading while it waits for a lock, so this waits like any other statement.
bool PgLink::send_copy(std::string_view bytes) {
  PGconn* const connection = connection_.get();
  // Only COPY data is long. Everything else is short, and libpq sends it in one call.
  if (PQsetnonblocking(connection, 1) != 0) return false;
  int done = 1;  // libpq: 1 queued, 0 would block, -1 failed
  for (size_t at = 0; done == 1 && at < bytes.size(); at += copy_chunk_bytes) {
    int const size = static_cast<int>(std::min(copy_chunk_bytes, bytes.size() - at));
    while ((done = PQputCopyData(connection, bytes.data() + at, size)) == 0)
      if (!wait_for(POLLIN | POLLOUT)) return false;
  }
  while (done == 1 && (done = PQputCopyEnd(connection, nullptr)) == 0)
    if (!wait_for(POLLIN | POLLOUT)) return false;
  if (done != 1) return false;
  int left = 0;  // libpq: 0 everything is sent, 1 would block, -1 failed
  while ((left = PQflush(connection)) == 1)
    if (!wait_for(POLLIN | POLLOUT)) return false;
  return left == 0 && PQsetnonblocking(connection, 0) == 0;
}

Result<uint64_t> PgLink::copy_in(const std::string& statement, PgCopy rows) {
  if (!connection_) return Error{"postgres: not connected"};
  std::string const bytes = std::move(rows).bytes();
  PGresult* result =
      PQsendQuery(connection_.get(), statement.c_str()) == 1 ? next_result() : nullptr;
  if (PQresultStatus(result) == PGRES_COPY_IN) {
    PQclear(result);
    result = send_copy(bytes) ? await_result() : nullptr;
  } else if (result != nullptr) {
    while (PGresult* more = PQgetResult(connection_.get())) PQclear(more);
  }
  if (PQresultStatus(result) != PGRES_COMMAND_OK) {
    Error error = failed(result);
    PQclear(result);
    return error;
  }
  return PgRows(result).affected();
}

Result<void> PgLink::execute_script(const std::string& statements) {
  if (!connection_) return Error{"postgres: not connected"};
  PGresult* result =
      PQsendQuery(connection_.get(), statements.c_str()) == 1 ? await_result() : nullptr;
  ExecStatusType const status = PQresultStatus(result);
  Result<void> outcome;
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) outcome = failed(result);
  PQclear(result);
  return outcome;
}

Result<void> PgLink::begin() {
  return execute_script(fmt::format(
      "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}; "
      "SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; "
      "SET LOCAL work_mem = '{}kB'",
      limits::pg_statement_timeout_ms, limits::pg_lock_timeout_ms, limits::pg_silence_ms,
      limits::pg_work_mem_kb));
}

Result<void> PgLink::commit() {
  Result<PgRows> done = execute("COMMIT");
  if (!done) return done.error();
  return {};
}

void PgLink::rollback() {
  if (connection_ && !execute_script("ROLLBACK")) connection_.reset();
}

Result<void> check_postgres_address(const std::string& address) {
  char* message = nullptr;
  PQconninfoOption* options = PQconninfoParse(address.c_str(), &message);
  if (options != nullptr) {
    PQconninfoFree(options);
    return {};
  }
  Error error{message == nullptr ? "out of memory" : one_line(message)};
  PQfreemem(message);
  return error;
}

}  // namespace huntd
