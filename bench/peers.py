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
from collections.abc import Callable
from dataclasses import dataclass

from bench.fleet_run import CpuMeter, rounds_or
from bench.nginx_peers.server import CgiServer, NginxLuaServer, tree_versions
from bench.processes import cpu_by_kind, cpu_of_servers
from bench.report import Figure, Report, progress, repeated, version_of
from bench.isolation_modes import MODES, known_modes, isolation_settings
from bench.wrk_run import WrkResult, run_wrk
from harness.huntd_stack import HuntdStack
from harness.process import find_program

ROUNDS = rounds_or()
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


@dataclass
class Turn:
    """One measured run of a peer. `off`: awards by which Redis and the responses differ, besides those in flight."""
    result: WrkResult
    off: int
    cpu_us: dict[str, float]  # per hunt, by process
    cpu_note: str

    @property
    def rate(self) -> float:
        return self.result.rate - self.result.not_2xx / SECONDS

    @property
    def servers_cpu_us(self) -> float:
        return sum(us for kind, us in self.cpu_us.items() if kind != "wrk")


@contextlib.contextmanager
def _serving(peer: str, stack: HuntdStack):
    """`peer` on the stack's Redis for the length of the block: its address, and what reads the CPU seconds of its processes and of Redis."""
    if peer in MODES:
        stack.settings.pop("worker.isolation", None)
        stack.settings.update(isolation_settings(peer))
        stack.set()
        stack.huntd.start()
        try:
            yield stack.http, lambda: cpu_by_kind(stack)
        finally:
            stack.huntd.stop()
        return
    with (NginxLuaServer if peer == "lua" else CgiServer)(stack.redis) as server:
        servers = [stack.redis, server, *([server.fcgiwrap] if peer == "cgi" else [])]
        yield server.address, lambda: cpu_of_servers(*servers)


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


def _measured(url: str, connections: int, read: Callable[[], dict[str, float]]) -> tuple[WrkResult, dict[str, float], str]:
    """The run's result, its CPU per hunt by process, and the note of that."""
    meter = CpuMeter(read=read)
    result = run_wrk(url, connections=connections, seconds=SECONDS, script="one_hunt.lua")
    each_us = meter.each_us(result.requests - result.not_2xx, {"wrk": result.cpu_us_per_request})
    return result, each_us, meter.words(each_us)


def _turn(peer: str, stack: HuntdStack, connections: int) -> Turn:
    with stack.redis.client() as redis, _serving(peer, stack) as (address, read):
        redis.call("FLUSHALL")
        _one_hunt(address, peer)
        url = f"http://{address}/"
        warm = run_wrk(url, connections=connections, seconds=WARM_SECONDS, script="one_hunt.lua")
        result, each_us, note = _measured(url, connections, read)
        answered = 1 + sum(run.requests - run.not_2xx for run in (warm, result))
        counts = redis.call("EVAL", COUNT, 0)
        # wrk stops at the end of its time: each connection of both runs may have a hunt in flight.
        off = max(max(answered - count, count - answered - 2 * connections, 0) for count in counts)
        return Turn(result, off, each_us, note)


def _rounds(stack: HuntdStack, peers: list[str], connections: int) -> dict[str, list[Turn]]:
    """In turns, all peers that are measured with so many connections."""
    turns: dict[str, list[Turn]] = {peer: [] for peer in peers if connections in CONNECTIONS[peer]}
    for number in range(ROUNDS):
        for peer in turns:
            progress(f"peers: {connections} connections, round {number + 1} of {ROUNDS}, {peer}")
            turns[peer].append(_turn(peer, stack, connections))
    return turns


def _peer_figures(turns: dict[str, list[Turn]], connections: int) -> list[Figure]:
    return [figure for peer, of_peer in turns.items() for figure in (
        repeated(f"{peer}_rate_{connections}", (turn.rate for turn in of_peer), "hunts/s"),
        repeated(f"{peer}_p99_ms_{connections}", (turn.result.p99_ms for turn in of_peer), "ms (closed-loop)"),
        repeated(f"{peer}_cpu_us_{connections}", (turn.servers_cpu_us for turn in of_peer), "µs of CPU per hunt, without wrk"))]


def _ratio(name: str, ours: list[Turn], theirs: list[Turn], unit: str, bar: float | None = None) -> Figure:
    """The rates of the same round beside each other."""
    return repeated(name, (one.rate / max(other.rate, 1) for one, other in zip(ours, theirs)), unit, bar=bar)


def _ratios(turns: dict[int, dict[str, list[Turn]]]) -> list[Figure]:
    found = [_ratio("process_over_cgi", turns[64]["process"], turns[64]["cgi"], "× nginx with CGI", 12)]
    if "task" in turns[64]:
        found += [_ratio("task_over_lua_64", turns[64]["task"], turns[64]["lua"], "× nginx with Lua", 1.0),
                  _ratio("task_over_lua_1000", turns[1000]["task"], turns[1000]["lua"], "× nginx with Lua")]
    if "batch" in turns[64]:
        found += [_ratio(f"batch_over_lua_{connections}", turns[connections]["batch"], turns[connections]["lua"], "× nginx with Lua", 1.5)
                  for connections in (64, 1000)]
        pairs = zip(turns[1000]["batch"], turns[1000]["lua"])
        found.append(repeated("p99_over_lua_1000", (one.result.p99_ms / other.result.p99_ms for one, other in pairs), "× nginx with Lua",
                              bar=0.5, at_most=True))
    return found


def run() -> Report:
    report = Report("peers")
    peers = [*known_modes(), "lua", "cgi"]
    turns: dict[int, dict[str, list[Turn]]] = {}
    with tempfile.TemporaryDirectory() as name:
        stack = HuntdStack(pathlib.Path(name) / "stack", cores=None, aggregator=False)
        stack.redis.options = ("--tcp-backlog", "4096")  # nginx opens a thousand connections at once
        try:
            stack.start_stores()
            for connections in (64, 1000):
                turns[connections] = _rounds(stack, peers, connections)
        finally:
            stack.stop()
    every = [turn for by_peer in turns.values() for of_peer in by_peer.values() for turn in of_peer]
    report.figures = [figure for connections, by_peer in turns.items() for figure in _peer_figures(by_peer, connections)]
    report.figures += [*_ratios(turns),
                       Figure("errors", sum(turn.result.not_2xx + turn.result.socket_errors for turn in every), "responses", bar=0, at_most=True),
                       Figure("unaccounted", sum(turn.off for turn in every), "awards, Redis against the responses", bar=0, at_most=True)]
    for mode in MODES:
        if mode not in peers:
            report.notes.append(f"this huntd does not know worker.isolation = \"{mode}\": its figures are left out")
    failed = {f"{peer} with {connections} connections": sum(turn.result.not_2xx + turn.result.socket_errors for turn in of_peer)
              for connections, by_peer in turns.items() for peer, of_peer in by_peer.items()}
    if any(failed.values()):
        report.notes.append("errors: " + ", ".join(f"{count:,} {who}" for who, count in failed.items() if count))
    report.notes += [f"{peer}, {connections} connections, last round: {of_peer[-1].cpu_note}"
                     for connections, by_peer in turns.items() for peer, of_peer in by_peer.items()]
    report.notes += [f"in a Debian 13 tree: {tree_versions(*PACKAGES)}",
                     f"{version_of(find_program('redis-server'), '--version')}; {version_of('wrk', '-v')}",
                     f"medians of {ROUNDS} × {SECONDS:g} s, ratios of the same round; rates count answers with status 2xx"]
    return report
