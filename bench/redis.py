# SPDX-License-Identifier: Apache-2.0
"""Redis' CPU per commit at the fleet load, beside redis-benchmark that sends the same script with arguments of the same sizes to a second
Redis. And how long a commit takes at that load.

redis-benchmark has two forms. The fair peer pipelines (-P) as many commits as huntd has in one write at this load, by its metrics. The
other one pipelines 64: a client with that many commits in flight, which no client has at this rate, if a commit takes a fraction of a
millisecond. The CPU of huntd's Redis has all its work: commits, their clearing out of the outbox once Kafka has them (XDEL), the sweep.
redis-benchmark's Redis runs commits alone, on as many outboxes as huntd has, 1,024, and as many hunters, with a done key of its own for
each call."""
import hashlib
import http.client
import json
import pathlib
import re
import subprocess
import tempfile
from dataclasses import dataclass, field

from bench.fleet_run import (CpuMeter, await_drained, counter, fleet_load, fleet_stack, limit_figure, load_notes,
                             new_report, rounds_on_fresh_huntd, rounds_or, seconds_or, stages, unit)
from bench.report import Figure, Report, progress, repeated, version_of
from bench.nginx_peers.server import huntd_scripts
from harness.huntd_stack import source_folder
from harness.process import ServerFailed, find_program
from harness.redis_server import RedisServer

ROUNDS = rounds_or()
SECONDS = 12
BENCHMARK_CALLS_A_SECOND = 30_000  # times SECONDS are sent: about as long as the load
RANDOM = "__rand_int__"  # redis-benchmark makes 12 digits of each, of a number below -r
BENCHMARK_CONNECTIONS = 50
DEEP = 64
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


def commits_per_write(commits: int, writes: int) -> int:
    """The -P of the fair peer: whole commits per write, at least one."""
    return max(1, round(commits / max(writes, 1)))


def _benchmark(words: list[str], calls: int, pipelined: int) -> tuple[float, str]:
    """EVALSHA per second of Redis' CPU, by redis-benchmark -P `pipelined` on a Redis of its own; and its commands."""
    progress(f"redis: redis-benchmark -P {pipelined}")
    with tempfile.TemporaryDirectory() as name, RedisServer(pathlib.Path(name)) as redis:
        sha = redis.call("SCRIPT", "LOAD", _commit_script())
        before = RedisUse.of(redis)
        subprocess.run([find_program("redis-benchmark"), *redis.client_options, "-c", str(BENCHMARK_CONNECTIONS),
                        "-P", str(pipelined), "-n", str(calls), "-r", str(BUCKETS), "-q", "EVALSHA", sha, "3", *words],
                       capture_output=True, check=True, timeout=300)
        use = RedisUse.of(redis).since(before)
        given = use.commands["xadd"][0]
        ran = use.commands["evalsha"][0]
        if ran < calls or given < 0.99 * ran:
            raise ServerFailed(f"redis-benchmark's calls were not commits: {ran:,} calls, {given:,} events")
        return ran / use.cpu_s, f"redis-benchmark -P {pipelined}: {1e6 * use.cpu_s / ran:.1f} µs of CPU; {use.table(ran)}"


def _commit_script() -> str:
    return huntd_scripts(source_folder())["commit"]


@dataclass
class Rounds:
    """The results of the rounds. Rates are per second of Redis' CPU."""
    commits: list[float] = field(default_factory=list)
    fair: list[float] = field(default_factory=list)
    deep: list[float] = field(default_factory=list)
    per_write: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)  # of all processes, per commit
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # of the last round


def _round(stack, words: list[str], seconds: float, found: Rounds) -> None:
    before, meter, writes_before = RedisUse.of(stack.redis), CpuMeter(stack), counter(stack, "huntd_redis_batches_total")
    load = fleet_load(stack, seconds=seconds)
    writes = counter(stack, "huntd_redis_batches_total") - writes_before
    each_us = meter.of_load(load)
    cpu_note = meter.words(each_us)
    stage = stages(stack)["redis_commit"]
    await_drained(stack)  # removing the load's events from the outbox belongs to the load
    use = RedisUse.of(stack.redis).since(before)
    commits = max(load.hunts_whole, 1)
    pipelined = commits_per_write(commits, writes)
    found.commits.append(commits / use.cpu_s)
    found.per_write.append(commits / max(writes, 1))
    found.cpu_us.append(sum(each_us.values()))
    found.p50_ms.append(stage["p50_us"] / 1000)
    found.p99_ms.append(stage["p99_us"] / 1000)
    calls = int(BENCHMARK_CALLS_A_SECOND * seconds)
    (fair, fair_note), (deep, deep_note) = (_benchmark(words, calls, depth) for depth in (pipelined, DEEP))
    found.fair.append(fair)
    found.deep.append(deep)
    found.notes = [*load_notes(load), cpu_note,
                   f"our Redis, each commit: {1e6 * use.cpu_s / commits:.1f} µs of CPU with all I/O; {commits:,} commits in {writes:,} writes; "
                   "commands per commit (a script's own commands are in evalsha's time too): " + use.table(commits), fair_note, deep_note]


def _figures(stack, found: Rounds) -> list[Figure]:
    def over(theirs: list[float]) -> list[float]:
        return [our / their for our, their in zip(found.commits, theirs)]

    return [
        repeated("over_fair", over(found.fair), unit("× redis-benchmark with huntd's own commits per write", stack), bar=0.8),
        limit_figure("redis_cpu_us", [1e6 / rate for rate in found.commits], "µs of Redis' CPU per commit", 25, stack),
        limit_figure("commit_p99_ms", found.p99_ms, "ms", 3, stack),
        repeated("commit_p50_ms", found.p50_ms, "ms"),
        repeated("ratio", over(found.deep), unit(f"× redis-benchmark -P {DEEP}", stack)),
        repeated("commits_per_write", found.per_write, "commits"),
        repeated("commits_per_cpu_s", found.commits, "commits"),
        repeated("fair_per_cpu_s", found.fair, "EVALSHA"),
        repeated("benchmark_per_cpu_s", found.deep, f"EVALSHA, -P {DEEP}"),
        repeated("cpu_us", found.cpu_us, "µs of CPU per hunt, all processes")]


def run() -> Report:
    seconds = seconds_or(SECONDS)
    found = Rounds()
    with fleet_stack() as stack:
        sha = hashlib.sha1(_commit_script().encode()).hexdigest()
        if stack.redis.call("SCRIPT", "EXISTS", sha) != [1]:
            raise ServerFailed("huntd's commit is another script than src/core/ledger/commit_script.h has: build first")
        words = _sample_words(stack)
        await_drained(stack)
        for _ in rounds_on_fresh_huntd(stack, "redis", ROUNDS):
            _round(stack, words, seconds, found)
        report = new_report("redis", stack, f"medians of {ROUNDS} × {seconds:g} s, in turns; commits are answers 200; our "
                            "Redis' CPU is all of its CPU until the table has all: XDEL, sweeps, this bench's XLEN too",
                            f"redis-benchmark: -c {BENCHMARK_CONNECTIONS}, {sum(map(len, words))} bytes of arguments, a done key of its "
                            f"own for each call, {BUCKETS:,} held keys and outboxes; huntd has a connection per core",
                            version_of(find_program("redis-server"), "--version"), *found.notes)
        report.figures = _figures(stack, found)
    return report
