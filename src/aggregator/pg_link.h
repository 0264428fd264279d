// One blocking connection to Postgres, on libpq. It keeps nothing in the server's session (no named
// statement, no SET but SET LOCAL), so it works through PgBouncer in transaction mode.
#pragma once
#include <libpq-fe.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace huntd {

// A one-dimensional array parameter in Postgres' binary form (array_recv in the server's
// arrayfuncs.c): many rows travel as a few of these and are opened by unnest().
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
  void add_timestamp_ms(int64_t since_epoch_ms);
  void add_null();
  size_t size() const { return size_; }

  // The whole parameter.
  std::string bytes() const;
  // OID of the array type.
  Oid type() const;

 private:
  Of element_;
  size_t size_ = 0;
  bool has_null_ = false;
  std::string elements_;
};

// Rows for COPY … FROM STDIN (FORMAT binary) (PostgreSQL documentation, COPY, "Binary Format"),
// each value in its type's binary form (its _recv function in the server).
class PgCopy {
 public:
  PgCopy();
  // A row of so many columns, each added in turn.
  void begin_row(uint16_t columns);
  void add_text(std::string_view text);
  void add_jsonb(std::string_view json);
  void add_int8(int64_t number);
  void add_timestamp_ms(int64_t since_epoch_ms);
  // A multirange of so many ranges, each added in turn.
  void begin_int8multirange(size_t ranges);
  void add_int8range(int64_t first, int64_t end);  // [first, end)
  size_t size() const { return size_; }

  // The whole stream; nothing can be added afterwards.
  std::string bytes() &&;

 private:
  std::string bytes_;
  size_t size_ = 0;
};

// Rows of an answer, in text form.
class PgRows {
 public:
  explicit PgRows(PGresult* result) : result_(result, &PQclear) {}
  int count() const { return PQntuples(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string_view text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<size_t>(PQgetlength(result_.get(), row, column))};
  }
  // CHECKs that the column is a whole number: only for columns that the schema makes one.
  int64_t integer(int row, int column) const;
  // How many rows an INSERT, UPDATE or DELETE touched.
  uint64_t touched() const;

 private:
  std::unique_ptr<PGresult, void (*)(PGresult*)> result_;
};

class PgLink {
 public:
  // `address` is a libpq URI or keywords.
  explicit PgLink(std::string address) : address_(std::move(address)) {}
  PgLink(const PgLink&) = delete;
  PgLink& operator=(const PgLink&) = delete;

  // Connects unless connected. Waits up to limits::peer_timeout_ms.
  Result<void> connect();
  bool connected() const { return connection_ != nullptr; }
  // Called every second while a statement runs: a long one is no hang.
  void on_wait(std::function<void()> callback) { on_wait_ = std::move(callback); }
  void close() { connection_.reset(); }

  // Runs one statement with parameters $1, $2 …; an answer of the wrong kind is an error as well.
  // After an error the link is closed where the connection is lost; otherwise an open transaction
  // is left failed.
  Result<PgRows> run(const std::string& statement, const std::vector<PgArray>& parameters = {});
  // Runs a COPY … FROM STDIN: how many rows it put down. Errors as run()'s.
  Result<uint64_t> copy_in(const std::string& statement, PgCopy rows);
  // Runs statements separated by semicolons, without parameters and without an answer.
  Result<void> run_script(const std::string& statements);
  // BEGIN … with time limits on statements and lock waits, by SET LOCAL.
  Result<void> begin();
  Result<void> commit();
  // Ends a transaction whatever its state; closes the link where even that fails.
  void rollback();
  // SQLSTATE of the last error, empty where it did not come from the server.
  const std::string& sqlstate() const { return sqlstate_; }

 private:
  Error failed(const PGresult* result);
  // Of what was just sent: the first failed result, else the last one; null where the connection
  // broke.
  // Waits a moment for the socket; false where the connection is broken.
  bool wait_for(short events);
  PGresult* next_result();
  PGresult* await_result();
  bool send_copy(std::string_view bytes);

  std::string address_;
  std::unique_ptr<PGconn, void (*)(PGconn*)> connection_{nullptr, &PQfinish};
  std::string sqlstate_;
  std::function<void()> on_wait_;
};

// What is wrong with a libpq URI or keywords, if anything; connects nowhere.
Result<void> check_postgres_address(const std::string& address);

}  // namespace huntd
