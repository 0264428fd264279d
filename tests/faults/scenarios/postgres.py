# SPDX-License-Identifier: Apache-2.0
"""Faults of PostgreSQL and of hunt-aggregator: hunters see none of them; the table lags and catches up
(docs/operations.md "PostgreSQL or the aggregator is unavailable"), and does not depend on the order of its events (docs/aggregator.md
"Guarantees"). The invariants check that after every scenario: I2, and huntctl reconcile.

Hunters' throughput is not affected. It may take more than 10 s until the table counts again, by design: the back-off towards
Postgres goes up to 5 s, and a member of Kafka's group that died is replaced after 10 s (docs/aggregator.md), so the scenarios wait
up to 40 s."""
import json
import re
import signal
import struct
import subprocess
import time

from faults.scenario import scenario
from faults.scenarios.kafka import needs_a_broker_with_a_disk
from harness.huntd_stack import http_get
from harness.postgres_server import OtherSession, StandbyServer, several_hosts
from harness.process import find_program
from harness.stores import in_kafka, in_redis


def _counted(run, name: str, aggregator=None) -> float:
    return run.stack.aggregator_metric(f"hunt_aggregator_{name}", aggregator and aggregator.address)


def _await_merges(run, aggregator=None, timeout_s: float = 40) -> None:
    """Waits until `aggregator` (by default the first one) counts events."""
    fresh = _counted(run, "new_total", aggregator)
    run.await_(lambda: _counted(run, "new_total", aggregator) > fresh, timeout_s, "the aggregator to count events")


def _sessions(run, name: str, condition: str) -> int:
    [[count]] = run.stack.postgres.sql(f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}' "
                                       f"AND {condition}")
    return int(count)


def _await_lock_wait(run, name: str = "hunt-aggregator") -> None:
    run.await_(lambda: _sessions(run, name, "wait_event_type = 'Lock'"), 20, f"a merge of {name} to wait for a lock")


def _unavailable(run, seconds: float) -> None:
    """Waits until the aggregator reports Postgres as unavailable, then for `seconds`; the aggregator must not end."""
    aggregator = run.stack.aggregator
    pid = aggregator.pid
    run.await_(lambda: http_get(aggregator.address, "/healthz")[1].startswith("postgres is unavailable"), 30,
               "the aggregator to report that Postgres is unavailable")
    run.go_on_for(seconds)
    run.expect(aggregator.running and aggregator.pid == pid, "the aggregator still runs without Postgres")


def _await_back(run) -> None:
    run.await_(lambda: http_get(run.stack.aggregator_address, "/healthz") == (200, "ok\n"), 30, "the aggregator to be healthy")
    _await_merges(run)


@scenario(chaos=True)
def postgres_down_60_s(run):
    """SIGKILL, and started again after a minute: one line in the log, a back-off of 100 ms to 5 s, /healthz 503 with the
    reason, and events that were read stay in memory (docs/aggregator.md "If a peer is unavailable"). Committed rows survive the
    crash (PostgreSQL, write-ahead log)."""
    log_before = len(run.stack.aggregator.log_text())
    run.stack.postgres.kill()
    _unavailable(run, run.span(60, 3))
    output = run.stack.aggregator.log_text()[log_before:].count("merge failed, retrying")
    run.expect(output == 1, f"one line reports that the merge failed, not {output}")
    run.stack.postgres.start()
    run.lifted()
    _await_back(run)


@scenario(chaos=True)
def postgres_sessions_terminated(run):
    """As an administrator or a failing proxy terminates sessions, during a merge or between two: the batch is merged
    over a new connection (docs/aggregator.md "If a peer is unavailable")."""
    for _ in range(run.span(10, 3)):
        run.stack.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               "WHERE application_name = 'hunt-aggregator'")
        run.go_on_for(run.draw.uniform(0.2, 1.2))
    run.lifted()
    _await_back(run)


@scenario(chaos=True)
def postgres_read_only(run):
    """After a failover the server may be a standby, or be set read-only: every merge fails with 25006 and is tried again
    with the back-off, until the server accepts writes (docs/aggregator.md "If a peer is unavailable")."""
    for value in ("on", "off"):
        run.stack.postgres.sql(f"ALTER DATABASE huntd SET default_transaction_read_only = {value}", database="postgres")
        run.stack.postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                               "WHERE application_name = 'hunt-aggregator'")
        if value == "on":
            _unavailable(run, run.span(10, 3))
    run.lifted()
    _await_back(run)


@scenario(chaos=True)
def deadlock_in_a_merge(run):
    """The aggregator locks the rows of its batch in the order of their key; another session that locks them the other way
    round makes a real deadlock, of which PostgreSQL ends one transaction with 40P01 (PostgreSQL, 13.3.4): if it is the
    merge, the batch is rolled back and tried again with the back-off."""
    stack = run.stack
    failed, log_before = _counted(run, 'failures_total{peer="postgres"}'), len(stack.aggregator.log_text())

    def deadlock() -> bool:
        """False if PostgreSQL did not end the merge but the other session."""
        other = OtherSession(stack.postgres.uri)
        try:
            # The session that waits longer than its deadlock_timeout is ended: with 60 s never this one.
            other.do("SET deadlock_timeout = '60s'; BEGIN")
            other.do("SELECT FROM hunt_session WHERE hunter_id >= 'u' ORDER BY hunter_id, hunt_id FOR UPDATE")
            _await_lock_wait(run)
            other.do("SELECT FROM hunt_session WHERE hunter_id < 'u' ORDER BY hunter_id, hunt_id FOR UPDATE")
            other.do("ROLLBACK")
            other.end()
        finally:
            other.kill()
        return "deadlock detected" in stack.aggregator.log_text()[log_before:]
    run.expect(any(deadlock() for _ in range(5)), "none of five deadlocks ended the merge")
    run.lifted()
    run.expect(_counted(run, 'failures_total{peer="postgres"}') > failed, "the failure is counted")
    _await_back(run)


@scenario(chaos=True)
def serialization_failures(run):
    """A merge is READ COMMITTED, and there PostgreSQL itself has no 40001 for a plain table (13.2.1); a proxy in front of
    it may. A trigger raises it here, for the first five merges: each is rolled back and tried again with the back-off."""
    sql, failed = run.stack.postgres.sql, _counted(run, 'failures_total{peer="postgres"}')
    sql("CREATE SEQUENCE fault_turns")
    sql("""CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF nextval('fault_turns') <= 5 THEN
               RAISE EXCEPTION 'could not serialize access due to concurrent update' USING ERRCODE = '40001';
             END IF;
             RETURN NULL; END $$""")
    sql("CREATE TRIGGER fault BEFORE INSERT OR UPDATE ON hunt_session FOR EACH STATEMENT EXECUTE FUNCTION fault()")
    run.await_(lambda: _counted(run, 'failures_total{peer="postgres"}') == failed + 5, 30, "five merges to fail")
    run.lifted()
    _await_back(run)
    sql("DROP TRIGGER fault ON hunt_session")
    sql("DROP FUNCTION fault")
    sql("DROP SEQUENCE fault_turns")


@scenario(chaos=True)
def aggregator_killed_between_rows_and_offsets(run):
    """It commits its offsets only after the commit in Postgres, and every row has the seqs that it has counted: events that
    were merged and not acknowledged are read again and change nothing (docs/aggregator.md "Guarantees"). Kafka is stopped
    when the rows are committed, and is killed before it has read the offsets."""
    needs_a_broker_with_a_disk(run)
    stack = run.stack
    for _ in range(run.span(2, 1)):
        gate = OtherSession(stack.postgres.uri)
        try:
            gate.do("BEGIN; LOCK TABLE hunt_session IN EXCLUSIVE MODE")
            _await_lock_wait(run)
            fresh = _counted(run, "new_total")
            stack.kafka.signal(signal.SIGSTOP)
            gate.do("COMMIT")
            gate.end()
            run.await_(lambda: _counted(run, "new_total") > fresh, 20, "the rows to be committed")
            stack.aggregator.kill()
        finally:
            gate.kill()
            stack.kafka.kill()
            stack.kafka.start()
        stack.aggregator.start()
        run.lifted()
        run.await_(lambda: _counted(run, "duplicates_total") > 0, 40, "the events that were not acknowledged to come again")


@scenario(chaos=True)
def aggregator_killed_at_random_moments(run):
    """Killed at random moments instead of the worst one; each start continues at the committed offsets (docs/aggregator.md "Guarantees"), once the
    group has given up the dead member: after 10 s."""
    for _ in range(run.span(5, 1)):
        _await_merges(run)
        run.go_on_for(run.draw.uniform(0, 1.2))
        run.stack.aggregator.kill()
        run.stack.aggregator.start()
        run.lifted()
    _await_merges(run)


COUNTED_WITHIN_S = 30


@scenario(chaos=True)
def aggregator_down_60_s(run):
    """SIGKILL, and started again after a minute: hunters see no error, events wait in Kafka, and all awards up to the
    start are counted within 30 s of it (docs/operations.md "PostgreSQL or the aggregator is unavailable"). If it is down for less, the
    group's timeout for the dead member (10 s, docs/aggregator.md "If a peer is unavailable") is part of the 30 s."""
    stack = run.stack
    _await_merges(run)
    stack.aggregator.kill()
    counted = _loot_in_the_table(run)
    run.go_on_for(run.span(60, 5))
    run.expect(_loot_in_the_table(run) == counted, "the table does not change while the aggregator is down")
    awarded = sum(in_redis(stack)[1].values())
    run.expect(awarded > counted, f"hunters continue: {awarded} awards, {counted} of them counted")
    started_s = time.monotonic()
    stack.aggregator.start()
    run.lifted()
    run.await_(lambda: _loot_in_the_table(run) >= awarded, started_s + COUNTED_WITHIN_S - time.monotonic(),
               f"the {awarded} awards up to its start to be counted")
    caught_up_s = round(time.monotonic() - started_s, 1)
    run.checks.append(lambda _, report: report.figures.update({"caught_up_s": caught_up_s}))


def _loot_in_the_table(run) -> int:
    [[count]] = run.stack.postgres.sql("SELECT coalesce(sum(loot_count), 0) FROM hunt_session")
    return int(count)


def _stopped_30_s(run, stop) -> None:
    """`stop(aggregator, its name in Postgres)` stops one of two aggregators; it continues after 30 s. The other must not wait for it."""
    stack = run.stack
    another = stack.start_another_aggregator()
    names = {stack.aggregator: "hunt-aggregator", another: "another"}
    for aggregator in names:
        _await_merges(run, aggregator)
    stopped, other = run.draw.sample(list(names), 2)
    try:
        stop(stopped, names[stopped])
        run.go_on_for(run.span(30, 20))
        _await_merges(run, other)
        behind = _counted(run, "lag_events", other)
        run.expect(behind < 2000, f"the other one reads everything, and is behind by {behind:.0f} events")
    finally:
        stopped.signal(signal.SIGCONT)
    run.lifted()
    for aggregator in names:
        _await_merges(run, aggregator)
    run.expect("deadlock" not in stack.aggregator.log_text() + another.log_text(), "no deadlock between the two")


@scenario()
def one_of_two_aggregators_stopped_30_s(run):
    """The stopped one loses its partitions after 10 s, and the other reads them from the last offsets
    (docs/aggregator.md "If a peer is unavailable"); when it continues, it merges the events that it still holds: the other has counted all of them, and nothing changes."""
    def between_two_merges(aggregator, name) -> None:
        def stopped() -> bool:
            aggregator.signal(signal.SIGSTOP)
            if _sessions(run, name, "state <> 'idle'") == 0:
                return True
            aggregator.signal(signal.SIGCONT)
            return False
        run.await_(stopped, 20, "a moment without a merge")
    _stopped_30_s(run, between_two_merges)


@scenario()
def one_of_two_aggregators_stopped_in_its_merge(run):
    """As between two merges, but it has rows locked that the other needs. PostgreSQL ends a merge whose aggregator sends
    nothing for 15 s (limits::pg_silence_ms), so that the other one continues; the stopped one merges its batch again later. During
    a COPY PostgreSQL would wait without a limit (it holds cancels back while it reads a COPY's data): here the merge is stopped
    in an UPDATE, so it is a merge without a new session."""
    def stopped_in_an_update(aggregator, name) -> bool:
        gate = OtherSession(run.stack.postgres.uri)
        try:
            gate.do("BEGIN; LOCK TABLE hunt_session IN SHARE MODE")  # a merge may lock its rows, and not change them
            _await_lock_wait(run, name)
            aggregator.signal(signal.SIGSTOP)
            fit = _sessions(run, name, "wait_event_type = 'Lock' AND query LIKE 'UPDATE hunt_session%'") > 0
            if not fit:
                aggregator.signal(signal.SIGCONT)
            gate.do("ROLLBACK")
            gate.end()
        finally:
            gate.kill()
        return fit

    def in_its_merge(aggregator, name) -> None:
        run.await_(lambda: stopped_in_an_update(aggregator, name), 40, "a merge without a new session")
        run.await_(lambda: _sessions(run, name, "state = 'idle in transaction'"), 10, "its transaction to stand open")
    _stopped_30_s(run, in_its_merge)


def _write(run, partition: int, records: list[tuple[bytes, bytes]]) -> None:
    """(key, value) pairs into one partition of loot_events, by kcat."""
    subprocess.run([find_program("kcat"), "-b", run.stack.kafka.bootstrap, "-P", "-t", "loot_events", "-p", str(partition),
                    "-K", "\x1f", "-D", "\x1e"], input=b"".join(key + b"\x1f" + value + b"\x1e" for key, value in records),
                   check=True, capture_output=True, timeout=60)


@scenario()
def events_three_times_late_and_out_of_order(run):
    """The table is rebuilt from copies alone: it is emptied, and every event so far is written three times, in a random order, to
    any partition, while new events continue. Each is counted once, at any position (docs/aggregator.md
    "Guarantees"; docs/formats/hunt-session.md, seen_upto and seen_beyond)."""
    run.other_producer = True
    stack = run.stack
    run.go_on_for(run.span(10, 2))
    run.expect(stack.aggregator.stop() == 0, "the aggregator ends with 0, its offsets committed")
    stack.postgres.sql("TRUNCATE hunt_session, hunt_session_waiting, hunt_supply")
    records = in_kafka(stack)
    partitions = max(record.partition for record in records) + 1
    copies = [(record.event["hunter_id"].encode(), json.dumps(record.event, separators=(",", ":")).encode())
              for record in records * 3]
    run.draw.shuffle(copies)
    stack.aggregator.start()
    chunks = 8
    for chunk in range(chunks):  # so that they come in several merges
        for partition in range(partitions):
            _write(run, partition, copies[chunk * partitions + partition::chunks * partitions])
        run.go_on_for(0.7)
    run.lifted()
    run.await_(lambda: _counted(run, "duplicates_total") >= 2 * len(records), 60, "two copies of each event to be skipped")


def _an_event(run) -> dict:
    done = subprocess.run([find_program("kcat"), "-b", run.stack.kafka.bootstrap, "-C", "-t", "loot_events", "-o", "beginning",
                           "-c", "1", "-q"], check=True, capture_output=True, timeout=60)
    return json.loads(done.stdout)


OPTIONAL = ("gen", "supply")  # an event without them is still one: of an older huntd, and not from a supply


def _poison(event: dict) -> list[bytes]:
    """Records that are not events, each for another reason."""
    def but(**changes) -> bytes:
        changed = {**event, **changes}
        return json.dumps({name: value for name, value in changed.items() if value is not None}).encode()
    return [
        b"", b"{", b"[]", b"null", b"7", b"{}", b"\xff\xfe\x00\x01", b"[" * 5000, b"{\"a\":" * 2000, b"x" * 900_000,
        *(but(**{name: None}) for name in event if name not in OPTIONAL),
        but(seq=0), but(seq=-1), but(seq=1.5), but(seq="1"), but(seq=2**64), but(seq=10**30), but(timestamp="now"),
        but(event_id=event["event_id"].upper() + "Z"),
        but(hunter_id=""), but(hunter_id="a\0b"), but(hunter_id="a'b"), but(hunter_id=7), but(hunt_id="x" * 10_000),
        but(loot_id="\u00fc"), but(loot_id="\0"), but(loot_id=["gold"]), but(bundle="latest"),
        but(gen="7"), but(gen=7), but(gen="G" * 16), but(supply="yes"), but(kind="taken"), but(kind=7)]


def _dead(run) -> list[tuple[bytes, str, str]]:
    """(what it was, partition, offset) of each record in the topic of dead ones."""
    reported = subprocess.run([find_program("kcat"), "-b", run.stack.kafka.bootstrap, "-C", "-t", "loot_events_dead", "-o", "beginning",
                           "-e", "-q", "-f", "%s\\x1f%h\\x1e"], check=True, capture_output=True, timeout=60).stdout
    found = []
    for record in reported.split(b"\x1e")[:-1]:
        payload, headers = record.split(b"\x1f")
        place = re.search(r"\bpartition=(\d+),offset=(\d+)", headers.decode())
        found.append((payload, *place.groups()))
    return found


@scenario()
def poison_among_the_events(run):
    """A record that is not an event is logged with its position, counted, kept unchanged in the dead-letter topic, and the rest continues
    on (docs/aggregator.md "Dead letters"). huntctl reconcile counts them, and says nothing else."""
    stack = run.stack
    poison = _poison(_an_event(run))
    run.poison = {value.decode(errors="replace") for value in poison}
    run.expect(len(run.poison) == len(poison), "each poison is another one")
    dead = _counted(run, "dead_letters_total")
    for value in run.draw.sample(poison, len(poison)):
        _write(run, run.draw.randrange(4), [(b"h0", value)])
    run.lifted()
    run.await_(lambda: _counted(run, "dead_letters_total") == dead + len(poison), 30, "every poison to be dead-lettered and counted")
    kept = _dead(run)
    run.expect(sorted(payload for payload, *_ in kept) == sorted(poison), "each is kept as it came")
    log = [line for line in stack.aggregator.log_text().splitlines() if "dead-lettered" in line]
    unsaid = [(partition, offset) for _, partition, offset in kept
              if not any(f"partition={partition} " in line and f"position={offset} " in line for line in log)]
    run.expect(not unsaid, f"the log names the place of each; not of {unsaid[:3]}")
    _await_back(run)
    stack.aggregator.restart()
    _await_back(run)
    run.expect(len(_dead(run)) == len(poison), "they are not dead-lettered again")


# --- several servers, long merges, wrong clocks -------------------------------------------------------------------------


@scenario(settings={"kafka.sweep_after_s": 2})
def postgres_standby_first(run):
    """aggregator.postgres names two hosts, and the standby first: the primary is taken. Then the primary is killed and the
    standby promoted: the aggregator finds it by itself (docs/aggregator.md "Standbys"). Replication is synchronous, so that
    no commit is lost with the primary."""
    stack = run.stack
    primary = stack.postgres
    standby = StandbyServer(stack.directory / "standby", primary)
    stack.more_servers.append(standby)
    standby.start()
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'", database="postgres")
    primary.sql("SELECT pg_reload_conf()", database="postgres")
    run.await_(lambda: primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", database="postgres")
               == [["1"]], 30, "the standby to be synchronous")
    stack.set(aggregator__postgres=several_hosts(standby, primary))
    stack.aggregator.restart()
    _await_back(run)
    run.go_on_for(run.span(5, 1))
    primary.kill()
    run.await_(lambda: http_get(stack.aggregator.address, "/healthz")[0] == 503, 30, "the aggregator to miss the primary")
    standby.promote()
    primary.remove()
    for port in primary.ports:
        port.release()
    stack.more_servers.remove(standby)
    stack.postgres = standby
    stack.set(aggregator__postgres=standby.uri)  # for the checks; the aggregator has read its file
    run.lifted()
    _await_back(run)


POLL_MS = 12_000  # more than the session's timeout, which librdkafka demands


@scenario(settings={"kafka.consumer.max.poll.interval.ms": POLL_MS})
def merge_of_six_minutes(run):
    """A merge that takes longer than max.poll.interval.ms, here 12 s instead of five minutes: the member is polled while it
    waits for PostgreSQL, so that it keeps its partitions, and nothing is counted again (docs/aggregator.md "Long
    merges")."""
    needs_a_broker_with_a_disk(run)
    stack = run.stack
    again, log_before = _counted(run, "duplicates_total"), len(stack.aggregator.log_text())
    gate = OtherSession(stack.postgres.uri)
    try:
        gate.do("BEGIN; LOCK TABLE hunt_session IN EXCLUSIVE MODE")
        _await_lock_wait(run)
        run.go_on_for(2.5 * POLL_MS / 1000)
        gate.do("ROLLBACK")
        gate.end()
    finally:
        gate.kill()
    run.lifted()
    _await_back(run)
    output = stack.aggregator.log_text()[log_before:]
    run.expect("maximum poll interval" not in output.lower(), "the member was not fenced")
    read_again = _counted(run, "duplicates_total") - again  # the sweep may emit a few twice
    run.expect(read_again < 50, f"the events of the merge are not read again, not {read_again:.0f}")


YEARS_S = 5 * 366 * 86_400


@scenario(stack={"shifted_clock": True}, settings={"aggregator.retention_days": 1})
def clock_years_ahead(run):
    """The aggregator's clock is five years ahead for one run, with retention of a day. Rows expire by the newest event and by
    PostgreSQL's clock (docs/aggregator.md "Retention"): later events are counted, and no row is deleted."""
    stack = run.stack
    ahead = stack.directory / "aggregator-clock"
    ahead.write_bytes(struct.pack("=q", YEARS_S))
    stack.aggregator.environment = {**stack.huntd.environment, "HUNTD_TEST_CLOCK": str(ahead)}
    _await_merges(run)
    stack.aggregator.restart()
    run.await_(lambda: stack.postgres.sql("SELECT known_at IS NOT NULL FROM hunt_retention") == [["t"]], 40, "retention to run")
    run.go_on_for(run.span(5, 1))
    ahead.write_bytes(struct.pack("=q", 0))
    stack.aggregator.environment = {}
    stack.aggregator.restart()
    run.lifted()
    _await_back(run)
    run.expect(stack.postgres.sql("SELECT expired_before < now() - interval '20 hours' FROM hunt_retention") == [["t"]],
               "no event of today has expired")
    run.expect(_counted(run, "dead_letters_total") == 0, "no event is dead")
    run.expect(_counted(run, "expired_rows_total") == 0, "no row is deleted")
