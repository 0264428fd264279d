// SPDX-License-Identifier: Apache-2.0
#include "aggregator/postgres/migrations.h"

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

// The leaders of a hunt, so that the first hunters of it are found without reading all its rows.
// (An index on hunt_session by loot_count would cost every merge: no update could stay within its
// page.) hunt_leader has at least every hunter whose row is not below the hunt's entry; without an
// entry, every hunter of the hunt (leaders.h). The numbers are those of leaders.h.
//
// LATERAL with OFFSET 0: one look-up by the primary key per leader, with any statistics.
//
// known_at is the last moment that retention has taken for the present. An expired_before that is
// ahead of the present was made by a clock that was wrong: it goes back, but not below any hour
// whose events were counted, so that no event of a deleted row is counted again.
constexpr const char* leaders_and_clock = R"sql(
CREATE TABLE hunt_leader (
  hunt_id   text COLLATE "C" NOT NULL,
  hunter_id text COLLATE "C" NOT NULL,
  PRIMARY KEY (hunt_id, hunter_id)
);

CREATE TABLE hunt_leader_entry (
  hunt_id      text COLLATE "C" PRIMARY KEY,
  loot_count   bigint NOT NULL,
  last_loot_at timestamptz NOT NULL,
  hunter_id    text COLLATE "C" NOT NULL
);

WITH first AS MATERIALIZED (
  SELECT hunt_id, hunter_id, loot_count, last_loot_at, place FROM (
    SELECT hunt_id, hunter_id, loot_count, last_loot_at, row_number() OVER (
      PARTITION BY hunt_id ORDER BY loot_count DESC, last_loot_at, hunter_id) AS place
    FROM hunt_session) AS s WHERE place <= 1000),
leaders AS (INSERT INTO hunt_leader (hunt_id, hunter_id) SELECT hunt_id, hunter_id FROM first)
INSERT INTO hunt_leader_entry (hunt_id, loot_count, last_loot_at, hunter_id)
SELECT hunt_id, loot_count, last_loot_at, hunter_id FROM first WHERE place = 1000;

CREATE VIEW hunt_leaderboard AS
SELECT l.hunt_id, rank() OVER (PARTITION BY l.hunt_id ORDER BY s.loot_count DESC, s.last_loot_at) AS rank,
       l.hunter_id, s.loot_count, s.first_loot_at, s.last_loot_at
FROM hunt_leader l
LEFT JOIN hunt_leader_entry e ON e.hunt_id = l.hunt_id
CROSS JOIN LATERAL (SELECT loot_count, first_loot_at, last_loot_at FROM hunt_session h
                    WHERE h.hunter_id = l.hunter_id AND h.hunt_id = l.hunt_id OFFSET 0) AS s
WHERE e.hunt_id IS NULL OR s.loot_count > e.loot_count
   OR (s.loot_count = e.loot_count AND (s.last_loot_at, l.hunter_id) <= (e.last_loot_at, e.hunter_id));

ALTER TABLE hunt_retention ADD COLUMN known_at timestamptz;
UPDATE hunt_retention SET expired_before = least(expired_before, greatest(now(),
  (SELECT max(hour) + interval '1 hour' FROM hunt_loot_hour)));

COMMENT ON TABLE hunt_leader IS 'The hunters of each hunt that hunt_leaderboard looks up; written by hunt-aggregator alone';
COMMENT ON TABLE hunt_leader_entry IS 'Every hunter of the hunt whose row is not below this one is in hunt_leader';
COMMENT ON VIEW hunt_leaderboard IS 'The first hunters of each hunt, as in hunt_top_hunters: 500 or more if it has as many';
COMMENT ON COLUMN hunt_retention.known_at IS 'The last moment that retention has taken for the present';
)sql";

// Events that give several units, and takes (decision 57). The number of a row's events, plus `added`
// and minus `taken`, is its loot. Both columns have constant defaults, so no row is rewritten. A take
// may be counted before the awards that it takes from. An aggregator of schema version 4 makes such events
// dead letters; it stops at this version, since it would write rows that do not add up.
constexpr const char* units_and_takes = R"sql(
ALTER TABLE hunt_session
  ADD COLUMN added bigint NOT NULL DEFAULT 0 CHECK (added >= 0),
  ADD COLUMN taken bigint NOT NULL DEFAULT 0 CHECK (taken >= 0),
  DROP CONSTRAINT hunt_session_loot_count_check;
ALTER TABLE hunt_session_past
  ADD COLUMN added bigint NOT NULL DEFAULT 0,
  ADD COLUMN taken bigint NOT NULL DEFAULT 0;

-- An hour in which loot was taken and none was given.
ALTER TABLE hunt_loot_hour
  DROP CONSTRAINT hunt_loot_hour_given_check,
  ADD CONSTRAINT hunt_loot_hour_given_check CHECK (given >= 0) NOT VALID;

-- Who owes a loot does not hold it.
CREATE OR REPLACE VIEW hunt_loot AS
SELECT s.hunt_id, l.key AS loot_id, sum(l.value::bigint)::bigint AS given,
       count(*) FILTER (WHERE l.value::bigint > 0) AS hunters
FROM hunt_session s CROSS JOIN LATERAL jsonb_each_text(s.loot) AS l GROUP BY s.hunt_id, l.key;

COMMENT ON COLUMN hunt_session.added IS 'The units that the awards counted gave beyond one each';
COMMENT ON COLUMN hunt_session.taken IS 'The units that the takes counted took, and one for each take';
COMMENT ON COLUMN hunt_session.loot_count IS 'The sum of loot: the number of events counted + added - taken';
COMMENT ON VIEW hunt_loot IS 'How much of each loot hunters hold, and how many hunters';
COMMENT ON VIEW hunt_loot_per_hour IS 'Loot given in each hour, without what takes took';
)sql";

constexpr std::array all_migrations = {first_tables, views_and_retention, generations,
                                       leaders_and_clock, units_and_takes};

}  // namespace

std::span<const char* const> migrations() { return all_migrations; }

}  // namespace huntd::aggregator
