// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/session_row.h"

#include <fmt/format.h>

#include <iterator>

#include "base/check.h"

namespace huntd::aggregator {
namespace {

using Of = PgArray::Of;

struct Column {
  const char* name;
  Of element;          // type of its parameter's elements
  const char* insert;  // value that INSERT writes; v is a row of the parameters
  const char* update;  // value that UPDATE writes; s is the row in the table. Empty: not written
};
constexpr Column columns[] = {
    {"hunter_id", Of::text, "v.hunter_id", ""},
    {"hunt_id", Of::text, "v.hunt_id", ""},
    {"loot", Of::text, "v.loot::jsonb", "v.loot::jsonb"},
    {"loot_count", Of::int8, "v.loot_count", "v.loot_count"},
    {"first_loot_at", Of::timestamptz, "v.first_loot_at",
     "least(s.first_loot_at, v.first_loot_at)"},
    {"last_loot_at", Of::timestamptz, "v.last_loot_at", "greatest(s.last_loot_at, v.last_loot_at)"},
    {"bundle", Of::text, "coalesce(v.bundle, '')", "coalesce(v.bundle, s.bundle)"},
    {"seen_upto", Of::int8, "v.seen_upto", "v.seen_upto"},
    {"seen_beyond", Of::text, "v.seen_beyond::int8multirange", "v.seen_beyond::int8multirange"},
    {"generation", Of::int8, "v.generation", "v.generation"},
    {"past", Of::text, "v.past::jsonb", "v.past::jsonb"},
    {"forgotten_generation", Of::int8, "v.forgotten_generation", "v.forgotten_generation"},
    {"added", Of::int8, "v.added", "v.added"},
    {"taken", Of::int8, "v.taken", "v.taken"},
};

// Writes the values of a row in the order of `columns`.
template <class Sink>
void write_values(const SessionRow& row, Sink& sink) {
  sink.text(row.hunter_id);
  sink.text(row.hunt_id);
  sink.json(row.session.loot_text());
  sink.integer(row.session.loot_count());
  sink.timestamp(row.change.first_loot_at_ms);
  sink.timestamp(row.change.last_loot_at_ms);
  sink.bundle(row.change.bundle);
  sink.number(row.session.seen.upto());
  sink.ranges(row.session.seen);
  sink.number(row.session.generation);
  sink.json_or_null(row.session.past_text());
  sink.number(row.session.forgotten_generation);
  sink.number(row.session.added);
  sink.number(row.session.taken);
}

// Adds each value to the array of its column.
class ArraySink {
 public:
  explicit ArraySink(std::vector<PgArray>& arrays) : arrays_(arrays) {}
  void text(std::string_view value) { next().add_text(value); }
  void json(std::string_view value) { next().add_text(value); }
  void json_or_null(std::string_view value) { text_or_null(value); }
  void integer(int64_t value) { next().add_int8(value); }
  void number(uint64_t value) { integer(static_cast<int64_t>(value)); }
  void timestamp(int64_t value_ms) { next().add_timestamp_ms(value_ms); }
  void bundle(std::string_view value) { text_or_null(value); }  // null: the row keeps its bundle
  void ranges(const SeqSet& value) { next().add_text(value.beyond_text()); }

 private:
  void text_or_null(std::string_view value) {
    PgArray& array = next();
    if (value.empty())
      array.add_null();
    else
      array.add_text(value);
  }
  PgArray& next() {
    CHECK(column_ < arrays_.size());
    return arrays_[column_++];
  }
  std::vector<PgArray>& arrays_;
  size_t column_ = 0;
};

class CopySink {
 public:
  explicit CopySink(PgCopy& copy) : copy_(copy) {}
  void text(std::string_view value) { copy_.add_text(value); }
  void json(std::string_view value) { copy_.add_jsonb(value); }
  void json_or_null(std::string_view value) {
    if (value.empty())
      copy_.add_null();
    else
      copy_.add_jsonb(value);
  }
  void integer(int64_t value) { copy_.add_int8(value); }
  void number(uint64_t value) { integer(static_cast<int64_t>(value)); }
  void timestamp(int64_t value_ms) { copy_.add_timestamp_ms(value_ms); }
  void bundle(std::string_view value) { copy_.add_text(value); }
  void ranges(const SeqSet& value) {
    copy_.begin_int8multirange(value.beyond().size());
    for (const SeqRange& range : value.beyond())
      copy_.add_int8range(static_cast<int64_t>(range.first), static_cast<int64_t>(range.last + 1));
  }

 private:
  PgCopy& copy_;
};

// Joins what `text_of` returns for each column, except empty texts, by ", ".
template <class TextOf>
std::string joined(TextOf text_of) {
  std::string list;
  for (const Column& column : columns)
    if (std::string const text = text_of(column); !text.empty())
      list += (list.empty() ? "" : ", ") + text;
  return list;
}

std::string names() {
  return joined([](const Column& column) { return std::string(column.name); });
}

// "unnest($1, $2, ...) AS v (hunter_id, hunt_id, ...)"
std::string parameters() {
  size_t number = 0;
  std::string const list = joined([&](const Column&) { return fmt::format("${}", ++number); });
  return fmt::format("unnest({}) AS v ({})", list, names());
}

}  // namespace

SessionRowArrays::SessionRowArrays() {
  for (const Column& column : columns) arrays_.emplace_back(column.element);
}

void SessionRowArrays::add(const SessionRow& row) {
  ArraySink sink(arrays_);
  write_values(row, sink);
}

void add_row(PgCopy& copy, const SessionRow& row) {
  copy.begin_row(static_cast<uint16_t>(std::size(columns)));
  CopySink sink(copy);
  write_values(row, sink);
}

const std::string& insert_rows_statement() {
  static const std::string statement = fmt::format(
      "INSERT INTO hunt_session ({}) SELECT {} FROM {} "
      "ORDER BY v.hunter_id COLLATE \"C\", v.hunt_id COLLATE \"C\"",
      names(), joined([](const Column& column) { return std::string(column.insert); }),
      parameters());
  return statement;
}

const std::string& update_rows_statement() {
  static const std::string statement = fmt::format(
      "UPDATE hunt_session s SET {} FROM {} "
      "WHERE s.hunter_id = v.hunter_id COLLATE \"C\" AND s.hunt_id = v.hunt_id COLLATE \"C\"",
      joined([](const Column& column) {
        return *column.update == '\0' ? std::string()
                                      : fmt::format("{} = {}", column.name, column.update);
      }),
      parameters());
  return statement;
}

const std::string& copy_rows_statement() {
  static const std::string statement =
      fmt::format("COPY hunt_session ({}) FROM STDIN (FORMAT binary)", names());
  return statement;
}

}  // namespace huntd::aggregator
