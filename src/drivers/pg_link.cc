// SPDX-License-Identifier: Apache-2.0
#include "drivers/pg_link.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <string>
#include <type_traits>

#include "base/check.h"
#include "base/clock.h"
#include "drivers/driver_limits.h"
#include "drivers/peer_timeout.h"

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
    if (c == '\n' || c == '\t') c = ' ';
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

namespace {

constexpr const char* read_only_transaction = "25006";  // SQLSTATE
constexpr char list_separator = '\x1f';

// Whether libpq was given several hosts, by any means, and not which of them to take.
bool takes_any_of_several_hosts(PGconn* connection) {
  bool several = false;
  bool any = true;
  PQconninfoOption* const options = PQconninfo(connection);
  for (PQconninfoOption* option = options; option != nullptr && option->keyword != nullptr;
       ++option) {
    std::string_view const keyword = option->keyword;
    std::string_view const value = option->val == nullptr ? "" : option->val;
    if (keyword == "host" || keyword == "hostaddr")
      several = several || value.find(',') != std::string_view::npos;
    if (keyword == "target_session_attrs") any = value.empty() || value == "any";
  }
  PQconninfoFree(options);
  return several && any;
}

// The text of an error that the server or PgBouncer has sent, or libpq's own.
std::string error_text(PGconn* connection, const PGresult* result) {
  std::string text = one_line(PQerrorMessage(connection));
  if (result != nullptr)
    if (std::string const more = one_line(PQresultErrorMessage(result));
        text.find(more) == std::string::npos)
      text = more + " " + text;
  return text;
}

// `statements`, of which the first may start a transaction, with `schema` as the only one in which
// they find tables.
std::string with_search_path(std::string_view schema, std::string_view statements) {
  std::string const set = fmt::format("SET LOCAL search_path = {}", quoted_name(schema));
  if (!statements.starts_with("BEGIN")) return fmt::format("{}; {}", set, statements);
  size_t const end = std::min(statements.find(';'), statements.size());
  return fmt::format("{}; {}{}", statements.substr(0, end), set, statements.substr(end));
}

}  // namespace

std::string quoted_name(std::string_view name) {
  std::string quoted = "\"";
  for (char c : name) quoted.append(c == '"' ? 2 : 1, c);
  return quoted += '"';
}

Result<void> check_server_version(int version) {
  if (version >= limits::pg_version_min) return {};
  return Error{fmt::format(
      "postgres: the server has version {}, and PostgreSQL {} or newer is needed, because a row "
      "keeps the seqs that it has counted as a multirange",
      version / 10'000, limits::pg_version_min / 10'000)};
}

Result<void> PgLink::open() {
  // libpq takes whole seconds, and 0 as no limit.
  std::string const connect_s = std::to_string((peer_timeout_ms() + 999) / 1000);
  std::string const tcp_ms = std::to_string(limits::peer_timeout_ms);
  // The address is the keyword `dbname`, so it overrides those before it. TCP detects a host that
  // is gone, however long a statement takes.
  const char* const keywords[] = {"connect_timeout",
                                  "tcp_user_timeout",
                                  "keepalives_idle",
                                  "keepalives_interval",
                                  "keepalives_count",
                                  "application_name",
                                  "client_encoding",
                                  "dbname",
                                  needs_primary_ ? "target_session_attrs" : nullptr,
                                  nullptr};
  const char* const values[] = {
      connect_s.c_str(), tcp_ms.c_str(), "10",   "5", "3", "hunt-aggregator", "UTF8",
      address_.c_str(),  "read-write",   nullptr};
  connection_.reset(PQconnectdbParams(keywords, values, 1));
  if (connection_ == nullptr) return Error{"postgres: out of memory"};
  if (PQstatus(connection_.get()) != CONNECTION_OK) {
    Error error{"postgres: " + one_line(PQerrorMessage(connection_.get())), ErrorKind::unreachable};
    connection_.reset();
    return error;
  }
  return {};
}

// PgBouncer may give each transaction another session, and rejects search_path among the options
// of a connection: so the schema is remembered here, and set in each transaction.
Result<void> PgLink::find_schema() {
  schema_ = configured_schema_;
  search_path_.clear();
  if (!configured_schema_.empty()) return {};
  Result<PgRows> const path = run(
      "SELECT coalesce(current_schema(), ''), array_to_string(current_schemas(false), E'\\x1f')",
      {});
  if (!path) return path.error();
  schema_ = path->text(0, 0);
  std::string_view left = path->text(0, 1);
  while (!left.empty()) {
    size_t const end = std::min(left.find(list_separator), left.size());
    search_path_.emplace_back(left.substr(0, end));
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return {};
}

Result<void> PgLink::connect() {
  if (connection_) return {};
  sqlstate_.clear();
  if (Result<void> opened = open(); !opened) return opened;
  if (!needs_primary_ && takes_any_of_several_hosts(connection_.get())) {
    needs_primary_ = true;
    if (Result<void> opened = open(); !opened) return opened;
  }
  PQsetNoticeProcessor(
      connection_.get(), [](void*, const char*) {}, nullptr);
  Result<void> fine = check_server_version(PQserverVersion(connection_.get()));
  if (fine) fine = find_schema();
  if (!fine) connection_.reset();
  return fine;
}

Error PgLink::failed(const PGresult* result) {
  const char* state = result == nullptr ? nullptr : PQresultErrorField(result, PG_DIAG_SQLSTATE);
  sqlstate_ = state == nullptr ? "" : state;
  std::string const text = error_text(connection_.get(), result);
  Error error{"postgres: " + text};
  bool lost = PQstatus(connection_.get()) != CONNECTION_OK;
  if (text.find("statement pooling mode") != std::string::npos) {
    error = Error{
        "postgres: PgBouncer is in statement mode, in which there are no transactions: set its "
        "pool_mode to transaction or session"};
    lost = true;
  } else if (sqlstate_ == read_only_transaction) {
    // After a fail-over the next connection may reach the new primary.
    error = Error{fmt::format(
        "postgres: the server accepts no writes, it is a standby or read-only: {} (if there are "
        "several servers, name all their hosts, then the primary is found)",
        text)};
    lost = true;
  }
  if (gave_up_)
    error = Error{fmt::format("postgres: no reply within {:g} s", statement_timeout_ms() / 1000.0),
                  ErrorKind::unreachable};
  else if (PQstatus(connection_.get()) != CONNECTION_OK)
    error.kind = ErrorKind::unreachable;
  if (lost) connection_.reset();
  return error;
}

void PgLink::begin_statement() {
  gave_up_ = false;
  uint32_t const timeout_ms = statement_timeout_ms();
  give_up_at_ms_ = timeout_ms > 0 ? monotonic_ms() + timeout_ms : INT64_MAX;
}

bool PgLink::in_no_transaction() const {
  return PQtransactionStatus(connection_.get()) == PQTRANS_IDLE;
}

void PgLink::report_waiting() {
  int64_t const now_ms = monotonic_ms();
  if (!on_wait_ || now_ms - waiting_reported_at_ms_ < wait_step_ms) return;
  waiting_reported_at_ms_ = now_ms;
  on_wait_();
}

void PgLink::notice_closed() {
  if (!connection_) return;
  pollfd arrived{.fd = PQsocket(connection_.get()), .events = POLLIN, .revents = 0};
  if (poll(&arrived, 1, 0) <= 0) return;
  // Between two statements only notices come, and the end.
  if (PQconsumeInput(connection_.get()) == 0 || PQstatus(connection_.get()) != CONNECTION_OK)
    connection_.reset();
}

bool PgLink::wait_for(short events) {
  pollfd wanted{.fd = PQsocket(connection_.get()), .events = events, .revents = 0};
  int64_t const left_ms = std::max<int64_t>(give_up_at_ms_ - monotonic_ms(), 0);
  // EINTR and a timeout need no action: the caller looks again.
  poll(&wanted, 1, static_cast<int>(std::min<int64_t>(left_ms, wait_step_ms)));
  report_waiting();
  if (monotonic_ms() >= give_up_at_ms_) {
    // Ends the waiting of every function of libpq with an error.
    gave_up_ = true;
    shutdown(PQsocket(connection_.get()), SHUT_RDWR);
  }
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
  if (schema_.empty() || !in_no_transaction()) return run(statement, parameters);
  if (Result<void> started = execute_script("BEGIN"); !started) return started.error();
  Result<PgRows> rows = run(statement, parameters);
  if (!rows) {
    rollback();
    return rows;
  }
  if (Result<PgRows> ended = run("END", {}); !ended) return ended.error();
  return rows;
}

Result<PgRows> PgLink::run(const std::string& statement, const std::vector<PgArray>& parameters) {
  begin_statement();
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
  begin_statement();
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
  begin_statement();
  bool const sets_path = !schema_.empty() && in_no_transaction();
  std::string const text = sets_path ? with_search_path(schema_, statements) : statements;
  PGresult* result = PQsendQuery(connection_.get(), text.c_str()) == 1 ? await_result() : nullptr;
  ExecStatusType const status = PQresultStatus(result);
  Result<void> outcome;
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) outcome = failed(result);
  PQclear(result);
  return outcome;
}

Result<void> PgLink::begin() {
  sqlstate_.clear();
  return execute_script(fmt::format(
      "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = {}; "
      "SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}; "
      "SET LOCAL work_mem = '{}kB'",
      statement_timeout_ms_, std::min(limits::pg_lock_timeout_ms, statement_timeout_ms_ / 2),
      limits::pg_silence_ms, limits::pg_work_mem_kb));
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
