# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator as a member of a consumer group on Kafka."""
import random
import signal
import subprocess

import pytest

from aggregator_pipeline import Pipeline, get, metric, wait_for
from harness.huntd_stack import build_folder
from harness.kafka_server import start_kafka
from loot_events import expected_rows, make_events

pytestmark = pytest.mark.kafka


@pytest.fixture
def pipeline(tmp_path, postgres, kafka):
    made = Pipeline(tmp_path, postgres, kafka=kafka.bootstrap)
    yield made
    made.stop()


@pytest.mark.parametrize("seed, units", [(1, False), (2, False), (3, True)])
def test_the_table_does_not_depend_on_how_events_are_delivered(pipeline, seed, units):
    rnd = random.Random(seed)
    events = make_events(seed, 4000, hunters=200, units=units)
    delivered = events + rnd.sample(events, 1500)
    rnd.shuffle(delivered)
    for at in range(0, len(delivered), 2000):
        pipeline.put(delivered[at:at + 2000])
        pipeline.once()
    assert pipeline.rows() == expected_rows(events)


def test_merged_events_are_not_read_again(pipeline):
    events = make_events(3, 1000)
    pipeline.put(events)
    assert "new=1000" in pipeline.once()
    log = pipeline.once()
    assert "events=0 new=0" in log.splitlines()[-1], log


def test_three_members_share_the_topic_and_a_killed_one_is_replaced(pipeline):
    members = [pipeline.start() for _ in range(3)]
    events = make_events(4, 9000, hunters=500)
    for at in range(0, len(events), 1500):
        pipeline.put(events[at:at + 1500])
        if at == 3000:
            members[0].kill()  # the others get its partitions when its session ends
        if at == 6000:
            members[1].send_signal(signal.SIGTERM)
            assert members[1].wait(60) == 0
            members.append(pipeline.start())
    expected = expected_rows(events)
    wait_for(lambda: pipeline.rows() == expected, "the survivors to be done")
    for member in members[2:]:
        member.send_signal(signal.SIGTERM)
        assert member.wait(60) == 0
        assert "deadlock" not in member.log.read_text()
    assert pipeline.rows() == expected


@pytest.mark.long(reason="25 s of kills")
def test_repeated_kills_lose_and_duplicate_no_event(pipeline):
    rnd = random.Random(5)
    events = make_events(5, 4000, hunters=300)
    expected = expected_rows(events)
    for at in range(0, len(events), 800):
        pipeline.put(events[at:at + 800])
        process = pipeline.start()
        try:
            process.wait(1.0 + rnd.random())
        except subprocess.TimeoutExpired:
            pass
        assert process.poll() is None, process.log.read_text()
        process.kill()
        process.wait()
    process = pipeline.start()
    wait_for(lambda: pipeline.rows() == expected, "the last one to catch up")


@pytest.fixture
def mock_pipeline(tmp_path, postgres):
    """With librdkafka's mock cluster, which has no controller and knows no DescribeConfigs."""
    with start_kafka(tmp_path / "mock", build_folder() / "mock_kafka", mock=True) as mock:
        made = Pipeline(tmp_path, postgres, kafka=mock.bootstrap)
        yield made
        made.stop()


def test_once_after_once_on_a_broker_without_topic_settings_reads_what_is_new(mock_pipeline):
    events = make_events(12, 300)
    for part in (events[:200], events[200:]):
        mock_pipeline.put(part)
        log = mock_pipeline.once()
        assert f"new={len(part)}" in log.splitlines()[-1]
        assert log.count("cleanup.policy cannot be read") == 1
    assert mock_pipeline.rows() == expected_rows(events)


def test_a_topic_setting_that_cannot_be_read_is_logged_once_for_all_rebalances(mock_pipeline):
    pipeline = mock_pipeline
    events = make_events(10, 400)
    pipeline.put(events[:200])
    process = pipeline.start()
    wait_for(lambda: metric(process.listen, "hunt_aggregator_new_total") == 200, "the first half")
    other = pipeline.start()  # a rebalance, which asks again
    wait_for(lambda: get(other.listen, "/healthz") == (200, "ok\n"), "the second member to be well")
    pipeline.put(events[200:])
    wait_for(lambda: pipeline.rows() == expected_rows(events), "the second half")
    assert process.log.read_text().count("partitions assigned") >= 3  # assigned, revoked, assigned
    assert process.log.read_text().count("cleanup.policy cannot be read") == 1


def test_once_waits_for_the_partitions_of_a_killed_member(pipeline, kafka):
    if "mock" in kafka.kind:
        pytest.skip("librdkafka's mock cluster makes a member the leader that is gone")
    pipeline.settings = ["[kafka.consumer]", "session.timeout.ms = 20000"]  # longer than what is waited for at the start of a member
    events = make_events(11, 200)
    pipeline.put(events[:100])
    process = pipeline.start()
    wait_for(lambda: metric(process.listen, "hunt_aggregator_new_total") == 100, "the first half")
    process.kill()
    process.wait()
    pipeline.put(events[100:])
    log = pipeline.once()
    assert pipeline.rows() == expected_rows(events)
    assert log.count("waiting for partitions of the topic") == 1


def test_reading_the_whole_topic_again_changes_nothing(pipeline):
    events = make_events(6, 2000)
    pipeline.put(events)
    pipeline.once()
    before = pipeline.sql("SELECT hunter_id, hunt_id, xmin FROM hunt_session ORDER BY 1, 2")
    first_group = pipeline.config

    def another_group():
        path, listen = first_group()
        path.write_text(path.read_text().replace(f'group = "{pipeline.name}"', 'group = "another"'))
        return path, listen
    pipeline.config = another_group
    assert "events=2000 new=0" in pipeline.once().splitlines()[-1]
    assert pipeline.sql("SELECT hunter_id, hunt_id, xmin FROM hunt_session ORDER BY 1, 2") == before


def test_lag_is_reported_and_falls_to_zero(pipeline):
    process = pipeline.start()
    pipeline.put(make_events(8, 500))
    wait_for(lambda: metric(process.listen, "hunt_aggregator_new_total") == 500, "the merge")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_lag_events") == 0, "no lag")
    assert get(process.listen, "/healthz") == (200, "ok\n")


def test_it_waits_for_kafka_and_then_continues(pipeline, kafka):
    if "mock" in kafka.kind:
        pytest.skip("librdkafka's mock cluster loses its topics when it ends")
    process = pipeline.start()
    events = make_events(9, 600)
    pipeline.put(events[:300])
    wait_for(lambda: pipeline.rows() == expected_rows(events[:300]), "the first half")
    kafka.kill()
    wait_for(lambda: get(process.listen, "/healthz")[1].startswith("the source"), "healthz to complain")
    kafka.start()
    # Without another event.
    wait_for(lambda: get(process.listen, "/healthz") == (200, "ok\n"), "healthz")
    pipeline.put(events[300:])
    wait_for(lambda: pipeline.rows() == expected_rows(events), "the second half")
