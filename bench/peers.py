# SPDX-License-Identifier: Apache-2.0
"""Hunts/s with the same Lua script and the same commit: huntd's isolation modes, nginx with its Lua module, nginx with CGI. All CPUs,
wrk (closed-loop) and one Redis on them too, by loopback TCP for all alike; no Kafka, no aggregator. In turns, a fresh server
and an empty Redis for each; after each, what Redis holds is compared with what was answered."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import tempfile

from bench.nginx_peers.server import CgiServer, NginxLuaServer, tree_versions
from bench.report import Figure, Report, median, progress, version_of
from bench.isolation_modes import MODES, known_modes, isolation_settings
from bench.wrk_run import run_wrk
from harness.huntd_stack import HuntdStack
from harness.process import find_program

ROUNDS = 3
SECONDS = float(os.environ.get("HUNTD_BENCH_SECONDS", 5))
WARM_SECONDS = 1
CONNECTIONS = {"process": (64, 1000), "fork": (64, 1000), "task": (64, 1000), "batch": (64, 1000), "lua": (64, 1000), "cgi": (64,)}
PACKAGES = ("nginx", "libnginx-mod-http-lua", "lua-nginx-redis", "fcgiwrap", "luajit")

# Events in the outboxes, loot held, and the hunters' seqs: three counts of the same awards.
COUNT = """
local events, loot, seqs = 0, 0, 0
for _, key in ipairs(redis.call('KEYS', 'outbox:*')) do events = events + redis.call('XLEN', key) end
for _, key in ipairs(redis.call('KEYS', 'held:*')) do
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    if fields[i] == '#seq' then seqs = seqs + fields[i + 1]
    elseif string.sub(fields[i], 1, 1) ~= '#' then loot = loot + fields[i + 1] end
  end
end
return {events, loot, seqs}
"""


@contextlib.contextmanager
def _serving(peer: str, stack: HuntdStack):
    """The address of `peer`, started for the length of the block on the stack's Redis."""
    if peer in MODES:
        stack.settings.pop("worker.isolation", None)
        stack.settings.update(isolation_settings(peer))
        stack.set()
        stack.huntd.start()
        try:
            yield stack.http
        finally:
            stack.huntd.stop()
        return
    with (NginxLuaServer if peer == "lua" else CgiServer)(stack.redis) as server:
        yield server.address


def _one_hunt(address: str, peer: str) -> None:
    """The peer answers as docs/http-api.md says."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    with contextlib.closing(connection):
        connection.request("POST", "/v1/hunts/goblin-hoard/hunters/checker")
        answer = connection.getresponse()
        body = json.loads(answer.read())
    expected = {"request_id", "hunt_id", "hunter_id", "loot", "result", "replayed"}
    if answer.status != 200 or set(body) != expected or len(body["loot"]) != 1 or not answer.getheader("Hunt-Bundle") \
            or not re.fullmatch("[0-9a-f]{32}", body["loot"][0]["event_id"]) or body["result"].keys() != {"found", "says"}:
        raise RuntimeError(f"{peer} answers otherwise than huntd: {answer.status} {body}")


def _turn(peer: str, stack: HuntdStack, connections: int):
    """One measured run, and the difference between the awards in Redis and in responses (0: within the requests in flight)."""
    with stack.redis.client() as redis, _serving(peer, stack) as address:
        redis.call("FLUSHALL")
        _one_hunt(address, peer)
        url = f"http://{address}/"
        warm = run_wrk(url, connections=connections, seconds=WARM_SECONDS, script="one_hunt.lua")
        result = run_wrk(url, connections=connections, seconds=SECONDS, script="one_hunt.lua")
        answered = 1 + sum(run.requests - run.not_2xx for run in (warm, result))
        counts = redis.call("EVAL", COUNT, 0)
        # wrk stops at the end of its time: each connection of both runs may have a hunt in flight.
        off = max(max(answered - count, count - answered - 2 * connections, 0) for count in counts)
        return result, off


def run() -> Report:
    report = Report("peers")
    peers = [*known_modes(), "lua", "cgi"]
    rates: dict[tuple, float] = {}
    p99s: dict[tuple, float] = {}
    errors = unaccounted = 0
    with tempfile.TemporaryDirectory() as name:
        stack = HuntdStack(pathlib.Path(name) / "stack", cores=None, aggregator=False)
        stack.redis.options = ("--tcp-backlog", "4096")  # nginx opens a thousand connections at once
        try:
            stack.start_stores()
            for connections in (64, 1000):
                runs = {peer: [] for peer in peers if connections in CONNECTIONS[peer]}
                for turn in range(ROUNDS):
                    for peer in runs:
                        progress(f"peers: {connections} connections, round {turn + 1} of {ROUNDS}, {peer}")
                        result, off = _turn(peer, stack, connections)
                        runs[peer].append(result)
                        errors += result.not_2xx + result.socket_errors
                        unaccounted += off
                for peer, results in runs.items():
                    rates[peer, connections] = median(r.rate - r.not_2xx / SECONDS for r in results)
                    p99s[peer, connections] = median(r.p99_ms for r in results)
                    report.figures += [Figure(f"{peer}_rate_{connections}", rates[peer, connections], "hunts/s"),
                                       Figure(f"{peer}_p99_ms_{connections}", p99s[peer, connections], "ms (closed-loop)")]
        finally:
            stack.stop()
    report.figures.append(Figure("process_over_cgi", rates["process", 64] / rates["cgi", 64], "× nginx with CGI", bar=3.5))
    for connections in (64, 1000):
        if "batch" in peers:
            report.figures.append(Figure(f"batch_over_lua_{connections}", rates["batch", connections] / rates["lua", connections],
                                         "× nginx with Lua", bar=1.2))
    if "batch" in peers:
        report.figures.append(Figure("p99_over_lua_1000", p99s["batch", 1000] / p99s["lua", 1000], "× nginx with Lua", bar=0.5,
                                     at_most=True))
    report.figures += [Figure("errors", errors, "responses", bar=0, at_most=True),
                       Figure("unaccounted", unaccounted, "awards, Redis against the responses", bar=0, at_most=True)]
    for mode in MODES:
        if mode not in peers:
            report.notes.append(f"this huntd does not know worker.isolation = \"{mode}\": its figures are left out")
    report.notes += [f"in a Debian 13 tree: {tree_versions(*PACKAGES)}",
                     f"{version_of(find_program('redis-server'), '--version')}; {version_of('wrk', '-v')}",
                     f"medians of {ROUNDS} × {SECONDS:g} s; rates count answers with status 2xx"]
    return report
