# SPDX-License-Identifier: Apache-2.0
"""Commits per second of Redis' CPU at the fleet load, beside redis-benchmark -P 64 that sends the same script with
arguments of the same sizes to a second Redis. And how long a commit takes at that load.

The CPU of huntd's Redis has all its work: commits, their clearing out of the outbox once Kafka has them (XDEL),
the sweep. redis-benchmark's Redis runs commits alone, on as many outboxes as huntd has, 1,024, and as many hunters, with a
done key of its own for each call."""
import hashlib
import http.client
import json
import pathlib
import re
import subprocess
import tempfile
from dataclasses import dataclass

from bench.fleet_run import (await_drained, fleet_load, fleet_stack, limit_figure, load_notes,
                             new_report, rounds_on_fresh_huntd, rounds_or, seconds_or, stages, unit)
from bench.report import Figure, Report, median, progress, version_of
from bench.nginx_peers.server import huntd_scripts
from harness.process import ServerFailed, find_program
from harness.redis_server import RedisServer

ROUNDS = rounds_or(3)
SECONDS = 12
BENCHMARK_CALLS_A_SECOND = 30_000  # times SECONDS are sent: about as long as the load
RANDOM = "__rand_int__"  # redis-benchmark makes 12 digits of each, of a number below -r
BUCKETS = 1024
SAMPLE_HUNTER = "h1-5000"  # an id as hunt-load makes them


@dataclass
class RedisUse:
    cpu_s: float
    commands: dict[str, tuple[int, int]]  # name -> calls, µs

    @staticmethod
    def of(redis: RedisServer) -> "RedisUse":
        with redis.client() as client:
            cpu = dict(re.findall(r"^(used_cpu_(?:sys|user)):([\d.]+)", client.call("INFO", "cpu"), re.M))
            commands = re.findall(r"^cmdstat_([^:]+):calls=(\d+),usec=(\d+)", client.call("INFO", "commandstats"), re.M)
        return RedisUse(sum(map(float, cpu.values())), {name: (int(calls), int(us)) for name, calls, us in commands})

    def since(self, before: "RedisUse") -> "RedisUse":
        return RedisUse(self.cpu_s - before.cpu_s, {
            name: (calls - before.commands.get(name, (0, 0))[0], us - before.commands.get(name, (0, 0))[1])
            for name, (calls, us) in self.commands.items()})

    def table(self, commits: int) -> str:
        top = sorted(self.commands.items(), key=lambda item: -item[1][1])
        return ", ".join(f"{name} {calls / commits:.2f} × {us / calls:.1f} µs" for name, (calls, us) in top
                         if calls > commits / 1000)


def _sample_words(stack) -> list[str]:
    """The arguments of one commit as huntd sends it, read from its writes; each call has another request_id."""
    path = f"/v1/hunts/goblin-hoard/hunters/{SAMPLE_HUNTER}"
    host, port = stack.http.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request("POST", path)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        bundle = answer.getheader("Hunt-Bundle")
    finally:
        connection.close()
    if answer.status != 200:
        raise ServerFailed(f"POST {path}: {answer.status} {body}")
    loot = body["loot"][0]
    request_id = body["request_id"]
    with stack.redis.client() as client:
        [held_key] = client.call("KEYS", f"held:*:{SAMPLE_HUNTER}:goblin-hoard")
        tag = held_key.split(":")[1]
        done_key = f"done:{tag}:{SAMPLE_HUNTER}:goblin-hoard:{request_id}"
        record = client.call("GET", done_key)
        ttl_ms = 1000 * round(int(client.call("PTTL", done_key)) / 1000)
    if record is None:
        raise ServerFailed(f"Redis does not have {done_key}: has the format changed (docs/formats/redis.md)?")
    head = (f'{{"event_id":"{loot["event_id"]}","hunter_id":"{SAMPLE_HUNTER}","hunt_id":"goblin-hoard",'
            f'"loot_id":"{loot["loot_id"]}","seq":')
    tail = f'","timestamp":1764000000123,"bundle":"{bundle}"}}'
    return [held_key.replace(SAMPLE_HUNTER, RANDOM), done_key.replace(request_id, 3 * RANDOM), "outbox:" + RANDOM, str(ttl_ms),
            record, request_id, "", SAMPLE_HUNTER, "1234567890abcdef", request_id[-4:], "0" * 16, loot["loot_id"], head, tail]


def _benchmark(words: list[str], calls: int) -> tuple[float, str]:
    """EVALSHA per second of Redis' CPU, by redis-benchmark on a Redis of its own; and its commands."""
    with tempfile.TemporaryDirectory() as name, RedisServer(pathlib.Path(name)) as redis:
        sha = redis.call("SCRIPT", "LOAD", huntd_scripts()["commit"])
        before = RedisUse.of(redis)
        subprocess.run([find_program("redis-benchmark"), "-h", "127.0.0.1", "-p", str(redis.port), "-c", "50", "-P", "64",
                        "-n", str(calls), "-r", str(BUCKETS), "-q", "EVALSHA", sha, "3", *words], capture_output=True,
                       check=True, timeout=300)
        use = RedisUse.of(redis).since(before)
        given = use.commands["xadd"][0]
        ran = use.commands["evalsha"][0]
        if ran < calls or given < 0.99 * ran:
            raise ServerFailed(f"redis-benchmark's calls were not commits: {ran:,} calls, {given:,} events")
        return ran / use.cpu_s, use.table(ran)


def run() -> Report:
    seconds = seconds_or(SECONDS)
    ours, theirs, p50s, p99s, notes = [], [], [], [], []
    with fleet_stack() as stack:
        sha = hashlib.sha1(huntd_scripts()["commit"].encode()).hexdigest()
        if stack.redis.call("SCRIPT", "EXISTS", sha) != [1]:
            raise ServerFailed("huntd's commit is another script than src/core/ledger/commit_script.h has: build first")
        words = _sample_words(stack)
        await_drained(stack)
        for _ in rounds_on_fresh_huntd(stack, "redis", ROUNDS):
            before = RedisUse.of(stack.redis)
            load = fleet_load(stack, seconds=seconds)
            stage = stages(stack)["redis_commit"]
            await_drained(stack)  # removing the load's events from the outbox belongs to the load
            use = RedisUse.of(stack.redis).since(before)
            commits = max(load.hunts_whole, 1)
            ours.append(commits / use.cpu_s)
            p50s.append(stage["p50_us"] / 1000)
            p99s.append(stage["p99_us"] / 1000)
            progress("redis: redis-benchmark -P 64")
            their_rate, their_table = _benchmark(words, int(BENCHMARK_CALLS_A_SECOND * seconds))
            theirs.append(their_rate)
            notes = [*load_notes(load), f"our Redis, each commit: {1e6 * use.cpu_s / commits:.1f} µs of CPU with all I/O; "
                     "commands per commit (a script's own commands are in evalsha's time too): " + use.table(commits),
                     f"redis-benchmark's: {1e6 / their_rate:.1f} µs of CPU; {their_table}"]
        report = new_report("redis", stack, f"medians of {ROUNDS} × {seconds:g} s, in turns; commits are answers 200; our "
                            "Redis' CPU is all of its CPU until the table has all: XDEL, sweeps, this bench's XLEN too",
                            f"redis-benchmark: -c 50 -P 64, {sum(map(len, words))} bytes of arguments, a done key of its "
                            f"own for each call, {BUCKETS:,} held keys and outboxes", version_of(find_program("redis-server"), "--version"),
                            *notes)
        report.figures = [
            Figure("ratio", median(our / their for our, their in zip(ours, theirs)), unit("× redis-benchmark", stack),
                   bar=0.8),
            limit_figure("commit_p99_ms", median(p99s), "ms", 3, stack),
            Figure("commit_p50_ms", median(p50s), "ms"),
            Figure("commits_per_cpu_s", median(ours), "commits"),
            Figure("benchmark_per_cpu_s", median(theirs), "EVALSHA")]
    return report
