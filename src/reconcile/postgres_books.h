// Reads hunt_session and what waits beside it for reconcile, in one read-only snapshot, page by
// page.
#pragma once
#include "aggregator/pg_link.h"
#include "base/result.h"
#include "reconcile/books.h"

namespace huntd {

Result<void> read_postgres(PgLink& postgres, Books& books);

}  // namespace huntd
