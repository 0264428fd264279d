// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/schema.h"

#include <fmt/format.h>

#include <algorithm>

#include "aggregator/postgres/migrations.h"
#include "aggregator/sessions/merge_lock.h"

namespace huntd::aggregator {
namespace {

using Of = PgArray::Of;

// The number of the advisory lock that serializes migrations; no other program uses it.
constexpr long long migration_lock = 0x68756e74'64736368;  // "huntdsch"

constexpr const char* insufficient_privilege = "42501";  // SQLSTATE
constexpr const char* invalid_schema_name = "3F000";     // SQLSTATE

constexpr const char* create_version_table =
    "CREATE TABLE IF NOT EXISTS hunt_schema_version (version integer PRIMARY KEY, "
    "applied_at timestamptz NOT NULL DEFAULT now())";

PgArray text_array(const std::vector<std::string>& texts) {
  PgArray array(Of::text);
  for (const std::string& text : texts) array.add_text(text);
  return array;
}

// The schemas among these that have tables of huntd, separated by commas.
Result<std::string> schemas_with_tables(PgLink& postgres, const std::vector<std::string>& schemas) {
  // Not to_regclass(): it uses the server's cache of names, which may be stale in a transaction
  // that has waited for the lock.
  Result<PgRows> const found = postgres.execute(
      "SELECT coalesce(string_agg(schemaname, ', '), '') FROM pg_catalog.pg_tables "
      "WHERE tablename = 'hunt_schema_version' AND schemaname = ANY ($1)",
      {text_array(schemas)});
  if (!found) return found.error();
  return std::string(found->text(0, 0));
}

// 0 if there are no tables. Only the schema of the link counts: another installation may have its
// tables in another schema of the same search_path.
Result<int> version_of(PgLink& postgres) {
  Result<std::string> const own = schemas_with_tables(postgres, {postgres.schema()});
  if (!own) return own.error();
  if (own->empty()) return 0;
  Result<PgRows> const newest =
      postgres.execute("SELECT coalesce(max(version), 0) FROM hunt_schema_version");
  if (newest) return static_cast<int>(newest->integer(0, 0));
  if (postgres.sqlstate() != insufficient_privilege) return newest.error();
  return Error{
      fmt::format("{}: run hunt-aggregator --migrate as the owner of the tables, with this role as "
                  "aggregator.writer_role",
                  newest.error().message)};
}

Result<void> check_other_schemas(PgLink& postgres) {
  if (postgres.search_path().size() < 2) return {};
  Result<std::string> const others = schemas_with_tables(postgres, postgres.search_path());
  if (!others) return others.error();
  if (others->empty()) return {};
  return Error{fmt::format(
      "postgres: schema {} has no tables of huntd, and {} further back in the search_path has: set "
      "aggregator.schema to the one to use",
      postgres.schema(), *others)};
}

Result<void> check_primary(PgLink& postgres) {
  Result<PgRows> const standby = postgres.execute("SELECT pg_is_in_recovery()");
  if (!standby) return standby.error();
  if (standby->text(0, 0) != "t") return {};
  postgres.close();
  return Error{
      "postgres: the server is a standby, so it accepts no writes: name the primary, or all hosts, "
      "in aggregator.postgres"};
}

std::string create_schema_statement(const std::string& schema) {
  if (schema.empty()) return "";
  std::string literal = "'";
  for (char c : schema) literal.append(c == '\'' ? 2 : 1, c);
  literal += "'";
  // Not CREATE SCHEMA IF NOT EXISTS, which needs the right to create even if it exists.
  return fmt::format(
      "DO $huntd$ BEGIN\n"
      "IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = {}) THEN\n"
      "  CREATE SCHEMA {};\n"
      "END IF;\n"
      "END $huntd$;\n",
      literal, quoted_name(schema));
}

template <class Names>
std::string list_of(const Names& names) {
  std::string list;
  for (const char* name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

std::string grants(const std::string& schema, const SchemaRoles& roles) {
  std::string text;
  std::string const written = list_of(written_tables);
  for (const std::string& role : {roles.writer, roles.reader}) {
    if (role.empty()) continue;
    if (!schema.empty())
      text +=
          fmt::format("GRANT USAGE ON SCHEMA {} TO {};\n", quoted_name(schema), quoted_name(role));
    text += fmt::format("GRANT SELECT ON {}, {}, {} TO {};\n", version_table, written,
                        list_of(views), quoted_name(role));
  }
  if (!roles.writer.empty())
    text += fmt::format("GRANT INSERT, UPDATE, DELETE ON {} TO {};\n", written,
                        quoted_name(roles.writer));
  return text;
}

Result<int> migrate_locked(PgLink& postgres, const SchemaRoles& roles) {
  // A migration takes as long as its tables are large, and no merge counts by the old schema while
  // it does.
  Result<void> prepared = postgres.execute_script(fmt::format(
      "SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({})", migration_lock));
  if (prepared)
    prepared = postgres.execute_script(fmt::format(lock_merges_exclusively, merge_lock));
  if (!prepared) return prepared.error();
  Result<int> version = version_of(postgres);
  if (!version) return version.error();
  if (Result<void> const fine = check_version(*version); !fine) return fine.error();
  if (*version == 0) {
    Result<void> created =
        postgres.execute_script(create_schema_statement(postgres.schema()) + create_version_table);
    if (!created) return created.error();
  }
  for (int next = *version + 1; next <= schema_version(); ++next) {
    Result<void> applied = postgres.execute_script(
        fmt::format("{}; INSERT INTO hunt_schema_version (version) VALUES ({})",
                    migrations()[static_cast<size_t>(next - 1)], next));
    if (!applied) return Error{fmt::format("migration {}: {}", next, applied.error().message)};
  }
  if (std::string const granted = grants(postgres.schema(), roles); !granted.empty())
    if (Result<void> done = postgres.execute_script(granted); !done) return done.error();
  return schema_version() - *version;
}

Result<int> migrate(PgLink& postgres, const SchemaRoles& roles, bool grants_always) {
  if (Result<void> const fine = check_primary(postgres); !fine) return fine.error();
  Result<int> const version = version_of(postgres);
  if (!version) return version.error();
  if (Result<void> const fine = check_version(*version); !fine) return fine.error();
  if (*version == schema_version() && !grants_always) return 0;
  if (*version == 0)
    if (Result<void> const fine = check_other_schemas(postgres); !fine) return fine.error();
  Result<int> const done =
      in_transaction(postgres, [&] { return migrate_locked(postgres, roles); });
  bool const forbidden = !done && (postgres.sqlstate() == insufficient_privilege ||
                                   postgres.sqlstate() == invalid_schema_name);
  if (!forbidden || grants_always) return done;
  return Error{fmt::format(
      "postgres: the tables have version {}, this program needs version {}, and its role may not "
      "create them: run hunt-aggregator --migrate --postgres URI as a role that may ({})",
      *version, schema_version(), done.error().message)};
}

}  // namespace

int schema_version() { return static_cast<int>(migrations().size()); }

Result<void> check_version(int version) {
  if (version <= schema_version()) return {};
  return Error{
      fmt::format("postgres: the hunt schema has version {}, and this program supports up to {}: "
                  "install the huntd release that created it, or a newer one",
                  version, schema_version())};
}

Result<void> check_version_in(PgLink& postgres) {
  Result<PgRows> const newest =
      postgres.execute("SELECT coalesce(max(version), 0) FROM hunt_schema_version");
  if (!newest) return newest.error();
  return check_version(static_cast<int>(newest->integer(0, 0)));
}

Result<int> migrate_schema(PgLink& postgres, const SchemaRoles& roles) {
  return migrate(postgres, roles, false);
}

Result<int> migrate_and_grant(PgLink& postgres, const SchemaRoles& roles) {
  return migrate(postgres, roles, true);
}

std::string schema_script(const std::string& schema, const SchemaRoles& roles) {
  std::string text = fmt::format(
      "-- SPDX-License-Identifier: Apache-2.0\n"
      "-- The tables and views of hunt-aggregator, version {} (hunt-aggregator --print-schema).\n"
      "-- For PostgreSQL 14 or newer. It may be run again: it applies what is missing.\n"
      "\\set ON_ERROR_STOP on\n"
      "BEGIN;\n"
      "DO $huntd$ BEGIN\n"
      "PERFORM pg_advisory_xact_lock({});\n"
      "PERFORM pg_advisory_xact_lock({});\n"
      "END $huntd$;\n",
      schema_version(), migration_lock, merge_lock);
  text += create_schema_statement(schema);
  if (!schema.empty()) text += fmt::format("SET LOCAL search_path = {};\n", quoted_name(schema));
  text += fmt::format("{};\n", create_version_table);
  int number = 0;
  for (const char* migration : migrations()) {
    number += 1;
    text += fmt::format(
        "\nDO $huntd$ BEGIN\n"
        "IF (SELECT coalesce(max(version), 0) FROM hunt_schema_version) < {} THEN{}"
        "INSERT INTO hunt_schema_version (version) VALUES ({});\n"
        "END IF;\n"
        "END $huntd$;\n",
        number, migration, number);
  }
  std::string const granted = grants(schema, roles);
  if (schema.empty() && !granted.empty())
    text += "\n-- The roles also need USAGE on the schema, which is not named here.\n";
  return text + "\n" + granted + "COMMIT;\n";
}

}  // namespace huntd::aggregator
