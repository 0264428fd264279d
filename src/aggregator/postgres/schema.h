// SPDX-License-Identifier: Apache-2.0
// Creates and upgrades the aggregator's tables (docs/formats/hunt-session.md) by numbered
// migrations.
#pragma once
#include "base/result.h"
#include "drivers/pg_link.h"

namespace huntd::aggregator {

// The number of the newest migration of this program.
int schema_version();

// An error if the database has a newer version than this program supports.
Result<void> check_version(int version);

// Upgrades the database to schema_version() in one transaction; returns the number of migrations
// applied. Several programs may call it at the same time. If there is nothing to do, no right to
// create tables is needed. A database with a newer version is an error.
Result<int> migrate_schema(PgLink& postgres);

}  // namespace huntd::aggregator
