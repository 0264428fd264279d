// SPDX-License-Identifier: Apache-2.0
// A blocking connection to PostgreSQL, on libpq. It keeps no state in the server's session (no
// named statement, no SET except SET LOCAL, no lock that outlives a transaction), so it works
// through PgBouncer in session and in transaction mode. In statement mode there are no
// transactions: the first one fails with an error that says so.
#pragma once
#include <libpq-fe.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "drivers/driver_limits.h"

namespace huntd {

// A one-dimensional array parameter in PostgreSQL's binary form (array_recv() in the server's
// arrayfuncs.c). Many rows are sent as one array per column, which unnest() turns into rows.
class PgArray {
 public:
  enum class Of : uint32_t {  // element type: its OID in pg_type
    bytea = 17,
    int8 = 20,
    int4 = 23,
    text = 25,
    timestamptz = 1184,
  };
  explicit PgArray(Of element) : element_(element) {}

  void add_text(std::string_view text);  // also for bytea
  void add_int4(int32_t number);
  void add_int8(int64_t number);
  void add_timestamp_ms(int64_t since_epoch_ms);  // since the Unix epoch
  void add_null();
  size_t size() const { return size_; }

  // The parameter's bytes.
  std::string bytes() const;
  // OID of the array type.
  Oid type() const;

 private:
  Of element_;
  size_t size_ = 0;
  bool has_null_ = false;
  std::string elements_;
};

// Rows for COPY ... FROM STDIN (FORMAT binary) (PostgreSQL documentation, COPY, "Binary Format"),
// each value in the binary form of its type (the type's _recv function in the server).
class PgCopy {
 public:
  PgCopy();
  // Starts a row; then one add_...() per column.
  void begin_row(uint16_t columns);
  void add_text(std::string_view text);
  void add_jsonb(std::string_view json);
  void add_int8(int64_t number);
  void add_timestamp_ms(int64_t since_epoch_ms);
  void add_null();
  // Starts a multirange; then one add_int8range() per range.
  void begin_int8multirange(size_t ranges);
  void add_int8range(int64_t first, int64_t end);  // [first, end)
  size_t size() const { return size_; }

  // The stream's bytes.
  std::string bytes() &&;

 private:
  std::string bytes_;
  size_t size_ = 0;
};

// The rows of a result, in text form.
class PgRows {
 public:
  explicit PgRows(PGresult* result) : result_(result, &PQclear) {}
  int count() const { return PQntuples(result_.get()); }
  int columns() const { return PQnfields(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string_view text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(PQgetlength(result_.get(), row, column))};
  }
  // CHECKs that the value is a whole number. REQUIRES: the column has an integer type and is not
  // null.
  int64_t integer(int row, int column) const;
  // The number of rows that an INSERT, UPDATE, DELETE or COPY has affected.
  uint64_t affected() const;

 private:
  std::unique_ptr<PGresult, void (*)(PGresult*)> result_;
};

class PgLink {
 public:
  // `address` is a libpq URI or keywords. Every statement finds its tables in `schema` alone (and
  // in pg_catalog); if that is empty, in the schema that comes first in the connection's
  // search_path.
  explicit PgLink(std::string address, std::string schema = "")
      : address_(std::move(address)), configured_schema_(std::move(schema)) {}
  PgLink(const PgLink&) = delete;
  PgLink& operator=(const PgLink&) = delete;

  // Connects; does nothing if connected. Waits up to limits::peer_timeout_ms per host. If the
  // address, the environment or the service file names several hosts, only one that accepts writes
  // is taken. An error if the server is older than limits::pg_version_min.
  Result<void> connect();
  bool connected() const { return connection_ != nullptr; }
  // Closes the link if the server has closed it. Asks the server nothing and does not wait.
  void notice_closed();
  // Sets a function that is called about every second while a statement runs, to feed a watchdog.
  void on_wait(std::function<void()> callback) { on_wait_ = std::move(callback); }
  // Calls that function if it is due. For long work between two statements.
  void report_waiting();
  void close() { connection_.reset(); }

  // The schema in which tables are looked for and created; empty: there is none. REQUIRES: connected.
  const std::string& schema() const { return schema_; }
  // The schemas of the connection's own search_path, if none is configured; else empty. REQUIRES:
  // connected.
  const std::vector<std::string>& search_path() const { return search_path_; }
  // Bounds each statement of later transactions; a lock may be waited for half as long.
  void set_statement_timeout_ms(uint32_t timeout_ms) { statement_timeout_ms_ = timeout_ms; }

  // Executes one statement with the parameters $1, $2 and so on; outside a transaction, in one of
  // its own. If the connection is lost, or the server accepts no writes, the error closes the link;
  // after any other error an open transaction is in the failed state.
  Result<PgRows> execute(const std::string& statement, const std::vector<PgArray>& parameters = {});
  // Executes a COPY ... FROM STDIN; returns the number of rows written. Errors are those of
  // execute().
  Result<uint64_t> copy_in(const std::string& statement, PgCopy rows);
  // Executes statements separated by semicolons, without parameters, and ignores their rows. The
  // first may be BEGIN; without one, and outside a transaction, all are one transaction.
  Result<void> execute_script(const std::string& statements);
  // Starts a transaction with the timeouts of driver_limits.h, by SET LOCAL. Prefer
  // in_transaction().
  Result<void> begin();
  Result<void> commit();
  // Ends a transaction in any state; closes the link if that fails.
  void rollback();
  // SQLSTATE of the last error since connect() or begin(); empty if the error is not the server's.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  Result<void> open();
  Result<void> find_schema();
  Error failed(const PGresult* result);
  // Starts the time of statement_timeout_ms() (drivers/peer_timeout.h).
  void begin_statement();
  bool in_no_transaction() const;
  // execute(), as it stands: in the transaction that is open.
  Result<PgRows> run(const std::string& statement, const std::vector<PgArray>& parameters);
  // Waits up to a second for poll(2) events on the socket; returns false if the connection is
  // broken.
  bool wait_for(short events);
  // Waits for the next result; null if there are no more. The caller clears it.
  PGresult* next_result();
  // Waits for all results of what was sent; returns the first that failed, else the last. Null if
  // the connection is broken. The caller clears it.
  PGresult* await_result();
  bool send_copy(std::string_view bytes);

  std::string address_;
  std::string configured_schema_;
  std::string schema_;
  std::vector<std::string> search_path_;
  bool needs_primary_ = false;  // there are several hosts
  uint32_t statement_timeout_ms_ = limits::pg_statement_timeout_ms;
  int64_t waiting_reported_at_ms_ = 0;
  int64_t give_up_at_ms_ = INT64_MAX;
  bool gave_up_ = false;  // on the present statement
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_{nullptr, &PQfinish};
  std::string sqlstate_;
  std::function<void()> on_wait_;
};

// Calls `body`, which returns a Result, in a transaction. Commits if it succeeds; rolls back if it
// returns an error or an empty std::optional. Returns the result of `body`, or the error of BEGIN
// or COMMIT.
template <class Body>
auto in_transaction(PgLink& postgres, Body body) -> decltype(body()) {
  if (Result<void> started = postgres.begin(); !started) return started.error();
  auto result = body();
  bool commits = static_cast<bool>(result);
  if constexpr (requires { result->has_value(); }) commits = commits && result->has_value();
  Result<void> const committed = commits ? postgres.commit() : Result<void>();
  if (!commits || !committed) postgres.rollback();
  if (!committed) return committed.error();
  return result;
}

// `name` as an identifier in SQL text: in double quotes.
std::string quoted_name(std::string_view name);

// An error if huntd cannot work with this version, in the form of PQserverVersion().
Result<void> check_server_version(int version);

// Checks the syntax of a libpq URI or keywords; does not connect. The error says what is wrong.
Result<void> check_postgres_address(const std::string& address);

}  // namespace huntd
