# SPDX-License-Identifier: Apache-2.0
"""What the views say, and how old rows go: hunt-aggregator on a real PostgreSQL."""
import random
import time
from collections import Counter, defaultdict

from aggregator_pipeline import metric
from loot_events import expected_rows, make_events
from test_aggregator import OtherWriter, wait_for
from test_aggregator_generations import BACK_TO_VERSION_2

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


def at(events, first_ms):
    """The same events, the first of them at `first_ms`."""
    shift = first_ms - events[0]["timestamp"]
    return [{**event, "timestamp": event["timestamp"] + shift} for event in events]


def test_the_views_agree_with_duplicate_and_reordered_events(pipeline):
    events = [{**event, "timestamp": event["timestamp"] + number * 9_000} for number, event in
              enumerate(make_events(41, 2000, hunters=60))]  # five hours of them
    delivered = events + random.Random(1).sample(events, 700)
    random.Random(2).shuffle(delivered)
    for cut in range(0, len(delivered), 600):
        pipeline.put(delivered[cut:cut + 600])
        pipeline.once()

    hunters, loot, given, hours = defaultdict(Counter), Counter(), Counter(), Counter()
    for event in events:
        hunt, hour_s = event["hunt_id"], event["timestamp"] // HOUR_MS * 3600
        hunters[hunt][event["hunter_id"]] += 1
        loot[hunt] += 1
        given[hunt, event["loot_id"]] += 1
        hours[hunt, hour_s] += 1
    assert len({hour_s for _, hour_s in hours}) >= 5
    assert {row[0]: (int(row[1]), int(row[2])) for row in pipeline.sql("SELECT hunt_id, hunters, loot FROM hunt_hunters")} \
        == {hunt: (len(held), loot[hunt]) for hunt, held in hunters.items()}
    assert {(row[0], row[1]): int(row[2]) for row in pipeline.sql("SELECT hunt_id, loot_id, given FROM hunt_loot")} == given
    assert {(row[0], int(row[1])): int(row[2]) for row in pipeline.sql(
        "SELECT hunt_id, extract(epoch FROM hour)::bigint, given FROM hunt_loot_per_hour")} == hours
    for hunt, held in hunters.items():
        top = pipeline.sql(f"SELECT rank, hunter_id, loot_count FROM hunt_top_hunters WHERE hunt_id = '{hunt}' ORDER BY rank "
                           "LIMIT 5")
        assert [int(row[2]) for row in top] == sorted(held.values(), reverse=True)[:5]
        assert all(held[row[1]] == int(row[2]) for row in top) and top[0][0] == "1"


def test_of_hunters_with_equal_loot_the_earliest_ranks_first(pipeline):
    first = make_events(42, 1)[0]
    pipeline.put([{**first, "hunter_id": hunter, "event_id": f"{number:032x}", "timestamp": first["timestamp"] + number}
                  for number, hunter in enumerate(["b", "c", "a"])])
    pipeline.once()
    assert pipeline.sql("SELECT rank, hunter_id FROM hunt_top_hunters ORDER BY rank") == [["1", "b"], ["2", "c"], ["3", "a"]]


def test_an_hour_of_takes_alone_is_an_hour_in_which_nothing_was_given(pipeline):
    first = make_events(44, 1)[0]
    pipeline.put([{**first, "kind": "award", "count": 7},
                  {**first, "event_id": "f" * 32, "seq": 2, "timestamp": first["timestamp"] + 5 * 3_600_000, "kind": "take", "count": 3}])
    pipeline.once()
    assert pipeline.sql("SELECT given FROM hunt_loot_per_hour ORDER BY hour") == [["7"], ["0"]]
    assert pipeline.sql("SELECT loot_count FROM hunt_session") == [["4"]]


def test_who_owes_a_loot_is_not_counted_among_those_who_hold_it(pipeline):
    first = make_events(45, 1)[0]
    pipeline.put([{**first, "hunter_id": "ann", "loot_id": "iron", "kind": "award", "count": 7},
                  {**first, "hunter_id": "ben", "loot_id": "iron", "event_id": "f" * 32, "seq": 2, "kind": "take", "count": 3},
                  {**first, "hunter_id": "cem", "loot_id": "gold", "event_id": "e" * 32, "seq": 2, "kind": "take", "count": 1}])
    pipeline.once()
    assert pipeline.sql("SELECT loot_id, given, hunters FROM hunt_loot ORDER BY loot_id") == [["gold", "-1", "0"], ["iron", "4", "1"]]


def test_a_database_of_the_first_version_keeps_its_rows_and_gets_the_views(pipeline):
    events = make_events(43, 300)
    pipeline.put(events)
    pipeline.once()
    pipeline.sql(BACK_TO_VERSION_2 + "DROP VIEW hunt_hunters, hunt_loot, hunt_loot_per_hour, hunt_top_hunters; "
                 "DROP TABLE hunt_loot_hour, hunt_retention; DELETE FROM hunt_schema_version WHERE version = 2")
    assert "schema migrated migrations=4 version=5" in pipeline.once()
    assert pipeline.rows() == expected_rows(events)
    assert pipeline.sql("SELECT sum(loot) FROM hunt_hunters") == [["300"]]


def fill(pipeline, hunters, last_loot_at):
    """Rows of hunters who hold one coin each, by SQL."""
    pipeline.sql(f"""INSERT INTO hunt_session SELECT prefix || n, 'big', '{{"coin": 1}}', 1, {last_loot_at}, {last_loot_at},
                     repeat('a', 32), 1, '{{}}' FROM generate_series(1, {hunters}) n, (VALUES ('{hunters}-')) p (prefix)""")


def test_retention_deletes_page_by_page_while_merges_continue(pipeline):
    pipeline.once()
    fill(pipeline, 12_003, "now() - interval '31 days'")
    fill(pipeline, 3_001, "now() - interval '29 days'")
    pipeline.note_an_event_now()
    pipeline.settings = ["retention_days = 30"]
    process = pipeline.start()
    events = at(make_events(44, 400), int(time.time() * 1000) - DAY_MS)
    pipeline.put(events[:200])
    wait_for(lambda: metric(process.listen, "hunt_aggregator_expired_rows_total") == 12_003, "the old rows to go")
    pipeline.put(events[200:])
    wait_for(lambda: metric(process.listen, "hunt_aggregator_new_total") == 400, "the merge")
    assert pipeline.sql("SELECT count(*) FROM hunt_session WHERE hunt_id = 'big'") == [["3001"]]
    rows = pipeline.rows()
    assert {key: row for key, row in rows.items() if key[1] != "big"} == expected_rows(events)
    assert process.log.read_text().count("expired rows deleted") >= 3


def test_retention_keeps_an_idle_hunters_row_while_the_hunt_runs(pipeline):
    now_ms = int(time.time() * 1000)
    [coin] = make_events(47, 1)
    long_ago = [{**coin, "hunt_id": hunt, "hunter_id": "away", "event_id": number * 32, "timestamp": now_ms - 40 * DAY_MS}
                for number, hunt in (("1", "goes-on"), ("2", "ended"))]
    lately = {**coin, "hunt_id": "goes-on", "hunter_id": "here", "event_id": "3" * 32, "timestamp": now_ms - DAY_MS}
    pipeline.put(long_ago + [lately])
    pipeline.once()
    pipeline.settings = ["retention_days = 30"]
    process = pipeline.start()
    wait_for(lambda: metric(process.listen, "hunt_aggregator_expired_rows_total") == 1, "the ended hunt's row to go")
    assert pipeline.rows() == expected_rows([long_ago[0], lately])


def test_an_event_of_an_expired_row_is_dead_lettered_and_not_counted(pipeline):
    old = at(make_events(45, 300), int(time.time() * 1000) - 40 * DAY_MS)
    pipeline.put(old)
    pipeline.once()
    pipeline.let_all_rows_go(retention_days=30)
    # A replay of all events, without the setting too: expired rows stay expired.
    pipeline.settings = []
    recent = [{**event, "seq": event["seq"] + 1000, "event_id": event["event_id"][::-1]}
              for event in at(make_events(45, 50), int(time.time() * 1000) - DAY_MS)]
    pipeline.put(recent + old)
    pipeline.once()
    assert pipeline.rows() == expected_rows(recent)
    dead = pipeline.sql("SELECT position, reason FROM loot_events_dead WHERE source = 'hunt_session'")
    assert {row[0] for row in dead} == {event["event_id"] for event in old}
    assert all("aggregator.retention_days" in row[1] for row in dead)
    pipeline.put(recent)
    assert "new=0" in pipeline.once().splitlines()[-1]


def test_retention_skips_locked_rows_and_does_not_wait_for_merges(pipeline):
    pipeline.once()
    fill(pipeline, 10, "now() - interval '31 days'")
    pipeline.note_an_event_now()
    other = OtherWriter(pipeline)
    other.do("BEGIN")
    other.do("UPDATE hunt_session SET bundle = bundle WHERE hunter_id = '10-3'")
    other.await_lock_held()
    pipeline.settings = ["retention_days = 30"]
    process = pipeline.start()
    wait_for(lambda: metric(process.listen, "hunt_aggregator_expired_rows_total") == 9, "the others to go")
    other.do("COMMIT")
    other.end()
    assert pipeline.sql("SELECT hunter_id FROM hunt_session") == [["10-3"]]


def test_events_repeated_a_day_later_or_after_a_hole_count_once(pipeline):
    first = make_events(46, 1)[0]
    events = [{**first, "event_id": f"{seq:032x}", "seq": seq, "timestamp": first["timestamp"] + seq} for seq in range(1, 2001)]
    holes = {7, 400, 401, 1500}
    early = [event for event in events if event["seq"] not in holes]
    pipeline.put(early)
    pipeline.once()
    assert pipeline.rows() == expected_rows(early)
    # A day later, by the events' timestamps: all events again, and then new ones.
    later = at([{**event, "seq": event["seq"] + 2000, "event_id": f"{event['seq'] + 2000:032x}"} for event in events[:100]],
               first["timestamp"] + DAY_MS)
    pipeline.put(early + later)
    pipeline.once()
    assert pipeline.rows() == expected_rows(early + later)
    [[size]] = pipeline.sql("SELECT pg_column_size(seen_beyond) FROM hunt_session")
    assert int(size) < 200
    # Another day later: the missing events of the holes.
    late = [event for event in events if event["seq"] in holes]
    pipeline.put(late + early[::-1])
    pipeline.once()
    assert pipeline.rows() == expected_rows(events + later)
    assert pipeline.sql("SELECT seen_upto, seen_beyond FROM hunt_session") == [["2100", "{}"]]
