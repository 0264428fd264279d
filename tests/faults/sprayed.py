# SPDX-License-Identifier: Apache-2.0
"""Clients behind a proxy that sprays: each request goes to any host, and some to two hosts at once."""
import http.client
import json
import random
import threading
from collections import Counter, defaultdict

from harness.process import wait_until
from harness.stores import held_in

CLIENTS = 6
RETRY_S = 0.05
TWICE = 0.2  # of the requests, as of a client that repeats too early
HUNTS = ("gold", "pair", "mixed", "scarce")


class Sprayed:
    """They play until the end of `with`. A request that fails is repeated with its key, on any host, until it gets a 200."""

    def __init__(self, addresses: list[str], hunters: list[str], seed: int):
        self.addresses, self.hunters = addresses, hunters
        self.done = 0
        self.failed: Counter = Counter()                     # by problem, or "broken"
        self.loot: dict[tuple, Counter] = defaultdict(Counter)  # of the responses, by hunter and hunt
        self.answers: dict[str, str] = {}                    # key -> its loot
        self.keys: dict[str, str] = {}                       # event_id -> key
        self.wrong: list = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._play, args=(number, random.Random(f"{seed} {number}"))) for number in range(CLIENTS)]

    def _post(self, address: str, path: str, key: str) -> tuple[str, dict]:
        """The problem (empty: none) and the response."""
        connection = http.client.HTTPConnection(*address.split(":"), timeout=30)
        try:
            connection.request("POST", path, headers={"Idempotency-Key": key, "Content-Length": "0"})
            answer = connection.getresponse()
            body = json.loads(answer.read())
            return ("" if answer.status == 200 else body["type"].rsplit(":", 1)[1]), body
        except (OSError, http.client.HTTPException):
            return "broken", {}
        finally:
            connection.close()

    def _until_given(self, draw: random.Random, path: str, key: str) -> None:
        problem = "not sent"
        while problem:
            problem, body = self._post(draw.choice(self.addresses), path, key)
            if problem:
                self.failed[problem] += 1
                self._ended.wait(RETRY_S)
        loot = json.dumps(body["loot"])
        with self._lock:
            if self.answers.setdefault(key, loot) != loot:
                self.wrong.append((key, self.answers[key], loot))
            for item in body["loot"]:
                if self.keys.setdefault(item["event_id"], key) != key:
                    self.wrong.append((item, key, self.keys[item["event_id"]]))

    def _play(self, client: int, draw: random.Random) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            path = f"/v1/hunts/{draw.choice(HUNTS)}/hunters/{draw.choice(self.hunters)}"
            key = f"spray-{client}-{number}"
            if draw.random() < TWICE:
                other = threading.Thread(target=self._until_given, args=(random.Random(key), path, key))
                other.start()
                self._until_given(draw, path, key)
                other.join()
            else:
                self._until_given(draw, path, key)
            _, _, _, hunt, _, hunter = path.split("/")
            with self._lock:
                for item in json.loads(self.answers[key]):
                    self.loot[hunter, hunt][item["loot_id"]] += item.get("count", 1)
                self.done += 1

    def await_more(self, count: int) -> None:
        wanted = self.done + count
        wait_until(lambda: self.done >= wanted, 120, f"{count} more responses; so far {dict(self.failed)}", 0.05)

    def check(self, run, report) -> None:
        """Every key has its response by now, so Redis must hold exactly what the responses say."""
        with run.stack.redis.client() as redis:
            held = held_in(redis)
        report.none("I2", self.wrong, "keys with two responses, or events of two keys")
        report.none("I2", [(who, dict(held[who].loot) if who in held else {}, dict(loot)) for who, loot in self.loot.items()
                            if who not in held or held[who].loot != loot], "sprayed hunters who hold something else than their responses say")

    def __enter__(self) -> "Sprayed":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
