# SPDX-License-Identifier: Apache-2.0
"""hunt-aggregator on Kafka works only if there is something to do, at rest and while a peer is unavailable. The scenarios of a
group run at the same time (together.py) and are measured in one window."""
import pytest

from aggregator_pipeline import Pipeline, get, metric, wait_for
from idle_process import measure, stopped
from loot_events import expected_rows, make_events
from together import Group

pytestmark = [pytest.mark.kafka, pytest.mark.long(reason="each case measures ten seconds in which nothing happens")]

MEASURED, STOPS, STARTS = "all are measured", "the server stops", "the server starts"
undisturbed = Group("undisturbed_runs")
postgres_outage, kafka_outage = Group("postgres_outage_runs"), Group("kafka_outage_runs")


@pytest.fixture(scope="module")
def make_pipeline(tmp_path_factory, postgres, kafka):
    def make():
        pipeline = Pipeline(tmp_path_factory.mktemp("pipeline"), postgres, kafka=kafka.bootstrap)
        pipeline.broker = kafka
        return pipeline
    return make


@pytest.fixture(scope="module")
def undisturbed_runs(request, make_pipeline):
    return undisturbed.run(request, make_pipeline, {MEASURED: measure})


@pytest.fixture(scope="module")
def postgres_outage_runs(request, make_pipeline, postgres):
    try:
        return postgres_outage.run(request, make_pipeline,
                                   {STOPS: lambda _: postgres.kill(), MEASURED: measure, STARTS: lambda _: postgres.start()})
    finally:
        if not postgres.running:
            postgres.start()


@pytest.fixture(scope="module")
def kafka_outage_runs(request, make_pipeline, kafka):
    return kafka_outage.run(request, make_pipeline, {STOPS: lambda _: kafka.kill(), MEASURED: measure})


def await_rows(pipeline, events):
    wait_for(lambda: pipeline.rows() == expected_rows(events), "the rows")


def await_well(process):
    wait_for(lambda: get(process.listen, "/healthz")[0] == 200, "healthz")


def await_unwell(process, reason):
    wait_for(lambda: (found := get(process.listen, "/healthz"))[0] == 503 and reason in found[1], "healthz to complain")


def start_merged(pipeline, events):
    """An aggregator that has merged `events`."""
    pipeline.put(events)
    process = pipeline.start()
    await_well(process)  # then the table exists
    await_rows(pipeline, events)
    return process


@undisturbed.scenario()
def test_at_rest_it_uses_no_cpu_and_few_commands(pipeline):
    process = start_merged(pipeline, make_events(1, 300))
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis


@postgres_outage.scenario(("with the schema",), ("before the schema exists",))
def test_while_postgres_is_unavailable_it_waits(pipeline, schema):
    events = make_events(2, 600)
    if schema == "with the schema":
        process = start_merged(pipeline, events[:300])
        yield STOPS
        pipeline.put(events[300:])
    else:
        yield STOPS
        pipeline.put(events)
        process = pipeline.start()
    await_unwell(process, "postgres")
    # The events are of another year.
    wait_for(lambda: (metric(process.listen, "hunt_aggregator_lag_seconds") or 0) > 1_000_000, "an event to be read")
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    # A member that does not read remains one, and the group can change.
    other = pipeline.start()
    yield STARTS
    await_well(process)
    await_well(other)
    await_rows(pipeline, events)


@undisturbed.scenario()
def test_while_the_dead_letter_topic_cannot_be_written_it_waits(pipeline):
    if "mock" in pipeline.broker.kind:
        pytest.skip("librdkafka's mock cluster has no settings of a topic")
    pipeline.put_texts([("h1", "no event")])
    pipeline.once()
    pipeline.broker.set_topic(pipeline.dead_topic, "max.message.bytes=10")
    events = make_events(3, 100)
    pipeline.put_texts([("h2", "no event either")])
    pipeline.put(events)
    process = pipeline.start()
    wait_for(lambda: metric(process.listen, 'hunt_aggregator_up{peer="dead_letter_topic"}') == 0, "the topic to be rejected")
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
    pipeline.broker.set_topic(pipeline.dead_topic, "max.message.bytes=1000000")
    wait_for(lambda: metric(process.listen, "hunt_aggregator_dead_letters_total") == 1, "the dead letter")
    await_rows(pipeline, events)


@undisturbed.scenario()
def test_while_redis_is_stopped_it_merges_and_waits(pipeline):
    events = make_events(4, 600)
    process = start_merged(pipeline, events[:300])
    with stopped(pipeline.redis):
        pipeline.put(events[300:])
        await_rows(pipeline, events)
        yield MEASURED, process


# The last one: Kafka is not started again, which takes long. That events are read then is shown by test_aggregator_kafka.py.
@kafka_outage.scenario()
def test_while_kafka_is_unavailable_it_waits(pipeline):
    process = start_merged(pipeline, make_events(5, 100))
    yield STOPS
    await_unwell(process, "the source")
    with pipeline.redis.client() as redis:
        yield MEASURED, process, redis
