# SPDX-License-Identifier: Apache-2.0
"""Loot events for tests, and the rows of hunt_session that must result: written from docs/formats, not from src/."""
import json
import random
from collections import defaultdict

FIRST_MS = 1_764_000_000_000


def units_of(event):
    """What an event gives; below 0: what it takes."""
    return {None: 1, "award": event.get("count"), "take": -event.get("count", 0)}[event.get("kind")]


def make_events(seed, count, hunters=40, hunts=3, holes=0.0, units=False):
    """`count` events in the order of their awards; `holes` is the share of lost ones. With `units` some give several, and some take."""
    rnd = random.Random(seed)
    seqs = defaultdict(int)
    events = []
    for number in range(count):
        hunter_id, hunt_id = f"h{int(rnd.random() ** 2 * hunters)}", f"hunt.{rnd.randrange(hunts)}"
        seqs[hunter_id, hunt_id] += 1
        event = {"event_id": f"{seed:08x}{number:024x}", "hunter_id": hunter_id, "hunt_id": hunt_id,
                 "loot_id": f"loot-{rnd.randrange(7)}", "seq": seqs[hunter_id, hunt_id],
                 "timestamp": FIRST_MS + number * 7 + rnd.randrange(500), "bundle": f"{number // 100:032x}"}
        if units and rnd.random() < 0.5:
            event |= {"kind": rnd.choice(["award", "take"]), "count": rnd.choice([1, 2, 1000, 1_000_000])}
        if rnd.random() >= holes:
            events.append(event)
    return events


def text(event):
    return json.dumps(event, separators=(",", ":"))


def ranges_of(seqs):
    found = []
    for seq in sorted(seqs):
        if found and found[-1][1] + 1 == seq:
            found[-1][1] = seq
        else:
            found.append([seq, seq])
    return found


def expected_rows(events):
    """The rows of hunt_session by key, each as ROWS_SQL gives it."""
    sessions = defaultdict(dict)
    for event in events:
        sessions[event["hunter_id"], event["hunt_id"]][event["seq"]] = event
    rows = {}
    for key, by_seq in sessions.items():
        loot = defaultdict(int)
        for event in by_seq.values():
            loot[event["loot_id"]] += units_of(event)
        loot = {loot_id: count for loot_id, count in loot.items() if count != 0}
        ranges = ranges_of(by_seq)
        upto = ranges.pop(0)[1] if ranges[0][0] == 1 else 0
        times = [event["timestamp"] for event in by_seq.values()]
        rows[key] = (loot, sum(loot.values()), min(times), max(times), by_seq[max(by_seq)]["bundle"], upto,
                     "{" + ",".join(f"[{first},{last + 1})" for first, last in ranges) + "}")
    return rows


ROWS_SQL = """SELECT hunter_id, hunt_id, loot, loot_count, (extract(epoch FROM first_loot_at) * 1000)::bigint,
(extract(epoch FROM last_loot_at) * 1000)::bigint, bundle, seen_upto, seen_beyond FROM hunt_session"""


def rows_in(pipeline):
    return {(row[0], row[1]): (json.loads(row[2]), int(row[3]), int(row[4]), int(row[5]), row[6], int(row[7]), row[8])
            for row in pipeline.sql(ROWS_SQL)}
