#include "aggregator/schema.h"

#include <fmt/format.h>

#include <array>

namespace huntd {
namespace {

// Ids compare byte by byte (COLLATE "C"): cheaper, and the order in which the aggregator locks its
// rows. The free space in a page (fillfactor) and no index beside the primary key keep updates
// within their page (HOT).
constexpr const char* first_tables = R"sql(
CREATE TABLE hunt_session (
  hunter_id     text COLLATE "C" NOT NULL,
  hunt_id       text COLLATE "C" NOT NULL,
  loot          jsonb NOT NULL CHECK (jsonb_typeof(loot) = 'object'),
  loot_count    bigint NOT NULL CHECK (loot_count >= 0),
  first_loot_at timestamptz NOT NULL,
  last_loot_at  timestamptz NOT NULL,
  bundle        text COLLATE "C" NOT NULL,
  seen_upto     bigint NOT NULL CHECK (seen_upto >= 0),
  seen_beyond   int8multirange NOT NULL DEFAULT '{}',
  PRIMARY KEY (hunter_id, hunt_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);

CREATE TABLE hunt_session_waiting (
  hunter_id text COLLATE "C" NOT NULL,
  hunt_id   text COLLATE "C" NOT NULL,
  seq       bigint NOT NULL CHECK (seq > 0),
  event     text NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (hunter_id, hunt_id, seq)
);

CREATE TABLE loot_events_dead (
  source    text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  position  text COLLATE "C" NOT NULL,
  payload   bytea NOT NULL,
  reason    text NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (source, partition, position)
);

COMMENT ON TABLE hunt_session IS 'What each hunter holds in each hunt, from the loot_events; written by hunt-aggregator alone';
COMMENT ON COLUMN hunt_session.seen_upto IS 'Every seq from 1 to this one is counted';
COMMENT ON COLUMN hunt_session.seen_beyond IS 'The seqs past the first hole that are counted';
COMMENT ON TABLE hunt_session_waiting IS 'Events whose row has too many holes to count them yet';
COMMENT ON TABLE loot_events_dead IS 'Records that could not be counted, with the reason; position is the Kafka offset or the stream entry id';
)sql";

// Migration N is at index N - 1. A released one is never changed.
constexpr std::array migrations = {first_tables};

// Names the lock that programs migrating at once take in turn; any number that nobody else uses.
constexpr long long migration_lock = 0x68756e74'64736368;  // "huntdsch"

Result<int> version_of(PgLink& postgres) {
  // A scan of the catalogue, and no to_regclass(): that one may answer from the server's cache of
  // names, which in a transaction that waited for the lock still says that there is no such table.
  Result<PgRows> table = postgres.run(
      "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE tablename = 'hunt_schema_version' "
      "AND schemaname = ANY (current_schemas(false)))");
  if (!table) return table.error();
  if (table->text(0, 0) != "t") return 0;
  Result<PgRows> newest = postgres.run("SELECT coalesce(max(version), 0) FROM hunt_schema_version");
  if (!newest) return newest.error();
  return static_cast<int>(newest->integer(0, 0));
}

Result<int> migrate_locked(PgLink& postgres) {
  if (Result<void> locked =
          postgres.run_script(fmt::format("SELECT pg_advisory_xact_lock({})", migration_lock));
      !locked)
    return locked.error();
  Result<int> version = version_of(postgres);
  if (!version) return version.error();
  if (*version == 0) {
    Result<void> made = postgres.run_script(
        "CREATE TABLE IF NOT EXISTS hunt_schema_version (version integer PRIMARY KEY, "
        "applied_at timestamptz NOT NULL DEFAULT now())");
    if (!made) return made.error();
  }
  for (int next = *version + 1; next <= schema_version(); ++next) {
    Result<void> applied =
        postgres.run_script(fmt::format("{}; INSERT INTO hunt_schema_version (version) VALUES ({})",
                                        migrations[static_cast<size_t>(next - 1)], next));
    if (!applied) return Error{fmt::format("migration {}: {}", next, applied.error().message)};
  }
  return std::max(0, schema_version() - *version);
}

}  // namespace

int schema_version() { return static_cast<int>(migrations.size()); }

Result<int> migrate_schema(PgLink& postgres) {
  Result<int> version = version_of(postgres);
  if (!version) return version.error();
  if (*version > schema_version())
    return Error{
        fmt::format("the database's hunt schema is at version {} and this program knows {} at "
                    "most: install the huntd that wrote it, or a newer one",
                    *version, schema_version())};
  if (*version == schema_version()) return 0;
  if (Result<void> begun = postgres.begin(); !begun) return begun.error();
  Result<int> applied = migrate_locked(postgres);
  if (!applied) {
    postgres.rollback();
    return applied.error();
  }
  if (Result<void> done = postgres.commit(); !done) {
    postgres.rollback();
    return done.error();
  }
  return applied;
}

}  // namespace huntd
