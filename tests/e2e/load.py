# SPDX-License-Identifier: Apache-2.0
"""Thousands of hunts by both kinds of clients: a connection for each hunter (handed to its core), and a proxy's few
connections that carry all hunters (and whose requests are forwarded)."""
import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

from client import AsyncConnection

REPEATABLE = (500, 503, 504)  # responses that ask the client to repeat


@dataclass
class Request:
    hunt: str
    hunter: str
    key: str | None = None


@dataclass
class LoadResult:
    statuses: Counter = field(default_factory=Counter)
    tries: int = 0
    broken: int = 0  # connections that broke under a request
    replayed: int = 0
    # Of the responses: {(hunter, hunt): Counter of loot_id}, each event once.
    loot: dict = field(default_factory=dict)
    events: set = field(default_factory=set)
    bundles: Counter = field(default_factory=Counter)

    def note(self, answer) -> None:
        self.statuses[answer.status] += 1
        if answer.status != 200:
            return
        body = answer.json
        self.replayed += body["replayed"]
        self.bundles[answer.headers["hunt-bundle"]] += 1
        for item in body["loot"]:
            if item["event_id"] not in self.events:
                self.events.add(item["event_id"])
                self.loot.setdefault((body["hunter_id"], body["hunt_id"]), Counter())[item["loot_id"]] += 1


async def _until_answered(connection: AsyncConnection, request: Request, result: LoadResult, tries_max: int) -> None:
    """A request with a key is safe to repeat: repeats it after a broken connection or a response of REPEATABLE."""
    for attempt in range(tries_max):
        result.tries += 1
        try:
            answer = await connection.run_hunt(request.hunt, request.hunter, request.key)
        except (OSError, EOFError):
            result.broken += 1
            if request.key is None:
                return
        else:
            if answer.status not in REPEATABLE or request.key is None or attempt + 1 == tries_max:
                result.note(answer)
                return
            result.statuses[f"{answer.status}, repeated"] += 1
        await asyncio.sleep(min(0.02 * 2 ** attempt, 0.5) * random.uniform(0.5, 1))
    result.statuses["no response"] += 1


async def play(address: str, requests: list[Request], *, hunter_clients: int = 100, proxy_connections: int = 8,
               tries_max: int = 1, progress=None) -> LoadResult:
    """Sends every request once, half of the hunters by connections of their own, half through the proxy's.

    At most `hunter_clients` hunters are connected at a time. `progress(done)` is called after each response.
    """
    result = LoadResult()
    own: dict[str, list[Request]] = {}
    shared: list[Request] = []
    for request in requests:
        if hash_half(request.hunter):
            own.setdefault(request.hunter, []).append(request)
        else:
            shared.append(request)
    done = 0

    async def one(connection, request):
        nonlocal done
        await _until_answered(connection, request, result, tries_max)
        done += 1
        if progress:
            progress(done)

    hunters = iter(list(own.values()))
    waiting = iter(shared)

    async def hunter_client():
        for mine in hunters:
            connection = AsyncConnection(address)
            for request in mine:
                await one(connection, request)
            await connection.close()

    async def proxy_client():
        connection = AsyncConnection(address)
        for request in waiting:
            await one(connection, request)
        await connection.close()

    await asyncio.gather(*[hunter_client() for _ in range(hunter_clients)],
                         *[proxy_client() for _ in range(proxy_connections)])
    return result


def hash_half(hunter: str) -> bool:
    return sum(hunter.encode()) % 2 == 0
