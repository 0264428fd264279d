// Reads hunt_session and what waits beside it for reconcile, in one read-only snapshot, page by
// page.
#pragma once
#include "aggregator/pg_link.h"
#include "base/result.h"
#include "reconcile/books.h"

namespace huntd {

// To be read before any event: it decides which ones the table no longer answers for.
Result<void> read_forgotten_before(PgLink& postgres, Books& books);
Result<void> read_postgres(PgLink& postgres, Books& books);

}  // namespace huntd
