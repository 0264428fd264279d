// The aggregator's tables (docs/formats/hunt-session.md): made and brought up to date by numbered
// migrations.
#pragma once
#include "aggregator/pg_link.h"
#include "base/result.h"

namespace huntd {

// The newest migration that this program knows.
int schema_version();

// Brings the database up to schema_version() in one transaction; several programs may do so at
// once, and one that finds nothing to do needs no right to create anything. Returns how many
// migrations it applied. A database newer than this program is an error.
Result<int> migrate_schema(PgLink& postgres);

}  // namespace huntd
