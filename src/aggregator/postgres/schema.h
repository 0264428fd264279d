// SPDX-License-Identifier: Apache-2.0
// Creates and upgrades the aggregator's tables (docs/formats/hunt-session.md) by numbered
// migrations.
#pragma once
#include <string>

#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// The number of the newest migration of this program.
int schema_version();

// An error if the database has a newer version than this program supports.
Result<void> check_version(int version);
// The same, read within the transaction that is open.
Result<void> check_version_in(PgLink& postgres);

// Roles to which rights are granted; empty: none.
struct SchemaRoles {
  std::string writer;  // what hunt-aggregator and huntctl need
  std::string reader;  // SELECT on tables and views
};

// Upgrades the database to schema_version() in one transaction; returns the number of migrations
// applied. Creates the schema of the link if it does not exist. Several programs may call it at the
// same time. If there is nothing to do, nothing is created or granted, and no right to do so is
// needed. Errors: a database with a newer version; a server that is a standby; a role that may not
// create tables, if that is needed; tables in another schema of the search_path. REQUIRES:
// `postgres` is connected.
Result<int> migrate_schema(PgLink& postgres, const SchemaRoles& roles);

// The same for an operator: grants the rights even if there is nothing to migrate.
Result<int> migrate_and_grant(PgLink& postgres, const SchemaRoles& roles);

// What migrate_and_grant() does, as SQL for psql. It may be run again, and on every version.
// Without a name of a schema, the tables are in the first of the search_path.
std::string schema_script(const std::string& schema, const SchemaRoles& roles);

}  // namespace huntd::aggregator
