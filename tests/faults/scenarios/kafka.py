# SPDX-License-Identifier: Apache-2.0
"""Faults of Kafka: hunters see none of them, since an event is safe in the outbox until Kafka has it.

Their throughput is not affected. That events reach Kafka again may take longer than 10 s by design: librdkafka
connects again with a back-off of up to 10 s, and every kafka.sweep_after_s the sweep emits the events that librdkafka gave up; so the scenarios
wait up to 30 s, and the invariants until the outbox is empty."""
import re

from client import run_hunt
from faults.driver import Skipped
from faults.scenario import scenario
from faults.stack import ALIVE_WITHIN_S
from harness.huntd_stack import http_get
from harness.kafka_server import KafkaServer
from harness.stores import in_postgres

REJECTED_LOGIN = re.compile("(?i)authentication failed|invalid credentials")


def needs_a_broker_with_a_disk(run) -> None:
    if not isinstance(run.stack.kafka, KafkaServer):
        raise Skipped(f"needs a broker that keeps its data: {run.stack.kafka.why}")


def _counted(run, name: str) -> float:
    return run.stack.metric(f"huntd_{name}_total")


@scenario(chaos=True)
def kafka_down_60_s(run):
    """Clients see no error; events wait in the outbox; librdkafka retries for kafka.delivery_timeout_ms (30 s), then gives up,
    and the sweep emits the rest (docs/operations.md "Kafka is unavailable"). The outbox empties when Kafka is back."""
    needs_a_broker_with_a_disk(run)
    failed, acked = _counted(run, "kafka_failed"), _counted(run, "kafka_acked")
    run.stack.kafka.kill()
    run.go_on_for(run.span(60, 5))
    run.expect(run.stack.outbox_length() > 0, "events wait in the outbox")
    if not run.smoke:
        run.expect(_counted(run, "kafka_failed") > failed, "librdkafka gave some up after 30 s")
    run.stack.kafka.start()
    run.lifted()
    run.await_(lambda: _counted(run, "kafka_acked") > acked, 30, "Kafka to acknowledge events again")


@scenario(settings={"kafka.linger_ms": 100}, chaos=True)
def kafka_restarted_in_mid_batch(run):
    """Batches whose acknowledgement is lost are sent again: the broker recognizes them by the producer's id and sequence, and an
    event that is stored twice nevertheless has the same event_id and seq (docs/formats/loot-event.md; KIP-98). Twice by SIGKILL
    and twice by SIGTERM, each while events are in flight."""
    needs_a_broker_with_a_disk(run)
    for orderly in [False, True] * run.span(2, 1):
        run.await_(lambda: run.stack.metric("huntd_kafka_in_flight") > 0, 20, "events in flight to Kafka")
        if orderly:
            run.stack.kafka.stop()
        else:
            run.stack.kafka.kill()
        acked = _counted(run, "kafka_acked")
        run.stack.kafka.start()
        run.lifted()
        run.await_(lambda: _counted(run, "kafka_acked") > acked, 30, "Kafka to acknowledge events again")
        run.go_on_for(run.draw.uniform(0, 1))


@scenario(settings={"kafka.queue_messages_max": 1000})
def kafka_queue_full(run):
    """Above kafka.queue_messages_max librdkafka accepts no more: such an event stays in the outbox, counted in
    huntd_kafka_failed_total, and the sweep emits it when there is room (docs/configuration.md, docs/operations.md "Kafka is
    unavailable"). The client got its response long before."""
    needs_a_broker_with_a_disk(run)
    failed = _counted(run, "kafka_failed")
    run.stack.kafka.kill()
    run.await_(lambda: _counted(run, "kafka_failed") > failed, 30, "the queue to be full")
    run.go_on_for(run.span(10, 2))
    run.expect("Local: Queue full" in run.stack.huntd.log_text(), "the log says that the queue is full")
    run.stack.kafka.start()


@scenario(settings={"kafka.delivery_timeout_ms": 1000}, chaos=True)
def kafka_stopped_until_messages_time_out(run):
    """A stopped broker: events that it has not acknowledged after kafka.delivery_timeout_ms are given up, stay in the outbox
    and are swept; events that it had received are stored when it continues, so that the same event may be there twice
    (docs/configuration.md, docs/formats/loot-event.md)."""
    failed = _counted(run, "kafka_failed")
    run.stop(run.stack.kafka.pid, run.span(15, 5))
    run.lifted()
    if run.stack.settings.get("kafka.delivery_timeout_ms") == 1000:  # chaos has a stack of its own
        run.expect(_counted(run, "kafka_failed") > failed, "events were given up")
        run.expect("Local: Message timed out" in run.stack.huntd.log_text(), "the log says that messages timed out")


@scenario(stack={"kafka": {"partitions": 4, "users": {"huntd": "tide and moon"}}})
def sasl_password_changed(run):
    """The password of huntd's user is changed in Kafka, and the broker is started again, which ends the connections that are
    logged in. Clients see nothing: events wait in the outbox, the logs say that the login is rejected, and the aggregator is not
    well. Once the old password is valid again, all events arrive without a restart (docs/operations.md "Kafka with TLS and
    users"). A password that is changed in its file needs one: tests/e2e/test_kafka_tls.py."""
    needs_a_broker_with_a_disk(run)
    acked = _counted(run, "kafka_acked")
    run.await_(lambda: _counted(run, "kafka_acked") > acked, 30, "events over TLS")
    run.stack.kafka.set_password("huntd", "sun and sand")
    run.stack.kafka.restart()
    run.await_(lambda: REJECTED_LOGIN.search(run.stack.huntd.log_text()), 30, "huntd to log the rejected login")
    run.await_(lambda: http_get(run.stack.aggregator_address, "/healthz")[0] == 503, 30, "the aggregator not to be well")
    run.go_on_for(run.span(20, 3))
    run.expect(run.stack.outbox_length() > 0, "events wait in the outbox")
    run.expect(REJECTED_LOGIN.search(run.stack.aggregator.log_text()) is not None, "the aggregator logs the rejected login")
    acked = _counted(run, "kafka_acked")
    run.stack.kafka.set_password("huntd", "tide and moon")
    run.lifted()
    run.await_(lambda: _counted(run, "kafka_acked") > acked, 30, "Kafka to acknowledge events again")


@scenario(stack={"kafka": {"mock": True}})
def fatal_producer_error(run):
    """A broker's reply OUT_OF_ORDER_SEQUENCE_NUMBER to the oldest request in flight is fatal to an idempotent producer
    (librdkafka, INTRODUCTION.md "Idempotent Producer"): every produce after it fails. The core replaces its producer
    (src/linux/kafka_log.cc) and clients see no error; the sweep emits the old producer's events. With librdkafka's mock broker,
    since a real broker does not send that error on request."""
    log_before = len(run.stack.huntd.log_text())
    pids = run.stack.core_pids()
    failed = _counted(run, "kafka_failed")
    for count in range(1, run.span(3, 1) + 1):
        run.stack.kafka.fail_next_produce()
        run.lifted()
        run.await_(lambda: run.stack.huntd.log_text()[log_before:].count("kafka: producer replaced") == count,
                   ALIVE_WITHIN_S, "a new producer")
        run.load.await_answers(100)
    took_ms = [int(ms) for ms in re.findall(r"place of the failed one core=\d+ took_ms=(\d+)", run.stack.huntd.log_text()[log_before:])]
    run.checks.append(lambda _, report: report.figures.update({"replaced_in_ms": took_ms}))
    run.expect(run.stack.core_pids() == pids, "no core ended")
    run.expect(_counted(run, "kafka_failed") > failed, "events of the old producers were left to the sweep")


# --- the topic changes -----------------------------------------------------------------------------
# What is deleted with a topic is gone, so that these start and check all themselves: each award that Redis holds is in a row.

TOPIC = "loot_events"
NO_AUTO_CREATE = {"kafka": {"auto_create": False, "partitions": 4}}


def _start(run) -> None:
    run.stack.start_stores()
    needs_a_broker_with_a_disk(run)
    run.stack.aggregator.launch()
    run.stack.huntd.start()
    run.await_(lambda: run.stack.aggregator_metric('hunt_aggregator_up{peer="postgres"}') == 1, 30, "the schema")


def _award(run, first: int, count: int) -> None:
    for number in range(first, first + count):
        answer = run_hunt(run.stack.http, "gold", f"h{number % 7}", key=f"k{number}")
        run.expect(answer.status == 200, f"award {number}: {answer}")


def _rows(run) -> int:
    return sum(sum(loot.values()) for loot in in_postgres(run.stack).values())


def _await_rows(run, count: int) -> None:
    """The sweep emits again what the producer gave up, after kafka.sweep_after_s."""
    run.await_(lambda: _rows(run) == count, 90, f"{count} awards in the table, not {_rows(run)}")
    run.await_(lambda: run.stack.aggregator_metric("hunt_aggregator_lag_events") == 0, 30, "no lag")
    run.await_(lambda: run.stack.aggregator.ready(), 30, "/healthz")


@scenario(loaded=False, stack=NO_AUTO_CREATE, settings={"kafka.delivery_timeout_ms": 2000})
def topic_deleted_and_made_again(run):
    """The topic is deleted, events wait in the outbox, and it is made again 10 s later: hunters see nothing, every event of the new
    topic is counted although the group had committed offsets of the old one, and the aggregator says what is wrong meanwhile
    (docs/aggregator.md "If the topic changes", docs/operations.md "Failures")."""
    stack = run.stack
    _start(run)
    _award(run, 0, 20)
    _await_rows(run, 20)
    pids = stack.core_pids()
    stack.kafka.topic("delete", TOPIC)
    _award(run, 20, 200)
    run.await_(lambda: not stack.aggregator.ready(), 30, "the aggregator to be unwell")
    run.go_on_for(run.span(10, 2))
    run.expect("no topic loot_events" in http_get(stack.aggregator_address, "/healthz")[1], "/healthz names the topic")
    run.expect(stack.aggregator_metric("hunt_aggregator_lag_events") >= 200, "the outbox is part of the lag")
    stack.kafka.topic("create", TOPIC, 4)
    _await_rows(run, 220)
    run.expect(stack.core_pids() == pids, "no core ended")


@scenario(loaded=False, stack=NO_AUTO_CREATE)
def topic_made_late(run):
    """huntd and the aggregator start without the topic, and it is made 10 s later: hunters see nothing, /healthz of the aggregator is
    503 with the reason, and within 15 s after the topic is there its events are read (docs/aggregator.md "If the topic changes")."""
    stack = run.stack
    stack.makes_topic = False
    _start(run)
    _award(run, 0, 40)
    run.await_(lambda: "no topic loot_events" in http_get(stack.aggregator_address, "/healthz")[1], 30, "/healthz to name the topic")
    run.go_on_for(run.span(10, 2))
    run.await_(lambda: stack.aggregator_metric("hunt_aggregator_lag_events") >= 40, 30, "the outbox to be part of the lag")
    run.expect("source is available again" not in stack.aggregator.log_text(), "nothing was read yet")
    stack.kafka.topic("create", TOPIC, 4)
    _await_rows(run, 40)


@scenario(loaded=False, stack=NO_AUTO_CREATE)
def partitions_added(run):
    """The topic gets more partitions while events are awarded: events of the new partitions are read from their first one on, within
    15 s (docs/aggregator.md "If the topic changes")."""
    _start(run)
    _award(run, 0, 50)
    run.stack.kafka.topic("add-partitions", TOPIC, 12)
    for part in range(6):
        _award(run, 50 + part * 50, 50)
        run.go_on_for(run.span(3, 1))
    _await_rows(run, 350)
