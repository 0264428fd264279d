// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/schema.h"

#include <fmt/format.h>

#include <array>

namespace huntd::aggregator {
namespace {

// Ids compare byte by byte (COLLATE "C"), which is fast and the order in which the aggregator locks
// rows. Free space in each page (fillfactor), and no index except the primary key, allow updates
// within the page (HOT).
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

// The merge counts loot per hour, because a row of hunt_session does not have the times of its
// loot. forgotten_before makes it safe to delete rows: an event older than it is never counted
// again.
constexpr const char* views_and_retention = R"sql(
CREATE TABLE hunt_loot_hour (
  hunt_id text COLLATE "C" NOT NULL,
  hour    timestamptz NOT NULL,
  loot_id text COLLATE "C" NOT NULL,
  given   bigint NOT NULL CHECK (given > 0),
  PRIMARY KEY (hunt_id, hour, loot_id)
) WITH (fillfactor = 70);

CREATE TABLE hunt_retention (
  only_row         boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  forgotten_before timestamptz NOT NULL
);
INSERT INTO hunt_retention (forgotten_before) VALUES (to_timestamp(0));

CREATE VIEW hunt_hunters AS
SELECT hunt_id, count(*) AS hunters, sum(loot_count)::bigint AS loot,
       min(first_loot_at) AS first_loot_at, max(last_loot_at) AS last_loot_at
FROM hunt_session GROUP BY hunt_id;

CREATE VIEW hunt_loot AS
SELECT s.hunt_id, l.key AS loot_id, sum(l.value::bigint)::bigint AS given, count(*) AS hunters
FROM hunt_session s CROSS JOIN LATERAL jsonb_each_text(s.loot) AS l GROUP BY s.hunt_id, l.key;

CREATE VIEW hunt_loot_per_hour AS
SELECT hunt_id, hour, sum(given)::bigint AS given FROM hunt_loot_hour GROUP BY hunt_id, hour;

CREATE VIEW hunt_top_hunters AS
SELECT hunt_id, rank() OVER (PARTITION BY hunt_id ORDER BY loot_count DESC, last_loot_at) AS rank,
       hunter_id, loot_count, first_loot_at, last_loot_at
FROM hunt_session;

COMMENT ON TABLE hunt_loot_hour IS 'Loot given in each hour, by the events'' timestamps; written by hunt-aggregator alone';
COMMENT ON TABLE hunt_retention IS 'Rows of hunt_session with last_loot_at before this may have been deleted; no event from before it is counted any more';
COMMENT ON VIEW hunt_hunters IS 'Hunters and loot of each hunt';
COMMENT ON VIEW hunt_loot IS 'How much of each loot was given, to how many hunters';
COMMENT ON VIEW hunt_loot_per_hour IS 'Loot given in each hour';
COMMENT ON VIEW hunt_top_hunters IS 'Hunters of each hunt by how much they hold; who came to as much earlier stands first';
)sql";

// Generations (decision 20): a row has a seen set per generation. No row is rewritten: each new
// column has a constant default. An aggregator of schema version 2 that still runs would take the
// events of a new generation for copies; the new name of hunt_retention's column makes its merges
// fail instead.
constexpr const char* generations = R"sql(
ALTER TABLE hunt_session
  ADD COLUMN generation           bigint NOT NULL DEFAULT 0,
  ADD COLUMN past                 jsonb,
  ADD COLUMN forgotten_generation bigint NOT NULL DEFAULT 0,
  ADD COLUMN more                 jsonb;

ALTER TABLE hunt_session_waiting
  ADD COLUMN generation bigint NOT NULL DEFAULT 0,
  DROP CONSTRAINT hunt_session_waiting_pkey,
  ADD PRIMARY KEY (hunter_id, hunt_id, generation, seq);

ALTER TABLE hunt_retention RENAME COLUMN forgotten_before TO expired_before;

CREATE TABLE hunt_session_past (
  LIKE hunt_session,
  purged_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (hunter_id, hunt_id, purged_at)
);

CREATE TABLE hunt_floor (
  hunt_id    text COLLATE "C" PRIMARY KEY,
  generation bigint NOT NULL CHECK (generation >= 0)
);

CREATE TABLE hunter_floor (
  hunter_hash text COLLATE "C" PRIMARY KEY CHECK (hunter_hash ~ '^[0-9a-f]{64}$'),
  generation  bigint NOT NULL CHECK (generation >= 0)
);

CREATE TABLE hunt_supply (
  hunt_id text COLLATE "C" NOT NULL,
  loot_id text COLLATE "C" NOT NULL,
  given   bigint NOT NULL CHECK (given > 0),
  PRIMARY KEY (hunt_id, loot_id)
) WITH (fillfactor = 70);

COMMENT ON COLUMN hunt_session.seen_upto IS 'Every seq of the generation from 1 to this one is counted';
COMMENT ON COLUMN hunt_session.seen_beyond IS 'The seqs of the generation past the first hole that are counted';
COMMENT ON COLUMN hunt_session.generation IS 'The greatest generation counted: seen_upto and seen_beyond are of it';
COMMENT ON COLUMN hunt_session.past IS 'The seqs counted of earlier generations: {"generation in hex": "multirange"}';
COMMENT ON COLUMN hunt_session.forgotten_generation IS 'Of generations up to this one that are not in past, it is unknown which seqs were counted; 0: of none';
COMMENT ON COLUMN hunt_session.more IS 'For later versions';
COMMENT ON TABLE hunt_session_past IS 'Rows of purged seasons, as they were at purged_at; written by huntctl hunt purge';
COMMENT ON TABLE hunt_floor IS 'Events of the hunt up to this generation are of a purged season: they are not counted';
COMMENT ON TABLE hunter_floor IS 'The same of a hunter whose data was deleted; hunter_hash is the SHA-256 of hunter_id in hex';
COMMENT ON TABLE hunt_supply IS 'Units given of each shared supply, by the events; written by hunt-aggregator alone';
)sql";

// Migration N has index N - 1. A released migration is never changed.
constexpr std::array migrations = {first_tables, views_and_retention, generations};

// The number of the advisory lock that serializes migrations; no other program uses it.
constexpr long long migration_lock = 0x68756e74'64736368;  // "huntdsch"

Result<int> version_of(PgLink& postgres) {
  // Not to_regclass(): it uses the server's cache of names, which may be stale in a transaction
  // that has waited for the lock.
  Result<PgRows> table = postgres.execute(
      "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE tablename = 'hunt_schema_version' "
      "AND schemaname = ANY (current_schemas(false)))");
  if (!table) return table.error();
  if (table->text(0, 0) != "t") return 0;
  Result<PgRows> newest =
      postgres.execute("SELECT coalesce(max(version), 0) FROM hunt_schema_version");
  if (!newest) return newest.error();
  return static_cast<int>(newest->integer(0, 0));
}

Result<int> migrate_locked(PgLink& postgres) {
  if (Result<void> locked =
          postgres.execute_script(fmt::format("SELECT pg_advisory_xact_lock({})", migration_lock));
      !locked)
    return locked.error();
  Result<int> version = version_of(postgres);
  if (!version) return version.error();
  if (*version == 0) {
    Result<void> created = postgres.execute_script(
        "CREATE TABLE IF NOT EXISTS hunt_schema_version (version integer PRIMARY KEY, "
        "applied_at timestamptz NOT NULL DEFAULT now())");
    if (!created) return created.error();
  }
  for (int next = *version + 1; next <= schema_version(); ++next) {
    Result<void> applied = postgres.execute_script(
        fmt::format("{}; INSERT INTO hunt_schema_version (version) VALUES ({})",
                    migrations[static_cast<size_t>(next - 1)], next));
    if (!applied) return Error{fmt::format("migration {}: {}", next, applied.error().message)};
  }
  return std::max(0, schema_version() - *version);
}

}  // namespace

int schema_version() { return static_cast<int>(migrations.size()); }

Result<void> check_version(int version) {
  if (version <= schema_version()) return {};
  return Error{
      fmt::format("postgres: the hunt schema has version {}, and this program supports up to {}: "
                  "install the huntd release that created it, or a newer one",
                  version, schema_version())};
}

Result<int> migrate_schema(PgLink& postgres) {
  Result<int> version = version_of(postgres);
  if (!version) return version.error();
  if (Result<void> const fine = check_version(*version); !fine) return fine.error();
  if (*version == schema_version()) return 0;
  return in_transaction(postgres, [&] { return migrate_locked(postgres); });
}

}  // namespace huntd::aggregator
