# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator while its topic changes: deleted and made again, made late, with more partitions, with less than was committed,
compacted, with transactions; and the lag that it reports meanwhile."""
import contextlib
import signal
import subprocess
import threading

import pytest

from aggregator_pipeline import Pipeline, aggregator_program, get, huntctl_program, metric, wait_for
from harness.ports import reserve_port
from harness.postgres_server import OtherSession
from loot_events import expected_rows, make_events, text
from side_by_side import begin, side_by_side

pytestmark = pytest.mark.kafka
KAFKA = {"auto_create": False, "partitions": 1}
OLD = 20  # events in the first topic
LENGTHS = [OLD - 1, OLD, OLD + 1, 200]  # of the second: around the committed offset, and far beyond it
AT_ONCE = 8  # tests
ONE_TRANSACTION = threading.Lock()  # kafka_topic has one transactional.id


@pytest.fixture(scope="module")
def make_pipeline(tmp_path_factory, postgres, kafka):
    if "mock" in kafka.kind:
        pytest.skip(f"needs Apache Kafka: {kafka.why}")

    def make(name):
        made = Pipeline(tmp_path_factory.mktemp("test"), postgres, kafka=kafka.bootstrap)
        made.broker = kafka
        return made
    return make


@pytest.fixture(scope="module")
def side_by_side_runs(request, make_pipeline):
    with begin(request, make_pipeline, AT_ONCE) as runs:
        yield runs


@pytest.fixture
def pipeline(make_pipeline):
    made = make_pipeline("alone")
    yield made
    made.stop()


def create(pipeline, partitions=1, *settings):
    pipeline.broker.topic("create", pipeline.name, partitions, *settings)


def create_again(pipeline, partitions=1):
    pipeline.broker.topic("delete", pipeline.name)
    create(pipeline, partitions)


def is_well(process):
    return get(process.listen, "/healthz") == (200, "ok\n")


def await_rows(pipeline, events):
    wait_for(lambda: pipeline.sql("SELECT to_regclass('hunt_session') IS NOT NULL") == [["t"]], "the schema")
    expected = expected_rows(events)
    wait_for(lambda: pipeline.rows() == expected, f"{len(events)} events to be in the table")


def lag(pipeline, process, *words):
    """huntctl lag of this aggregator."""
    path, _ = pipeline.config()
    return subprocess.run([huntctl_program(), "-c", path, "lag", "--aggregator", process.listen, *words], capture_output=True,
                          text=True, timeout=60)


def started(pipeline, events):
    """An aggregator that has merged and acknowledged these events."""
    process = pipeline.start()
    pipeline.put(events)
    await_rows(pipeline, events)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")
    return process


# --- deleted and made again ------------------------------------------------------------------------

@pytest.mark.parametrize("length", [5, OLD, 200])
@side_by_side
def test_a_topic_made_again_while_running_is_read_from_its_start(pipeline, length):
    create(pipeline)
    events = make_events(31, OLD + length)
    process = started(pipeline, events[:OLD])
    create_again(pipeline)
    pipeline.put(events[OLD:])
    await_rows(pipeline, events)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")
    wait_for(lambda: is_well(process), "healthz")


@side_by_side
def test_a_topic_gone_for_a_while_is_read_from_its_start(pipeline):
    create(pipeline, 4)
    events = make_events(32, OLD + 200)
    process = started(pipeline, events[:OLD])
    pipeline.broker.topic("delete", pipeline.name)
    wait_for(lambda: f"no topic {pipeline.name}" in get(process.listen, "/healthz")[1], "healthz to name the topic")
    assert lag(pipeline, process).returncode == 1
    create(pipeline, 4)
    pipeline.put(events[OLD:])
    await_rows(pipeline, events)
    wait_for(lambda: is_well(process), "healthz")


@pytest.mark.parametrize("checked,length", [*((True, length) for length in LENGTHS), (False, OLD), (False, 200)])
@side_by_side
def test_a_topic_made_again_while_stopped_is_read_from_its_start(pipeline, checked, length):
    create(pipeline)
    events = make_events(33, OLD + length)
    pipeline.put(events[:OLD])
    pipeline.once()
    # Kafka deletes the offsets of a deleted topic; a broker that does not, or a commit that arrives late, leaves them.
    offset, _, metadata = pipeline.broker.topic("committed", pipeline.name, pipeline.name, 0).strip().partition(" ")
    assert int(offset) == OLD and metadata.startswith("huntd1 ")
    create_again(pipeline)
    pipeline.put(events[OLD:])
    pipeline.broker.topic("commit", pipeline.name, pipeline.name, 0, offset, *([metadata] if checked else []))
    log = pipeline.once()
    assert pipeline.rows() == expected_rows(events), log
    assert ("was deleted and made again" in log) == checked
    assert "new=0" in pipeline.once().splitlines()[-1]


@pytest.mark.parametrize("partitions", [1, 8])
@side_by_side
def test_a_topic_made_again_with_other_partitions_is_read_whole(pipeline, partitions):
    create(pipeline, 4)
    events = make_events(34, OLD + 200)
    process = started(pipeline, events[:OLD])
    create_again(pipeline, partitions)
    pipeline.put(events[OLD:])
    await_rows(pipeline, events)
    wait_for(lambda: is_well(process), "healthz")


@side_by_side
def test_a_restart_does_not_read_the_same_topic_again(pipeline):
    create(pipeline, 4)
    events = make_events(35, 300)
    pipeline.put(events)
    pipeline.once()
    assert "events=0 new=0" in pipeline.once().splitlines()[-1]


# --- missing, late, without a broker ---------------------------------------------------------------

@side_by_side
def test_a_topic_made_late_is_missed_by_name_and_then_read(pipeline):
    process = pipeline.start()
    wait_for(lambda: f"no topic {pipeline.name}" in get(process.listen, "/healthz")[1], "healthz to name the topic")
    assert get(process.listen, "/healthz")[0] == 503
    reported = lag(pipeline, process, "--max", "5")
    assert reported.returncode == 1 and f"no topic {pipeline.name}" in reported.stderr
    assert "available again" not in process.log.read_text()
    create(pipeline, 2)
    events = make_events(37, 50)
    pipeline.put(events)
    await_rows(pipeline, events)
    wait_for(lambda: is_well(process), "healthz")
    wait_for(lambda: lag(pipeline, process).returncode == 0, "huntctl lag to be content")


@side_by_side
def test_once_without_a_topic_fails_and_says_so(pipeline):
    path, _ = pipeline.config()
    done = subprocess.run([aggregator_program(), "-c", path, "--once"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"no topic {pipeline.name}" in done.stderr


@side_by_side
def test_without_a_broker_it_is_not_well_and_says_so(pipeline):
    unused = reserve_port()
    pipeline.kafka = unused.address
    process = pipeline.start()
    wait_for(lambda: "no broker" in get(process.listen, "/healthz")[1], "healthz to complain")
    reported = lag(pipeline, process)
    assert reported.returncode == 1 and "unknown" in reported.stderr
    assert "available again" not in process.log.read_text()
    unused.release()


@side_by_side
def test_a_member_without_a_partition_is_well_and_takes_over(pipeline):
    create(pipeline, 1)
    events = make_events(38, 60)
    first = started(pipeline, events[:30])
    second = pipeline.start()
    wait_for(lambda: is_well(second) and is_well(first), "both to be well")
    pipeline.put(events[30:40])
    await_rows(pipeline, events[:40])
    first.kill()
    pipeline.put(events[40:])
    await_rows(pipeline, events)
    assert second.poll() is None


@side_by_side
def test_partitions_that_are_added_are_read_from_their_start(pipeline):
    create(pipeline, 1)
    events = make_events(39, 400)
    process = started(pipeline, events[:100])
    pipeline.broker.topic("add-partitions", pipeline.name, 6)
    pipeline.put(events[100:])
    await_rows(pipeline, events)
    assert is_well(process)


# --- retention, compaction -------------------------------------------------------------------------

@side_by_side
def test_events_that_retention_took_while_stopped_are_reported(pipeline):
    create(pipeline)
    events = make_events(40, 60)
    pipeline.put(events[:20])
    pipeline.once()
    pipeline.put(events[20:])
    pipeline.broker.topic("delete-records", pipeline.name, 0, 45)
    log = pipeline.once()
    assert "events are gone: retention passed the committed offset" in log
    assert "events=25 first_offset=20" in log
    assert pipeline.rows() == expected_rows(events[:20] + events[45:])


@side_by_side
def test_retention_up_to_the_committed_offset_loses_nothing(pipeline):
    create(pipeline)
    events = make_events(41, 40)
    pipeline.put(events[:20])
    pipeline.once()
    pipeline.put(events[20:])
    pipeline.broker.topic("delete-records", pipeline.name, 0, 20)
    log = pipeline.once()
    assert "gone" not in log and "made again" not in log
    assert "events=20 new=20" in log.splitlines()[-1]
    assert pipeline.rows() == expected_rows(events)


@side_by_side
def test_events_that_retention_took_while_running_are_counted(pipeline):
    create(pipeline)
    events = make_events(42, 60)
    process = started(pipeline, events[:20])
    process.send_signal(signal.SIGSTOP)
    pipeline.put(events[:1])  # an event again: the reply to the fetch that was under way has this one at most
    pipeline.put(events[20:])
    pipeline.broker.topic("delete-records", pipeline.name, 0, 46)
    process.send_signal(signal.SIGCONT)
    await_rows(pipeline, events[:20] + events[45:])
    wait_for(lambda: metric(process.listen, "hunt_aggregator_events_missed_total") in (25, 26), "the metric")
    assert "events are gone" in process.log.read_text()


@pytest.mark.parametrize("which", ["topic", "dead_topic"])
@side_by_side
def test_a_compacted_topic_is_rejected_until_it_is_not(pipeline, which):
    name = pipeline.name if which == "topic" else pipeline.dead_topic
    for made in (pipeline.name, pipeline.dead_topic):
        pipeline.broker.topic("create", made, 1, f"cleanup.policy={'compact' if made == name else 'delete'}")
    events = make_events(43, 30)
    pipeline.put(events)
    path, _ = pipeline.config()
    done = subprocess.run([aggregator_program(), "-c", path, "--once"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert f"topic {name} has cleanup.policy=compact" in done.stderr
    process = pipeline.start()
    wait_for(lambda: "cleanup.policy=compact" in get(process.listen, "/healthz")[1], "healthz to name the setting")
    assert pipeline.sql("SELECT count(*) FROM hunt_session") == [["0"]]
    pipeline.broker.set_topic(name, "cleanup.policy=delete")
    await_rows(pipeline, events)
    wait_for(lambda: is_well(process), "healthz")


# --- transactions ----------------------------------------------------------------------------------

@contextlib.contextmanager
def transaction(pipeline, events, ending):
    """Inside of the `with` all events are in the topic, in an open transaction."""
    file = pipeline.directory / "transaction"
    file.write_text("".join(f"{event['hunter_id']}\t{text(event)}\n" for event in events))
    with ONE_TRANSACTION, subprocess.Popen(pipeline.broker.topic_command("transaction", pipeline.name, ending, file),
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        yield
        process.stdin.close()
        assert process.wait(90) == 0


@pytest.mark.parametrize("ending", ["commit", "abort"])
@side_by_side
def test_the_markers_of_a_transaction_are_no_lag(pipeline, ending):
    create(pipeline)
    events = make_events(44, 30)
    process = started(pipeline, events[:20])
    with transaction(pipeline, events[20:], ending):
        pass
    counted = events if ending == "commit" else events[:20]
    await_rows(pipeline, counted)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")
    wait_for(lambda: int(pipeline.broker.topic("committed", pipeline.name, pipeline.name, 0).split()[0]) == 31,
             "the marker to be committed")
    process.kill()
    process.wait()
    assert "events=0 new=0" in pipeline.once().splitlines()[-1]


@side_by_side
def test_events_wait_for_an_open_transaction_and_are_counted_after_it(pipeline):
    create(pipeline)
    events = make_events(45, 40)
    process = started(pipeline, events[:20])
    with transaction(pipeline, events[20:30], "commit"):
        pipeline.put(events[30:])
        path, _ = pipeline.config()
        path.write_text(path.read_text().replace(f'group = "{pipeline.name}"', f'group = "{pipeline.name}_another"'))
        done = subprocess.run([aggregator_program(), "-c", path, "--once"], capture_output=True, text=True, timeout=120)
        assert "events=20 new=0" in done.stderr.splitlines()[-1]
    await_rows(pipeline, events)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")


# --- the lag ---------------------------------------------------------------------------------------

def lock_the_table(pipeline):
    """Another session that holds a lock which every merge needs, until its COMMIT."""
    other = OtherSession(f"postgresql://huntd@127.0.0.1:{pipeline.postgres.port}/{pipeline.name}")
    other.do("BEGIN")
    other.do("LOCK TABLE hunt_session IN ACCESS EXCLUSIVE MODE")
    wait_for(lambda: pipeline.sql("SELECT count(*) FROM pg_locks WHERE relation = 'hunt_session'::regclass AND "
                                  "mode = 'AccessExclusiveLock' AND granted") == [["1"]], "the lock")
    return other


@side_by_side
def test_the_lag_grows_while_a_merge_hangs(pipeline):
    create(pipeline)
    events = make_events(46, 300)
    process = started(pipeline, events[:20])
    other = lock_the_table(pipeline)
    try:
        pipeline.put(events[20:60])
        wait_for(lambda: pipeline.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                                      "AND wait_event_type = 'Lock'") != [["0"]], "the merge to hang")
        pipeline.put(events[60:])
        wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 280, "the lag to have all events")
    finally:
        other.do("COMMIT")
        other.end()
    await_rows(pipeline, events)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")


@side_by_side
def test_the_lag_has_what_waits_in_the_outbox(pipeline):
    create(pipeline)
    process = started(pipeline, make_events(47, 20))
    for number in range(7):
        pipeline.redis.call("XADD", f"outbox:{{b{number}}}", "*", "k", "h", "v", "an event")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 7, "the outbox to be counted")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_seconds") > 1, "the lag to grow")
    pipeline.redis.kill()
    wait_for(lambda: metric(process.listen, 'hunt_aggregator_lag_known{part="outbox"}') == 0, "the lag to be unknown")
    reported = lag(pipeline, process)
    assert reported.returncode == 1
    assert "the lag is unknown: it cannot count the outbox in Redis" in reported.stderr
    assert get(process.listen, "/healthz")[0] == 200  # it does not need Redis
    pipeline.redis.start()


@side_by_side
def test_the_lag_does_not_grow_by_what_has_left_the_outbox(pipeline):
    """huntd clears an event out of the outbox within milliseconds, and the aggregator counts there every few seconds."""
    create(pipeline)
    process = started(pipeline, make_events(48, 20))
    entry = pipeline.redis.call("XADD", "outbox:{b1}", "*", "k", "h", "v", "an event")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 1, "the outbox to be counted")
    pipeline.redis.call("XDEL", "outbox:{b1}", entry)
    ages = [metric(process.listen, "hunt_aggregator_lag_seconds")]
    wait_for(lambda: ages.append(metric(process.listen, "hunt_aggregator_lag_seconds")) or ages[-1] == 0, "the next count")
    assert ages == sorted(ages, reverse=True), ages



@side_by_side
def test_the_lag_has_dead_letters_that_cannot_be_written(pipeline):
    create(pipeline)  # and no topic for the dead letters
    events = make_events(48, 25)
    process = started(pipeline, events[:20])
    pipeline.put_texts([("h", "poison")])
    wait_for(lambda: get(process.listen, "/healthz")[0] == 503, "healthz to complain")
    pipeline.put(events[20:])
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 6, "the lag to have them")
    pipeline.broker.topic("create", pipeline.dead_topic, 1)
    await_rows(pipeline, events)
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")


@side_by_side
def test_the_lag_of_a_member_without_partitions_is_that_of_the_group(pipeline):
    create(pipeline)
    events = make_events(49, 60)
    first = started(pipeline, events[:20])
    second = pipeline.start()
    wait_for(lambda: is_well(second) and is_well(first), "both to be well")
    other = lock_the_table(pipeline)  # any member that has the partition merges nothing
    try:
        pipeline.put(events[20:])
        for process in (first, second):
            wait_for(lambda p=process: metric(p.listen, "hunt_aggregator_lag_events") == 40, "the lag of the group")
    finally:
        other.do("COMMIT")
        other.end()
    await_rows(pipeline, events)


# --- alone, after all others -----------------------------------------------------------------------

@pytest.mark.long(reason="a minute: Kafka starts twice")
def test_a_restart_of_the_broker_is_not_taken_for_a_new_topic(pipeline):
    create(pipeline, 4)
    events = make_events(36, 60)
    process = started(pipeline, events[:40])
    pipeline.broker.kill()
    wait_for(lambda: "no broker" in get(process.listen, "/healthz")[1], "healthz to complain")
    pipeline.broker.start()
    pipeline.put(events[40:])
    await_rows(pipeline, events)
    wait_for(lambda: is_well(process), "healthz")
    assert metric(process.listen, "hunt_aggregator_topic_recreated_total") == 0
    assert metric(process.listen, "hunt_aggregator_events_total") == 60
