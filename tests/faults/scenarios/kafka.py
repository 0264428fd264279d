# SPDX-License-Identifier: Apache-2.0
"""Faults of Kafka: hunters see none of them, since an event is safe in the outbox until Kafka has it.

Their throughput is not affected. That events reach Kafka again may take longer than 10 s by design: librdkafka
connects again with a back-off of up to 10 s, and every kafka.sweep_after_s the sweep emits the events that librdkafka gave up; so the scenarios
wait up to 30 s, and the invariants until the outbox is empty."""
import re

from faults.driver import Skipped
from faults.scenario import scenario
from faults.stack import ALIVE_WITHIN_S
from harness.kafka_server import KafkaServer


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
