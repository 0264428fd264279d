# SPDX-License-Identifier: Apache-2.0
"""Events of several generations of one hunter in one hunt: equal seqs are other events, each is counted once, in any order.
Purged generations are not counted, and a database of schema version 2 keeps its rows and counts on."""
import hashlib
import itertools
import json
import random
import signal
from collections import Counter, defaultdict

import pytest

from aggregator_pipeline import metric
from harness.postgres_server import OtherSession
from harness.process import ServerFailed, wait_until
from loot_events import FIRST_MS, expected_rows, make_events, ranges_of

PAST_MAX = 16
RANGES_MAX = 64
# Advisory lock of the merges (src/aggregator/sessions/merge_lock.h): "huntforg".
MERGE_LOCK = int.from_bytes(b"huntforg", "big")
FIRST_GENERATION = 0x0193_0000_0000_0000
ROWS = """SELECT hunter_id, hunt_id, loot, loot_count, bundle, generation, seen_upto, seen_beyond, past, forgotten_generation
FROM hunt_session"""

# What migrations 5, 4 and 3 changed, undone: the tables of schema version 2, with their rows. hunt_session_waiting had no generation.
BACK_TO_VERSION_2 = """
DELETE FROM hunt_schema_version WHERE version >= 3;
DROP VIEW hunt_leaderboard;
DROP TABLE hunt_leader, hunt_leader_entry;
ALTER TABLE hunt_retention DROP COLUMN known_at;
DROP TABLE hunt_session_past, hunt_floor, hunter_floor, hunt_supply;
ALTER TABLE hunt_retention RENAME COLUMN expired_before TO forgotten_before;
ALTER TABLE hunt_session ADD CHECK (loot_count >= 0), DROP COLUMN added, DROP COLUMN taken;
ALTER TABLE hunt_session DROP COLUMN generation, DROP COLUMN past, DROP COLUMN forgotten_generation, DROP COLUMN more;
ALTER TABLE hunt_session_waiting DROP CONSTRAINT hunt_session_waiting_pkey;
ALTER TABLE hunt_session_waiting DROP COLUMN generation;
ALTER TABLE hunt_session_waiting ADD PRIMARY KEY (hunter_id, hunt_id, seq);
"""


def wait_for(condition, what):
    return wait_until(condition, 60, what, 0.05)


def gen_text(generation):
    return f"{generation:016x}"


def event(generation, seq, hunter="h", hunt="hunt", loot=None, supply=False):
    made = {"event_id": hashlib.md5(f"{hunter} {hunt} {generation} {seq}".encode()).hexdigest(), "hunter_id": hunter,
            "hunt_id": hunt, "loot_id": loot or f"loot-{seq % 3}", "seq": seq, "timestamp": FIRST_MS + seq,
            "bundle": f"{generation:016x}{seq:016x}"}
    if generation != 0:  # an older huntd writes none
        made["gen"] = gen_text(generation)
    if supply:
        made["supply"] = True
    return made


def generation_of(made):
    return int(made.get("gen", "0"), 16)


def multirange(seqs):
    return "{" + ",".join(f"[{first},{last + 1})" for first, last in ranges_of(seqs)) + "}"


def expected(events):
    """The rows of ROWS by key, of at most 17 generations each. From docs/formats/hunt-session.md."""
    sessions = defaultdict(dict)
    for made in events:
        sessions[made["hunter_id"], made["hunt_id"]][generation_of(made), made["seq"]] = made
    rows = {}
    for key, counted in sessions.items():
        seqs = defaultdict(set)
        for generation, seq in counted:
            seqs[generation].add(seq)
        present = max(seqs)
        ranges = ranges_of(seqs[present])
        upto = ranges[0][1] if ranges[0][0] == 1 else 0
        past = {gen_text(generation): multirange(those) for generation, those in seqs.items() if generation != present}
        loot = dict(Counter(made["loot_id"] for made in counted.values()))
        rows[key] = (loot, len(counted), counted[max(counted)]["bundle"], present, upto,
                     multirange({seq for seq in seqs[present] if seq > upto}), past or None, 0)
    return rows


def rows_of(pipeline):
    return {(row[0], row[1]): (json.loads(row[2]), int(row[3]), row[4], int(row[5]), int(row[6]), row[7],
                               None if row[8] == "\\N" else json.loads(row[8]), int(row[9]))
            for row in pipeline.sql(ROWS)}


def dead_letters(pipeline):
    return dict(pipeline.sql("SELECT position, reason FROM loot_events_dead WHERE source = 'hunt_session'"))


def merge_in_pieces(pipeline, events, pieces):
    for at in range(pieces):
        pipeline.put(events[at * len(events) // pieces:(at + 1) * len(events) // pieces])
        pipeline.once()


def test_equal_seqs_of_two_generations_count_once_each_in_every_order(pipeline):
    first, second = FIRST_GENERATION, FIRST_GENERATION + 70_000
    events = []
    orders = list(itertools.permutations([(first, 1), (first, 2), (second, 1), (second, 2)]))
    assert len(orders) == 24
    # One hunter for each order; each event comes in a merge of its own, and the first of them again in the next.
    for step in range(5):
        batch = []
        for number, order in enumerate(orders):
            made = [event(generation, seq, hunter=f"h{number}") for generation, seq in order]
            batch += made[step:step + 1] + made[max(0, step - 1):step]
            if step == 0:
                events += made
        pipeline.put(batch)
        pipeline.once()
    assert rows_of(pipeline) == expected(events)
    assert all(row[1] == 4 for row in rows_of(pipeline).values())
    # Once more, all in one merge.
    before = pipeline.sql("SELECT hunter_id, xmin FROM hunt_session ORDER BY 1")
    pipeline.put(events)
    assert "new=0" in pipeline.once().splitlines()[-1]
    assert pipeline.sql("SELECT hunter_id, xmin FROM hunt_session ORDER BY 1") == before


@pytest.mark.parametrize("seed", [1, 2])
def test_the_table_does_not_depend_on_the_order_of_generations(pipeline, seed):
    rnd = random.Random(seed)
    events = []
    for hunter in range(12):
        generation = rnd.choice([0, FIRST_GENERATION])
        for _ in range(rnd.randrange(1, PAST_MAX + 2)):
            events += [event(generation, seq, hunter=f"h{hunter}", hunt=f"hunt.{hunter % 3}", supply=seq % 4 == 0)
                       for seq in range(rnd.choice([1, 2]), rnd.randrange(3, 20)) if rnd.random() > 0.1]
            generation = max(generation, FIRST_GENERATION) + rnd.randrange(1, 100_000)
    delivered = events + rnd.sample(events, len(events) // 2)
    rnd.shuffle(delivered)
    merge_in_pieces(pipeline, delivered, 7)
    assert rows_of(pipeline) == expected(events)
    assert dead_letters(pipeline) == {}
    given = Counter((made["hunt_id"], made["loot_id"]) for made in events if made.get("supply"))
    assert {(row[0], row[1]): int(row[2]) for row in pipeline.sql("SELECT hunt_id, loot_id, given FROM hunt_supply")} == given
    assert pipeline.sql("SELECT sum(given) FROM hunt_loot_per_hour") == [[str(len(events))]]


def test_two_aggregators_count_events_of_two_generations_once(pipeline):
    first, second = pipeline.start(), pipeline.start()
    events = [event(generation, seq, hunter=f"h{hunter}", supply=True) for hunter in range(150)
              for generation in (0, FIRST_GENERATION + hunter) for seq in range(1, 13)]
    random.Random(3).shuffle(events)
    for at in range(0, len(events), 400):
        pipeline.put(events[at:at + 400])
    wait_for(lambda: pipeline.outbox_length() == 0 and rows_of(pipeline) == expected(events), "both to be done")
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert "deadlock" not in process.log.read_text()
    assert rows_of(pipeline) == expected(events)
    assert pipeline.sql("SELECT sum(given) FROM hunt_supply") == [[str(len(events))]]


def test_more_new_rows_than_go_in_by_insert_have_their_generations(pipeline):
    events = [event(generation, 1, hunter=f"many-{hunter}") for hunter in range(8_200)
              for generation in ((0, FIRST_GENERATION) if hunter % 2 else (FIRST_GENERATION + hunter,))]
    pipeline.put(events)
    pipeline.once()
    assert rows_of(pipeline) == expected(events)


def test_holes_of_an_earlier_generation_fill_after_events_have_waited(pipeline):
    old, new = FIRST_GENERATION, FIRST_GENERATION + 1
    odd = [event(old, seq) for seq in range(3, 3 + 2 * (RANGES_MAX + 20), 2)]
    also_odd = [event(new, seq) for seq in range(3, 3 + 2 * (RANGES_MAX + 10), 2)]
    pipeline.put(odd)
    pipeline.once()
    pipeline.put(also_odd + odd)
    pipeline.once()
    waiting = "SELECT generation, count(*) FROM hunt_session_waiting GROUP BY 1 ORDER BY 1"
    assert pipeline.sql(waiting) == [[str(old), "20"], [str(new), "10"]]
    even = [event(generation, seq) for generation in (new, old) for seq in [1, *range(2, 3 + 2 * RANGES_MAX, 2)]]
    random.Random(4).shuffle(even)
    merge_in_pieces(pipeline, even, 3)
    rest = [event(generation, seq) for generation in (old, new) for seq in range(2 + 2 * RANGES_MAX, 2 * (RANGES_MAX + 20), 2)]
    pipeline.put(rest)
    pipeline.once()
    assert pipeline.sql(waiting) == []
    assert rows_of(pipeline) == expected(odd + also_odd + even + rest)


def test_an_eighteenth_generation_drops_the_oldest_and_counts_nothing_twice(pipeline):
    generations = [FIRST_GENERATION + number for number in range(PAST_MAX + 2)]
    oldest, newest = generations[0], generations[-1]
    events = [event(generation, seq) for generation in generations for seq in (1, 2)] + [event(0, 1)]
    kept = [made for made in events if generation_of(made) != oldest]
    # All but the newest generation fit only without generation 0.
    pipeline.put([made for made in events if generation_of(made) not in (0, newest)])
    pipeline.once()
    assert pipeline.sql("SELECT forgotten_generation FROM hunt_session") == [["0"]]
    pipeline.put([event(newest, 1), event(newest, 2)])
    pipeline.once()
    assert pipeline.sql("SELECT forgotten_generation, loot_count FROM hunt_session") == [[str(oldest), str(2 * (PAST_MAX + 2))]]
    # It comes again, and more of it: each may be a copy.
    late = [event(oldest, 1), event(oldest, 2), event(oldest, 3)]
    pipeline.put(late)
    pipeline.once()
    assert dead_letters(pipeline).keys() == {made["event_id"] for made in late}
    assert all(gen_text(oldest) in reason for reason in dead_letters(pipeline).values())
    # Generation 0 is kept, so another one goes.
    pipeline.put([event(0, 1)])
    pipeline.once()
    pipeline.put([event(0, 1), *kept[2:]])
    assert "new=0" in pipeline.once().splitlines()[-1]
    [[counted, dropped, past]] = pipeline.sql("SELECT loot_count, forgotten_generation, past FROM hunt_session")
    assert (int(counted), int(dropped)) == (2 * (PAST_MAX + 2) + 1, generations[1])
    assert json.loads(past).keys() == {gen_text(generation) for generation in [0, *generations[2:-1]]}
    assert len(dead_letters(pipeline)) == len(late)


def test_events_that_wait_are_counted_when_their_generation_is_dropped(pipeline):
    holed = [event(FIRST_GENERATION, seq) for seq in range(2, 2 + 2 * (RANGES_MAX + 6), 2)]
    pipeline.put(holed)
    pipeline.once()
    assert pipeline.sql("SELECT count(*) FROM hunt_session_waiting") == [["6"]]
    later = [event(FIRST_GENERATION + number, 1) for number in range(1, PAST_MAX + 2)]
    pipeline.put(later)
    pipeline.once()
    assert pipeline.sql("SELECT count(*) FROM hunt_session_waiting") == [["0"]]
    assert pipeline.sql("SELECT loot_count, forgotten_generation FROM hunt_session") == \
        [[str(len(holed) + len(later)), str(FIRST_GENERATION)]]
    assert pipeline.sql("SELECT sum(given) FROM hunt_loot_per_hour") == [[str(len(holed) + len(later))]]


def test_events_up_to_a_floor_are_purged_and_later_ones_are_counted(pipeline):
    pipeline.once()
    floor = FIRST_GENERATION + 5
    gone = hashlib.sha256(b"gone").hexdigest()
    pipeline.sql(f"INSERT INTO hunt_floor VALUES ('purged', {floor}); INSERT INTO hunter_floor VALUES ('{gone}', {floor})")
    purged = [event(generation, 1, hunter=hunter, hunt=hunt) for generation in (0, floor - 1, floor)
              for hunter, hunt in (("h", "purged"), ("gone", "other"))]
    counted = [event(floor + 1, 1, hunter="h", hunt="purged"), event(floor + 1, 1, hunter="gone", hunt="other"),
               event(floor, 1, hunter="h", hunt="other"), event(0, 1, hunter="gone2", hunt="other")]
    process = pipeline.start()
    pipeline.put(purged + counted)
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    assert rows_of(pipeline) == expected(counted)
    assert dead_letters(pipeline) == {}
    assert metric(process.listen, "hunt_aggregator_events_purged_total") == len(purged)
    assert metric(process.listen, "hunt_aggregator_new_total") == len(counted)
    assert metric(process.listen, "hunt_aggregator_duplicates_total") == 0


def test_a_purge_waits_for_merges_and_a_merge_for_a_purge(pipeline):
    pipeline.put([event(FIRST_GENERATION, 1)])
    pipeline.once()
    other = OtherSession(f"postgresql://huntd@127.0.0.1:{pipeline.postgres.port}/{pipeline.name}")
    other.do("BEGIN")
    other.do(f"SELECT pg_advisory_xact_lock({MERGE_LOCK})")
    other.do("INSERT INTO hunt_floor SELECT hunt_id, generation FROM hunt_session")
    other.do("DELETE FROM hunt_session")
    locks = f"""SELECT mode, granted FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database
        WHERE datname = current_database()) AND (classid::bigint << 32 | objid::bigint) = {MERGE_LOCK} ORDER BY granted DESC"""
    wait_for(lambda: pipeline.sql(locks) == [["ExclusiveLock", "t"]], "the purge to hold the lock")
    pipeline.put([event(FIRST_GENERATION, 2), event(FIRST_GENERATION + 1, 1)])
    process = pipeline.start()
    wait_for(lambda: pipeline.sql(locks) == [["ExclusiveLock", "t"], ["ShareLock", "f"]], "the merge to wait")
    assert pipeline.outbox_length() == 2
    other.do("COMMIT")
    other.end()
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    assert rows_of(pipeline) == expected([event(FIRST_GENERATION + 1, 1)])
    assert metric(process.listen, "hunt_aggregator_events_purged_total") == 1


def test_an_archived_row_has_every_column_of_its_row(pipeline):
    pipeline.put([event(generation, seq) for generation in (0, FIRST_GENERATION) for seq in (1, 2, 9)])
    pipeline.once()
    columns = ("hunter_id, hunt_id, loot, loot_count, first_loot_at, last_loot_at, bundle, seen_upto, seen_beyond, generation, "
               "past, forgotten_generation, more, added, taken")
    [before] = pipeline.sql(f"SELECT {columns} FROM hunt_session")
    pipeline.sql(f"INSERT INTO hunt_session_past ({columns}) SELECT {columns} FROM hunt_session; DELETE FROM hunt_session")
    assert pipeline.sql(f"SELECT {columns} FROM hunt_session_past WHERE purged_at <= now()") == [before]
    names = "SELECT string_agg(column_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = "
    assert pipeline.sql(names + "'hunt_session'") == [[columns]]
    assert pipeline.sql(names + "'hunt_session_past'") == [[columns.replace("more,", "more, purged_at,")]]


def test_a_database_of_version_2_keeps_its_rows_and_they_go_on_counting(pipeline):
    old = make_events(51, 400, hunters=20)
    holed = [{**event(0, seq, hunter="holed"), "bundle": "b" * 32} for seq in range(2, 2 + 2 * (RANGES_MAX + 9), 2)]
    pipeline.put(old + holed)
    pipeline.once()
    pipeline.sql(BACK_TO_VERSION_2)
    before = pipeline.sql("SELECT * FROM hunt_session ORDER BY 1, 2")
    files = "SELECT pg_relation_filenode('hunt_session')"
    file = pipeline.sql(files)
    assert pipeline.sql("SELECT count(*) FROM hunt_session_waiting") == [["9"]]
    assert "schema migrated migrations=3 version=5" in pipeline.once()
    assert pipeline.sql(files) == file  # the table was not rewritten
    assert [row[:9] for row in pipeline.sql("SELECT * FROM hunt_session ORDER BY 1, 2")] == before
    assert pipeline.sql("SELECT count(*) FROM hunt_session_waiting WHERE generation = 0") == [["9"]]
    # The old events again, the holes, and a new generation of each hunter.
    filled = [{**event(0, seq, hunter="holed"), "bundle": "c" * 32} for seq in range(1, 2 + 2 * (RANGES_MAX + 8), 2)]
    keys = sorted({(made["hunter_id"], made["hunt_id"]) for made in old + holed})
    new = [event(FIRST_GENERATION, seq, hunter=hunter, hunt=hunt) for hunter, hunt in keys for seq in (1, 2)]
    merge_in_pieces(pipeline, new + old[:200] + filled + holed, 3)
    assert rows_of(pipeline) == expected(old + holed + filled + new)
    assert pipeline.sql("SELECT count(*) FROM hunt_session_waiting") == [["0"]]


def test_an_aggregator_of_version_2_that_still_runs_can_merge_nothing(pipeline):
    pipeline.once()
    # What each of its merges read at its start.
    with pytest.raises(ServerFailed, match="forgotten_before"):
        pipeline.sql("SELECT floor(extract(epoch FROM forgotten_before) * 1000)::bigint FROM hunt_retention")


def test_an_aggregator_stops_merging_when_a_newer_one_has_migrated(pipeline):
    process = pipeline.start()
    pipeline.put([event(FIRST_GENERATION, 1)])
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    pipeline.sql("INSERT INTO hunt_schema_version (version) VALUES (9999)")
    pipeline.put([event(FIRST_GENERATION, 2)])
    wait_for(lambda: "version 9999" in process.log.read_text(), "the log line")
    assert rows_of(pipeline) == expected([event(FIRST_GENERATION, 1)])
    pipeline.sql("DELETE FROM hunt_schema_version WHERE version = 9999")
    wait_for(lambda: pipeline.outbox_length() == 0, "the merge")
    assert rows_of(pipeline) == expected([event(FIRST_GENERATION, seq) for seq in (1, 2)])


def test_retention_deletes_all_generations_of_a_row_and_counts_none_again(pipeline):
    old = [event(generation, seq) for generation in (0, FIRST_GENERATION) for seq in (1, 2)]
    pipeline.put(old)
    pipeline.once()
    pipeline.let_all_rows_go(retention_days=30)
    pipeline.settings = []
    pipeline.put(old)
    pipeline.once()
    assert rows_of(pipeline) == {}
    assert dead_letters(pipeline).keys() == {made["event_id"] for made in old}


def test_rows_of_one_generation_look_as_before(pipeline):
    events = make_events(52, 300)
    pipeline.put(events)
    pipeline.once()
    assert pipeline.rows() == expected_rows(events)
    unused = pipeline.sql("SELECT DISTINCT generation, past, forgotten_generation, more FROM hunt_session")
    assert unused == [["0", "\\N", "0", "\\N"]]
    assert pipeline.sql("SELECT count(*) FROM hunt_supply") == [["0"]]
