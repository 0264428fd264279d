# SPDX-License-Identifier: Apache-2.0
"""The callers: a steady rate of hunts from three kinds of clients, and a record of every response.

- hunters: a connection for each hunter, every request with an Idempotency-Key, repeated until it gets a response;
- proxies: few connections that carry many hunters, with keys too;
- loose: a connection for each hunter and no keys, so that an award behind an error response is noticed.
"""
import asyncio
import random
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field

from client import AsyncConnection
from harness.process import wait_until

HUNTS = ("gold", "gold", "gold", "pair", "pair", "mixed", "mixed", "mixed", "scarce", "reject", "slow")
SETTLED = (200, 422)
UNKNOWN = {"broken", "timeout", "outcome-unknown"}  # after these the client does not know if loot was awarded
TRY_TIMEOUT_S = 20.0
REPEATED_LATER = 0.3  # of the proxies' requests


@dataclass
class Request:
    hunt: str
    hunter: str
    key: str | None


@dataclass
class Trouble:
    """An attempt that ended in neither 200 nor 422."""
    at_s: float
    client: "Client"
    request: Request
    what: str  # a problem's type, or: broken, no-connection, timeout


@dataclass
class Client:
    kind: str
    hunters: list[str]
    connection: AsyncConnection


@dataclass
class Responses:
    statuses: Counter = field(default_factory=Counter)
    troubles: list[Trouble] = field(default_factory=list)
    events: dict[str, tuple[str, str, str]] = field(default_factory=dict)  # event_id -> hunter, hunt, loot
    # (hunter, hunt, key) -> each different (status, loot with event_ids) that it was answered with
    by_key: dict[tuple, set] = field(default_factory=dict)
    bundles: set = field(default_factory=set)
    contradictions: list[str] = field(default_factory=list)
    unanswered: list[Request] = field(default_factory=list)
    # {(hunter, hunt): number} of requests without a key whose outcome is unknown.
    unknown: Counter = field(default_factory=Counter)
    good_at_s: deque = field(default_factory=deque)
    took_s: deque = field(default_factory=deque)  # (when it was answered, how long it took) of each attempt that settled a request

    def note(self, request: Request, answer) -> None:
        self.statuses[answer.status] += 1
        loot = tuple((item["loot_id"], item["event_id"]) for item in answer.json["loot"]) if answer.status == 200 else ()
        self.bundles.add(answer.headers.get("hunt-bundle"))
        for loot_id, event_id in loot:
            reported = (request.hunter, request.hunt, loot_id)
            if self.events.setdefault(event_id, reported) != reported:
                self.contradictions.append(f"{event_id} is {self.events[event_id]} and {reported}")
        if request.key is not None:
            self.by_key.setdefault((request.hunter, request.hunt, request.key), set()).add((answer.status, loot))

    def loot(self, but=frozenset()) -> dict[tuple[str, str], Counter]:
        """{(hunter, hunt): Counter of loot_id}, each event once, without the event_ids in `but`."""
        found: dict[tuple[str, str], Counter] = {}
        for event_id, (hunter, hunt, loot_id) in self.events.items():
            if event_id not in but:
                found.setdefault((hunter, hunt), Counter())[loot_id] += 1
        return found

    def goodput(self, since_s: float, until_s: float) -> float:
        """Responses per second in a span of monotonic time."""
        return sum(since_s <= at < until_s for at in list(self.good_at_s)) / (until_s - since_s)

    def latency_s(self, share: float, since_s: float, until_s: float) -> float:
        """The quantile `share` of the time that responses of that span took."""
        took_s = sorted(took for at, took in list(self.took_s) if since_s <= at < until_s)
        return took_s[min(int(share * len(took_s)), len(took_s) - 1)]


def what_of(answer) -> str:
    return answer.problem if answer.headers.get("content-type") == "application/problem+json" else str(answer.status)


class Load:
    """Runs on a thread of its own, from start() to finish(). An error in `final` ends its request: it is not repeated."""

    def __init__(self, address: str, *, seed: int, rate: float = 120, hunters: int = 24, proxies: int = 4, loose: int = 6,
                 hunts: tuple[str, ...] = HUNTS, final: frozenset[str] = frozenset()):
        self.address = address
        self.rate = rate
        self.hunts = hunts
        self.final = final
        self.draw = random.Random(seed)
        self.responses = Responses()
        self.clients = [self._client("hunter", [f"h{n}"]) for n in range(hunters)]
        self.clients += [self._client("proxy", [f"p{n}-{m}" for m in range(10)]) for n in range(proxies)]
        self.clients += [self._client("loose", [f"u{n}"]) for n in range(loose)]
        self._number = 0
        self._answered: deque = deque(maxlen=2000)
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def _client(self, kind: str, hunters: list[str]) -> Client:
        return Client(kind, hunters, AsyncConnection(self.address))

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="load")
        self._thread.start()

    def finish(self, timeout_s: float = 90) -> None:
        """Sends no new requests; requests with a key are still repeated until they get a response."""
        self._ending.set()
        self._give_up_at_s = time.monotonic() + timeout_s - 5
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimeoutError("the load's clients did not end")
        if self._failure:
            raise self._failure

    def await_answers(self, count: int, timeout_s: float = 60) -> None:
        goal = len(self.responses.good_at_s) + count
        wait_until(lambda: len(self.responses.good_at_s) >= goal, timeout_s, f"{count} more responses")

    def await_steady(self, timeout_s: float = 60) -> None:
        """Waits until the rate of responses is the wanted rate."""
        started_s = time.monotonic()

        def steady():
            now_s = time.monotonic()
            return now_s - started_s > 2 and self.responses.goodput(now_s - 2, now_s) >= 0.9 * self.rate
        wait_until(steady, timeout_s, f"{self.rate:g} responses per second")

    def _run(self) -> None:
        try:
            asyncio.run(self._play())
        except BaseException as failure:
            self._failure = failure

    async def _play(self) -> None:
        period_s = len(self.clients) / self.rate
        await asyncio.gather(*(self._serve(client, period_s, index / self.rate)
                               for index, client in enumerate(self.clients)))

    def _next(self, client: Client) -> Request:
        # A proxy repeats a hunter's request: over another connection, and often on another core.
        if client.kind == "proxy" and self._answered and self.draw.random() < REPEATED_LATER:
            return self.draw.choice(self._answered)
        self._number += 1
        return Request(self.draw.choice(self.hunts), self.draw.choice(client.hunters),
                       None if client.kind == "loose" else f"k{self._number}")

    async def _serve(self, client: Client, period_s: float, first_s: float) -> None:
        """One request per period; periods that pass during a request are skipped."""
        due_s = time.monotonic() + first_s
        while not self._ending.is_set():
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            request = self._next(client)
            if await self._until_answered(client, request):
                self.responses.good_at_s.append(time.monotonic())
                if request.key:
                    self._answered.append(request)
            while due_s <= time.monotonic():
                due_s += period_s
        await client.connection.close()

    async def _until_answered(self, client: Client, request: Request) -> bool:
        attempt = 0
        while not self._ending.is_set() or attempt == 0 or time.monotonic() < self._give_up_at_s:
            attempt += 1
            sent_s = time.monotonic()
            what, answer = await self._try(client, request)
            if answer is not None and answer.status in SETTLED:
                self.responses.note(request, answer)
                self.responses.took_s.append((time.monotonic(), time.monotonic() - sent_s))
                return True
            self.responses.troubles.append(Trouble(time.monotonic(), client, request, what))
            if request.key is None or what in self.final:
                if what in UNKNOWN:
                    self.responses.unknown[request.hunter, request.hunt] += 1
                await asyncio.sleep(0.05)
                return False
            await asyncio.sleep(min(0.02 * 2 ** min(attempt, 6), 0.5) * self.draw.uniform(0.5, 1))
        self.responses.unanswered.append(request)
        return False

    async def _try(self, client: Client, request: Request):
        try:
            answer = await asyncio.wait_for(client.connection.run_hunt(request.hunt, request.hunter, request.key),
                                            TRY_TIMEOUT_S)
            return what_of(answer), answer
        except TimeoutError:
            await client.connection.close()
            return "timeout", None
        except ConnectionRefusedError:
            return "no-connection", None
        except (OSError, EOFError):
            return "broken", None


class HealthProbe:
    """Requests /healthz five times per second on a thread of its own; notes responses that take longer than `limit_s`."""

    def __init__(self, get, limit_s: float = 1.0, every_s: float = 0.2):
        self._get = get
        self.limit_s = limit_s
        self.every_s = every_s
        self.late: list[tuple[float, float, str]] = []  # when, how long, what
        self.slowest_s = 0.0
        self.asked = 0
        self.excused = 0
        self._pauses = 0  # while above 0, no response is expected
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join()

    def __enter__(self):
        """The admin port is expected to be unavailable within this block."""
        self._pauses += 1

    def __exit__(self, *_):
        self._pauses -= 1

    def _run(self) -> None:
        while not self._ended.wait(self.every_s):
            paused = self._pauses > 0
            started_s = time.monotonic()
            try:
                self._get()
                what = "late response"
                took_s = time.monotonic() - started_s
            except OSError as error:
                what, took_s = f"no response: {error!r}", max(time.monotonic() - started_s, self.limit_s + 0.001)
            self.asked += 1
            if paused or self._pauses > 0:
                self.excused += 1
                continue
            self.slowest_s = max(self.slowest_s, took_s)
            if took_s > self.limit_s:
                self.late.append((started_s, took_s, what))
