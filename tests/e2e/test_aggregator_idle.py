# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator on the outbox works only if there is something to do, at rest and while a peer is unavailable; and what it
does not look at all the time arrives nevertheless (decision 32).

The scenarios run at the same time (together.py) and are measured in one window: those of the first group with PostgreSQL,
those of the second before, in and after an outage of it.
"""
import re
import socket
import threading

import pytest

from aggregator_pipeline import Pipeline, get, metric, wait_for
from harness.huntd_stack import ROOT
from harness.process import wait_until
from idle_process import measure, stopped
from loot_events import expected_rows, make_events, text
from together import Group

SOON_S = 10  # far less than the 256 s in which all outboxes are read without a report
MEASURED, STOPS, STARTS = "all are measured", "PostgreSQL stops", "PostgreSQL starts"
undisturbed, outage = Group("undisturbed_runs"), Group("outage_runs")


@pytest.fixture(scope="module")
def make_pipeline(tmp_path_factory, postgres):
    return lambda: Pipeline(tmp_path_factory.mktemp("pipeline"), postgres)


@pytest.fixture(scope="module")
def undisturbed_runs(request, make_pipeline):
    return undisturbed.run(request, make_pipeline, {MEASURED: measure})


@pytest.fixture(scope="module")
def outage_runs(request, make_pipeline, postgres):
    try:
        return outage.run(request, make_pipeline,
                          {STOPS: lambda _: postgres.kill(), MEASURED: measure, STARTS: lambda _: postgres.start()})
    finally:
        if not postgres.running:
            postgres.start()


def events_of(first, count=20):
    """One event each of `count` hunters, whose outboxes differ."""
    made = make_events(1, 1)[0]
    return [{**made, "event_id": f"{number:032x}", "hunter_id": f"hunter-{number}", "seq": 1}
            for number in range(first, first + count)]


def await_rows(pipeline, events, timeout_s=60):
    expected = expected_rows(events)
    wait_until(lambda: pipeline.rows() == expected and pipeline.outbox_length() == 0, timeout_s,
               "all rows, and an empty outbox", 0.1)


def await_well(process):
    wait_for(lambda: get(process.listen, "/healthz")[0] == 200, "healthz")


def start_well(pipeline):
    process = pipeline.start()
    await_well(process)
    return process


def await_unwell(process, reason=""):
    wait_for(lambda: (found := get(process.listen, "/healthz"))[0] == 503 and reason in found[1], "healthz to complain")


def await_lag(process, events):
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == events, f"a lag of {events} events")


def await_read(process):
    """Until it has an event that is not merged: the events are of another year."""
    wait_for(lambda: (metric(process.listen, "hunt_aggregator_lag_seconds") or 0) > 1_000_000, "an event to be read")


# --- it uses nothing -------------------------------------------------------------------------------------------------

@undisturbed.scenario()
def test_at_rest_it_uses_no_cpu_and_few_commands(pipeline):
    process = start_well(pipeline)
    events = make_events(21, 500)
    pipeline.put(events)
    await_rows(pipeline, events)
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    assert metric(process.listen, "hunt_aggregator_outbox_watched") == 1
    assert metric(process.listen, "hunt_aggregator_lag_events") == 0


@outage.scenario()
def test_while_postgres_is_unavailable_it_waits(pipeline):
    process = start_well(pipeline)
    events = make_events(22, 300)
    yield STOPS
    pipeline.put(events)
    await_unwell(process, "postgres")
    await_lag(process, 300)
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    assert pipeline.outbox_length() == 300
    yield STARTS
    await_rows(pipeline, events)


@outage.scenario()
def test_without_events_it_notices_that_postgres_is_unavailable_and_waits(pipeline):
    process = start_well(pipeline)
    yield STOPS
    await_unwell(process, "postgres")
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    yield STARTS
    await_well(process)


@outage.scenario()
def test_while_postgres_is_unavailable_before_the_schema_exists_it_waits(pipeline):
    events = make_events(23, 300)
    yield STOPS
    pipeline.put(events)
    process = pipeline.start()
    await_unwell(process, "postgres")
    await_lag(process, 300)
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    yield STARTS
    await_well(process)  # then the table exists
    await_rows(pipeline, events)


@outage.scenario()
def test_an_empty_outbox_before_the_schema_exists_costs_nothing(pipeline):
    yield STOPS
    process = pipeline.start()
    await_unwell(process, "postgres")
    await_lag(process, 0)
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    yield STARTS
    await_well(process)


@undisturbed.scenario()
def test_while_postgres_rejects_each_merge_it_waits(pipeline):
    def set_read_only(value):
        pipeline.postgres.sql(f"ALTER DATABASE {pipeline.name} SET default_transaction_read_only = {value}", database="postgres")
        pipeline.postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{pipeline.name}'",
                              database="postgres")

    process = start_well(pipeline)
    set_read_only("on")
    events = make_events(24, 300)
    pipeline.put(events)
    await_lag(process, 300)
    await_unwell(process, "postgres")
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    set_read_only("off")
    await_rows(pipeline, events)


@undisturbed.scenario()
def test_while_postgres_hangs_in_the_connect_it_waits(pipeline):
    with socket.create_server(("127.0.0.1", 0)) as mute:
        pipeline.postgres_port = mute.getsockname()[1]
        pipeline.put(make_events(25, 300))
        process = pipeline.start()
        await_lag(process, 300)
        with pipeline.redis.client() as redis:
            yield MEASURED, process, redis
        assert pipeline.outbox_length() == 300


@undisturbed.scenario()
def test_while_redis_is_stopped_it_waits(pipeline):
    process = start_well(pipeline)
    with stopped(pipeline.redis):
        await_unwell(process, "Connection refused")
        yield MEASURED, process
    events = make_events(26, 100)
    pipeline.put(events)
    await_rows(pipeline, events)


@outage.scenario()
def test_while_redis_and_postgres_are_stopped_it_waits_and_reports_each(pipeline):
    process = start_well(pipeline)
    events = make_events(27, 100)
    yield STOPS
    pipeline.put(events)
    await_unwell(process, "postgres")
    with stopped(pipeline.redis):
        wait_for(lambda: metric(process.listen, 'hunt_aggregator_up{peer="source"}') == 0, "the source to be down")
        yield MEASURED, process
    # Although nothing is read until PostgreSQL is back.
    wait_for(lambda: metric(process.listen, 'hunt_aggregator_up{peer="source"}') == 1, "the source to be up")
    assert metric(process.listen, 'hunt_aggregator_up{peer="postgres"}') == 0
    yield STARTS
    await_rows(pipeline, events)


def close_all_connections(redis):
    """But this one."""
    redis.call("CLIENT", "KILL", "TYPE", "pubsub")
    redis.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


@undisturbed.scenario()
def test_while_redis_wants_a_password_it_waits(pipeline):
    process = start_well(pipeline)
    with pipeline.redis.client() as redis:
        redis.call("CONFIG", "SET", "requirepass", "s3cret")
        close_all_connections(redis)
        await_unwell(process, "NOAUTH")
        yield MEASURED, process, redis
        redis.call("CONFIG", "SET", "requirepass", "")
    events = make_events(28, 100)
    pipeline.put(events)
    await_rows(pipeline, events)
    assert "NOAUTH" in process.log.read_text()


@undisturbed.scenario()
def test_while_redis_deletes_nothing_it_waits_and_reads_nothing_again(pipeline):
    process = start_well(pipeline)
    events = make_events(29, 300)
    with pipeline.redis.client() as redis:
        redis.call("ACL", "SETUSER", "default", "-evalsha")
        pipeline.put(events)
        await_unwell(process, "evalsha")
        merged = metric(process.listen, "hunt_aggregator_events_total")  # it may have started to read before all were there
        assert 0 < merged <= 300
        yield MEASURED, process, redis
        assert pipeline.outbox_length() == 300
        assert metric(process.listen, "hunt_aggregator_events_total") == merged
        redis.call("ACL", "SETUSER", "default", "+evalsha")
    await_rows(pipeline, events)
    await_well(process)
    assert metric(process.listen, "hunt_aggregator_events_total") == 300
    assert "evalsha" in process.log.read_text().lower()


@undisturbed.scenario()
def test_one_outbox_that_cannot_be_read_costs_little_and_stops_no_other(pipeline):
    process = start_well(pipeline)
    events = [event for event in make_events(30, 300) if Pipeline.bucket_of(event["hunter_id"]) != 7]
    with pipeline.redis.client() as redis:
        redis.call("SET", "outbox:{b7}", "no stream")
        await_unwell(process, "WRONGTYPE")
        pipeline.put(events)
        wait_for(lambda: pipeline.rows() == expected_rows(events), "the rows of the others")
        yield MEASURED, process, redis
        redis.call("DEL", "outbox:{b7}")
    await_well(process)


@undisturbed.scenario()
def test_while_redis_is_a_replica_it_waits_and_says_why(pipeline):
    process = start_well(pipeline)
    events = make_events(31, 100)
    with pipeline.redis.client() as redis:
        redis.call("REPLICAOF", "127.0.0.1", "1")
        close_all_connections(redis)
        await_unwell(process, "the server is a replica")
        yield MEASURED, process, redis
        redis.call("REPLICAOF", "NO", "ONE")
    pipeline.put(events)
    await_rows(pipeline, events)
    # Although the first error of this failure was another one.
    assert process.log.read_text().count("the server is a replica") == 1


# --- what changes arrives --------------------------------------------------------------------------------------------

@undisturbed.scenario()
def test_an_award_at_rest_is_soon_in_the_table(pipeline):
    process = start_well(pipeline)
    given = []
    for first in (0, 100, 200):
        given += events_of(first)
        pipeline.put(given[-20:])
        await_rows(pipeline, given, SOON_S)
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    assert "failed" not in process.log.read_text()


@undisturbed.scenario(("pubsub",), ("normal",))
def test_a_connection_that_redis_closes_hides_no_event(pipeline, kind):
    process = start_well(pipeline)
    given = events_of(0)
    pipeline.put(given)
    await_rows(pipeline, given)
    with pipeline.redis.client() as redis:
        assert redis.call("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes") >= 1
    given += events_of(100)
    pipeline.put(given[-20:])
    await_rows(pipeline, given)
    await_well(process)
    assert metric(process.listen, "hunt_aggregator_outbox_watched") == 1
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis


class FreezingProxy:
    """Passes all bytes to Redis and back. After freeze() the connections that have subscribed stay open, and nothing passes."""

    def __init__(self, redis_port):
        self._redis_port = int(redis_port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._subscribed = []
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self):
        """Returns how many connections it has frozen."""
        for frozen in self._subscribed:
            frozen.set()
        return len(self._subscribed)

    def close(self):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._redis_port))
            except OSError:
                return
            frozen = threading.Event()
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink, frozen), daemon=True).start()

    def _pass(self, source, sink, frozen):
        try:
            while data := source.recv(65536):
                if b"SUBSCRIBE" in data:
                    self._subscribed.append(frozen)
                if not frozen.is_set():
                    sink.sendall(data)
        except OSError:
            pass
        source.close()
        sink.close()


@undisturbed.scenario()
def test_a_subscription_that_is_half_open_is_replaced(pipeline):
    proxy = FreezingProxy(pipeline.redis.port)
    try:
        pipeline.redis_address = proxy.address
        process = start_well(pipeline)
        assert proxy.freeze() == 1
        given = events_of(0)
        pipeline.put(given)
        await_rows(pipeline, given)
        assert "lost the connection that reports changes" in process.log.read_text()
        with pipeline.redis.client() as redis:
            yield MEASURED, process, redis
    finally:
        proxy.close()


@undisturbed.scenario(("-client|tracking", "+client|tracking", "CLIENT TRACKING"), ("-client|id", "+client|id", "CLIENT ID"),
                      ("resetchannels", "allchannels", "SUBSCRIBE"), ("-subscribe", "+subscribe", "SUBSCRIBE"),
                      ("-ping", "+ping", "PING"))
def test_a_redis_that_reports_no_changes_is_named_and_read_anyhow(pipeline, rejected, granted, command):
    pipeline.redis.call("ACL", "SETUSER", "default", rejected)
    process = start_well(pipeline)
    given = events_of(0)
    pipeline.put(given)
    await_rows(pipeline, given, SOON_S)
    given += events_of(100)
    pipeline.put(given[-20:])
    await_rows(pipeline, given, SOON_S)
    assert metric(process.listen, "hunt_aggregator_outbox_watched") == 0
    [line] = [line for line in process.log.read_text().splitlines() if "redis does not report changes of outboxes" in line]
    assert command in line and "&__redis__:invalidate" in line
    pipeline.redis.call("ACL", "SETUSER", "default", granted)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_outbox_watched") == 1, "the reports")
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis


@undisturbed.scenario()
def test_the_documented_acl_rule_is_enough_for_the_aggregator(pipeline):
    document = (ROOT / "docs" / "operations.md").read_text()
    [rules] = re.findall(r"^ACL SETUSER huntd reset resetchannels on >PASSWORD (.+)$", document, re.M)
    [more] = re.findall(r"^hunt-aggregator without Kafka needs also `([^`]+)`", document, re.M)
    pipeline.redis.call("ACL", "SETUSER", "default", "resetchannels", *rules.split(), *more.split())
    process = start_well(pipeline)
    events = make_events(32, 300)
    pipeline.put(events)
    wait_for(lambda: pipeline.rows() == expected_rows(events), "the rows")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")
    buckets = {Pipeline.bucket_of(event["hunter_id"]) for event in events}
    assert sum(pipeline.redis.call("XLEN", f"outbox:{{b{bucket}}}") for bucket in buckets) == 0
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    assert metric(process.listen, "hunt_aggregator_outbox_watched") == 1
    assert metric(process.listen, 'hunt_aggregator_failures_total{peer="source"}') == 0


# --- what Redis has lost or changed in the meantime ------------------------------------------------------------------

@outage.scenario()
def test_after_flushall_new_events_arrive(pipeline):
    process = start_well(pipeline)
    before = events_of(0)
    pipeline.put(before)
    await_rows(pipeline, before)
    pipeline.redis.call("FLUSHALL")
    after = events_of(100)
    pipeline.put(after)
    await_rows(pipeline, before + after, SOON_S)
    held, last = events_of(200), events_of(300)
    yield STOPS
    pipeline.put(held)
    await_read(process)
    pipeline.redis.call("FLUSHALL")
    # Of the same hunters' outboxes, with smaller ids: as if the clock had gone back.
    for number, event in enumerate(last):
        pipeline.redis.call("XADD", f"outbox:{{b{Pipeline.bucket_of(held[number]['hunter_id'])}}}", f"{number + 1}-1", "k",
                            event["hunter_id"], "v", text(event))
    yield MEASURED
    yield STARTS
    await_rows(pipeline, before + after + held + last)


@outage.scenario()
def test_an_event_with_the_id_of_one_that_was_merged_is_not_deleted_uncounted(pipeline):
    process = start_well(pipeline)
    [former], [later] = events_of(0, 1), events_of(100, 1)
    key = f"outbox:{{b{Pipeline.bucket_of(former['hunter_id'])}}}"
    yield STOPS
    pipeline.redis.call("XADD", key, "1-1", "k", former["hunter_id"], "v", text(former))
    await_read(process)
    # Redis has lost the first one, and gives its id again, all within the connection: as behind a proxy.
    with pipeline.redis.client() as redis:
        redis.call("DEL", key)
        redis.call("XADD", key, "1-1", "k", later["hunter_id"], "v", text(later))
    yield MEASURED
    yield STARTS
    await_rows(pipeline, [former, later])


@outage.scenario()
def test_a_redis_restarted_from_an_older_file_loses_no_later_event(pipeline):
    process = start_well(pipeline)
    first, lost, later = events_of(0), events_of(100), events_of(200)
    yield STOPS
    pipeline.put(first)
    await_read(process)
    file = pipeline.redis.directory / "older.rdb"
    pipeline.redis.save_in_background(file)
    pipeline.put(lost)
    await_lag(process, len(first) + len(lost))
    pipeline.redis.kill()
    pipeline.redis.append_only = False
    pipeline.redis.dump.write_bytes(file.read_bytes())
    pipeline.redis.start()
    pipeline.put(later)
    yield MEASURED
    yield STARTS
    wait_for(lambda: pipeline.outbox_length() == 0, "the outbox to empty")
    rows = pipeline.rows()
    expected = expected_rows(first + later)
    assert {key: rows.get(key) for key in expected} == expected


@outage.scenario()
def test_the_lag_counts_events_that_come_while_nothing_is_read(pipeline):
    process = start_well(pipeline)
    events = make_events(33, 400)
    yield STOPS
    pipeline.put(events[:100])
    await_read(process)
    pipeline.put(events[100:])
    await_lag(process, 400)
    yield MEASURED
    yield STARTS
    await_rows(pipeline, events)
    await_lag(process, 0)
