# SPDX-License-Identifier: Apache-2.0
"""JSON of the admin port as a busy huntd would send it, for tests of the page's looks: seeded, and a sample for each two seconds."""
import bisect
import math
import random

STAGES = {"queue": 20, "worker_start": 400, "script": 150, "redis_commit": 300, "kafka_ack": 4000, "request": 1200, "tick": 25}  # typical µs
BOUNDS_US = [round(10 ** (step / 10), 3) for step in range(71)]
START_MS = 1_795_000_000_000
INTERVAL_MS = 2000
REJECTED = ("/etc/huntd/hunts/gold.lua:3: unexpected symbol near 'end'\n"
            "/etc/huntd/hunts/a-hunt-with-a-very-long-name-that-goes-on-and-on.lua:118: attempt to call global 'awrad' <b>(a nil value)</b>")
REDIS_DOWN = "10.1.2.3:6379: nothing listens there (connect: Connection refused)"


class Histogram:
    def __init__(self):
        self.counts = [0] * len(BOUNDS_US)
        self.values: list[float] = []
        self.sum_us = self.max_us = 0.0

    def record(self, us: float, times: int = 1) -> None:
        self.counts[min(bisect.bisect_left(BOUNDS_US, us), len(BOUNDS_US) - 1)] += times
        self.sum_us += us * times
        self.max_us = max(self.max_us, us)

    def json(self) -> dict:
        count = sum(self.counts)
        return {"count": count, "mean_us": self.sum_us / count if count else 0, **{name: self._percentile(part) for name, part in (
            ("p50_us", 0.5), ("p90_us", 0.9), ("p99_us", 0.99), ("p99_9_us", 0.999))}, "max_us": self.max_us,
            "distribution": [[bound, n] for bound, n in zip(BOUNDS_US, self.counts) if n]}

    def _percentile(self, part: float) -> float:
        rank, passed = max(1, math.ceil(sum(self.counts) * part)), 0
        for bound, n in zip(BOUNDS_US, self.counts):
            passed += n
            if passed >= rank:
                return min(bound, self.max_us)
        return 0


def merged(histograms: list[Histogram]) -> Histogram:
    total = Histogram()
    total.counts = [sum(counts) for counts in zip(*(histogram.counts for histogram in histograms))]
    total.sum_us = sum(histogram.sum_us for histogram in histograms)
    total.max_us = max(histogram.max_us for histogram in histograms)
    return total


class BusyHost:
    """`fails`: Redis and Kafka are unavailable to core 0, and the newest reload was rejected."""

    def __init__(self, cores: int = 2, fails: bool = False, kafka: bool = True, hunts: bool = True):
        self.cores, self.fails, self.kafka, self.hunts = cores, fails, kafka, hunts
        self.random = random.Random(17)
        self.taken_ms = START_MS
        self.histograms = [{stage: Histogram() for stage in STAGES} for _ in range(cores)]
        self.counters = [dict.fromkeys(
            ['huntd_hunts_total{outcome="ok"}', 'huntd_hunts_total{outcome="replayed"}', 'huntd_hunts_total{outcome="rejected"}',
             'huntd_hunts_total{outcome="script_error"}', 'huntd_hunts_total{outcome="shed_late"}', "huntd_hunts_owner_total",
             'huntd_http_requests_total{code="2xx"}', 'huntd_http_requests_total{code="4xx"}', 'huntd_http_requests_total{code="5xx"}',
             "huntd_awards_total", "huntd_kafka_acked_total"], 0) for _ in range(cores)]
        self.runs = {name: 0 for name in ("calendar", "goblin-hoard", "treasure-map", "daily-wheel", "riddle", "golden-ticket")}

    def pass_time(self, turn: int) -> None:
        """Two seconds of load: a wave, and for twenty seconds a slow Redis."""
        self.taken_ms += INTERVAL_MS
        slow = 40 <= turn % 120 < 50
        load = 60 + 40 * math.sin(turn / 9)
        for core, (stages, counters) in enumerate(zip(self.histograms, self.counters)):
            for stage, typical_us in STAGES.items():
                if stage == "kafka_ack" and not self.kafka:
                    continue
                times = 8 if stage == "tick" else 3
                late = 12 if slow and stage in ("redis_commit", "request") else 1
                for _ in range(max(1, int(load))):
                    stages[stage].record(typical_us * (1 + 0.2 * (core % 4)) * late * math.exp(self.random.gauss(0, 0.45)), times)
            done = int(load) * 3
            for name, part in zip(counters, (0.9, 0.04, 0.03, 0.01, 0.02 if slow else 0, 0.9, 0.94, 0.04, 0.02, 0.8, 0.8)):
                counters[name] += round(done * part)
        for place, name in enumerate(self.runs):
            self.runs[name] += int(load * 2 / (place + 1))

    def status(self) -> dict:
        reload = {"started": 3, "finished": 3, "result": "applied", "at_ms": self.taken_ms - 200_000, "applied": 3, "rejected": 0,
                  "serves_saved": False, "bundle": "9f3abc3da4054223421bee41bea475bd", "error": "", "progress": ""}
        if self.fails:
            reload |= {"result": "rejected", "applied": 2, "rejected": 1, "error": REJECTED}
        return {"version": "0.1.0", "started_at_ms": START_MS - 3_600_000, "taken_at_ms": self.taken_ms, "pid": 1200, "start_ticks": 4711,
                "host": "serving", "reload": reload, "cores": [self._core(core) for core in range(self.cores)]}

    def _core(self, core: int) -> dict:
        down = self.fails and core == 0
        kafka = {"address": "kafka-1.example:9092,kafka-2.example:9092" if self.kafka else "", "reason": ""}
        if down:
            kafka["reason"] = "2/2 brokers are down: kafka-1.example:9092/1: Connect failed: Connection refused"
        return {"core": core, "state": "ready", "pid": 1201 + core, "cpu": core, "started_at_ms": START_MS - 3_599_900, "restarts": int(down),
                "heartbeat_age_ms": 3, "last_end": "signal 9" if down else "", "bundle": "9f3abc3da4054223421bee41bea475bd",
                "redis": {"server": "Redis 7.0.15, master, AOF on", "address": "10.1.2.3:6379", "reason": REDIS_DOWN if down else ""},
                "kafka": kafka, "counters": dict(self.counters[core]),
                "gauges": {"huntd_connections_open": 412 + core, "huntd_workers_live": 6, "huntd_queue_length": 2 * core, "huntd_redis_up": int(not down),
                           "huntd_redis_memory_used_bytes": 96 << 20, "huntd_redis_memory_max_bytes": 512 << 20, "huntd_worker_start_failure": 0,
                           "huntd_kafka_up": int(not down), "huntd_kafka_in_flight": 11, "huntd_outbox_pending": 1384 if down else 12,
                           "huntd_draining": 0}}

    def latency(self) -> dict:
        return {"version": "0.1.0", "started_at_ms": START_MS - 3_600_000, "taken_at_ms": self.taken_ms,
                "cores": [{"core": core, "stages": {stage: histogram.json() for stage, histogram in stages.items()}}
                          for core, stages in enumerate(self.histograms)],
                "all": {"stages": {stage: merged([stages[stage] for stages in self.histograms]).json() for stage in STAGES}}}

    def sample(self) -> dict:
        """What the page has after one refresh: the argument of its take()."""
        reasons = [{"core": 0, "reason": f"core 0 can't use Redis: {REDIS_DOWN}"}] if self.fails else []
        hunts = [{"hunt": name, "runs": runs, "ok": runs - runs // 20, "failed": runs // 50, "refused": runs // 40, "p50_ms": 1.2, "p99_ms": 4.5}
                 for name, runs in self.runs.items()] + [{"hunt": None, "other": True, "runs": 7, "ok": 7, "failed": 0, "refused": 0,
                                                          "p50_ms": 0.9, "p99_ms": 2.5}]
        return {"status": self.status(), "latency": self.latency(), "health": {"healthy": True, "reasons": []},
                "ready": {"ready": not reasons, "reasons": reasons}, "hunts": hunts if self.hunts else None, "hunts_max": 100,
                **(self._loot() if self.hunts else {}), "errors": self._errors() if self.hunts else [], "bundles": self._bundles() if self.hunts else []}

    def _loot(self) -> dict:
        """Of goblin-hoard copper is given too often; nothing of its crown."""
        runs = self.runs["goblin-hoard"]
        given = [("goblin-hoard", "copper-coin", runs - runs // 10, None, None), ("goblin-hoard", "silver-ring", runs // 10, None, None),
                 ("golden-ticket", "golden-ticket", 100, 100, 0), ("golden-ticket", "chocolate-bar", 12, 5000, 4988), ("riddle", "feather", 40, 60, None)]
        odds = [("copper-coin", 0.6), ("silver-ring", 0.37), ("goblin-crown", 0.03)]
        return {"loot": [{"hunt": hunt, "loot": loot, "awards": n, "units": n, "limit": limit, "left": left,
                          "left_at_ms": None if left is None else self.taken_ms} for hunt, loot, n, limit, left in given], "no_room": 0,
                "tables": [{"hunt": "goblin-hoard", "lines": [{"loot": loot, "share": share} for loot, share in odds]}], "loot_shown": True}

    def _errors(self) -> list[dict]:
        return [{"hunt": "riddle", "line": 12, "reason": "script_error", "message": "riddle.lua:12: attempt to index local 'wish' <b>(a nil value)</b>",
                 "count": 214, "first_ms": START_MS, "last_ms": self.taken_ms - 3000, "example": None},
                {"hunt": "calendar", "line": None, "reason": "deadline", "message": "the deadline of a hunt is 50 ms", "count": 1,
                 "first_ms": START_MS, "last_ms": self.taken_ms - 90_000, "example": None}]

    def _bundles(self) -> list[dict]:
        return [{"bundle": f"{number:032x}", "at_ms": START_MS - 86_400_000 * (3 - number), "hunts": 6, "served": 1000 * number,
                 "live": number == 2, "by": "alice (sudo)", "from": "/home/alice/hunts-of-december"} for number in (3, 2, 1)]
