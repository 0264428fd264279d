# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of huntctl's commands that change the stores: running them, killing them at every point of their work,
and awards as the stores hold them after a commit (docs/formats)."""
import os
import signal
import subprocess
from collections import Counter, defaultdict

import pytest

from aggregator_pipeline import BUILD, huntctl_program

# A purge waits for the deadline of requests after the hunt is closed.
SHORT = {"http.request_deadline_ms": 4000, "worker.queue_deadline_ms": 1500}
without_asan = pytest.mark.skipif(BUILD.name == "asan", reason="AddressSanitizer must be loaded first")
DIE_AT_CALL = BUILD / "tests" / "harness" / "die_at_call.so"
LINEAGE = "00000000000000aa"
# Buckets of h0 to h5: XXH3-64 of the hunter_id, mod 1024 (docs/formats/redis.md).
BUCKETS = {"h0": 91, "h1": 909, "h2": 217, "h3": 726, "h4": 907, "h5": 232}


def generation(number: int) -> str:
    """The generations of these awards, the later ones above the earlier ones."""
    return f"0193a1b2c3d4{number:04x}"


def awards(hunter: str, hunt: str, loots: str, number: int = 1, first_seq: int = 1, **more) -> list[dict]:
    """Events of one generation; `loots` are loot_ids with spaces between."""
    return [{"event_id": f"{hash_of(hunter, hunt):08x}{number:08x}{seq:016x}", "hunter_id": hunter, "hunt_id": hunt, "loot_id": loot,
             "seq": seq, "gen": generation(number), "timestamp": 1_764_000_000_000 + 1000 * number + seq, "bundle": "a" * 32, **more}
            for seq, loot in enumerate(loots.split(), first_seq)]


def hash_of(hunter: str, hunt: str) -> int:
    return sum(ord(c) * 31 ** i for i, c in enumerate(hunter + ":" + hunt)) % 2 ** 32


def held_key(hunter: str, hunt: str) -> str:
    return f"held:{{b{BUCKETS[hunter]}}}:{hunter}:{hunt}"


def done_key(hunter: str, hunt: str, key: str) -> str:
    return f"done:{{b{BUCKETS[hunter]}}}:{hunter}:{hunt}:{key}"


def held_fields(events: list[dict]) -> dict[str, str]:
    """The hash `held` after the awards of one hunter in one hunt."""
    fields = Counter(event["loot_id"] for event in events)
    reached = Counter(event["gen"] for event in events)
    present = max(reached)
    fields["#seq"] = reached.pop(present)
    if reached:
        fields["#before"] = sum(reached.values())
    fields.update({f"#was:{earlier}": seq for earlier, seq in reached.items()})
    return {"#gen": f"{present} {LINEAGE}", **{name: str(value) for name, value in fields.items()}}


def give(redis, events: list[dict]) -> None:
    """Writes the hashes `held` as if these were all awards; `redis` is a connection."""
    of_session = defaultdict(list)
    for event in events:
        of_session[event["hunter_id"], event["hunt_id"]].append(event)
    for (hunter, hunt), their in of_session.items():
        redis.call("DEL", held_key(hunter, hunt))
        redis.call("HSET", held_key(hunter, hunt), *[word for item in held_fields(their).items() for word in item])


def run(config, *words, env=None):
    """huntctl without a terminal."""
    return subprocess.run([huntctl_program(), "-c", str(config), *words], capture_output=True, text=True, timeout=180,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})


def done(config, *words) -> str:
    """The standard output of a huntctl that succeeds."""
    finished = run(config, *words)
    assert finished.returncode == 0, (words, finished.stdout, finished.stderr)
    return finished.stdout


def points_of(config, trace, *words) -> list[str]:
    """Each point of an undisturbed run at which it can be killed."""
    finished = run(config, *words, env={"LD_PRELOAD": str(DIE_AT_CALL), "HUNTD_TEST_TRACE": str(trace)})
    assert finished.returncode == 0, finished.stderr
    return trace.read_text().splitlines()


def run_and_kill(config, point: str, *words) -> None:
    died = run(config, *words, env={"LD_PRELOAD": str(DIE_AT_CALL), "HUNTD_TEST_DIE_AT": point})
    assert died.returncode == -signal.SIGKILL, (point, died.stdout, died.stderr)


class SavedRows:
    """The rows of the aggregator's tables as they are now, to be put back any number of times."""

    TABLES = ("hunt_session", "hunt_session_past", "hunt_session_waiting", "hunt_floor", "hunter_floor", "hunt_supply", "hunt_loot_hour",
              "loot_events_dead")

    def __init__(self, pipeline):
        self._pipeline = pipeline
        pipeline.sql("; ".join(f"CREATE TABLE saved_{table} AS SELECT * FROM {table}" for table in self.TABLES))

    def put_back(self) -> None:
        self._pipeline.sql("; ".join([f"TRUNCATE {', '.join(self.TABLES)}",
                                      *(f"INSERT INTO {table} SELECT * FROM saved_{table}" for table in self.TABLES)]))


def everything_in(redis) -> dict:
    """Every key with its value, except empty streams."""
    found = {}
    for key in sorted(set(redis.keys("*"))):
        kind = redis.call("TYPE", key)
        if kind == "hash":
            found[key] = redis.hash(key)
        elif kind == "set":
            found[key] = sorted(redis.call("SMEMBERS", key))
        elif kind == "zset":
            found[key] = redis.call("ZRANGE", key, 0, -1)
        elif kind == "stream":
            found.update({key: entries} if (entries := redis.call("XRANGE", key, "-", "+")) else {})
        else:
            found[key] = redis.call("GET", key)
    return found
