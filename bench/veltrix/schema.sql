-- SPDX-License-Identifier: Apache-2.0
CREATE TABLE loot_event (
  event_id text PRIMARY KEY,
  hunter_id text NOT NULL,
  hunt_id text NOT NULL,
  loot_id text NOT NULL,
  seq bigint NOT NULL,
  happened_at timestamptz NOT NULL,
  UNIQUE (hunter_id, hunt_id, seq)
);
