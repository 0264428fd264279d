# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the end-to-end tests. A module's STACK has the arguments of its HuntdStack."""
import pathlib

import pytest

from aggregator_pipeline import Pipeline
from harness.huntd_stack import HuntdStack, build_folder
from harness.kafka_server import start_kafka
from harness.postgres_server import PostgresServer
from harness.process import Server

# A busy machine may need more than the default 50 ms to start a worker, and its queue may stand for a while; most tests check the
# response, not the time.
PATIENT = {"worker.deadline_ms": 1500, "worker.queue_deadline_ms": 10000, "worker.queue_target_ms": 10000,
           "http.request_deadline_ms": 30000}
HUNTS = pathlib.Path(__file__).resolve().parent / "hunts"


@pytest.fixture(scope="module")
def stack(request, tmp_path_factory):
    wanted = {"hunts": HUNTS, "cores": 2, "aggregator": False, **getattr(request.module, "STACK", {})}
    wanted["settings"] = {**PATIENT, **wanted.get("settings", {})}
    with HuntdStack(tmp_path_factory.mktemp("stack"), **wanted) as stack:
        yield stack


@pytest.fixture(scope="module")
def postgres(tmp_path_factory):
    """A PostgreSQL for the module's tests, each with a database of its own (aggregator_pipeline.py)."""
    with PostgresServer(tmp_path_factory.mktemp("postgres"), options=("fsync=off",)) as server:
        yield server


@pytest.fixture
def pipeline(tmp_path, postgres):
    """A database, a Redis and hunt-aggregators on them, without Kafka; a module with another pipeline has a fixture of its own."""
    made = Pipeline(tmp_path, postgres)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def kafka(request, tmp_path_factory):
    """A Kafka for the module's tests, each with topics of its own; the module's KAFKA is its options."""
    with start_kafka(tmp_path_factory.mktemp("kafka"), build_folder() / "mock_kafka", **getattr(request.module, "KAFKA", {})) as server:
        yield server


@pytest.fixture
def own_stack(request, tmp_path):
    """A function that makes stacks for one test alone; they are stopped at its end."""
    made = []

    def make(**wanted) -> HuntdStack:
        wanted = {"hunts": HUNTS, "cores": 2, "aggregator": False, **wanted}
        wanted["settings"] = {**PATIENT, **wanted.get("settings", {})}
        stack = HuntdStack(tmp_path / f"stack{len(made)}", **wanted)
        made.append(stack)
        return stack

    yield make
    for stack in made:
        stack.kill()


@pytest.fixture
def huntd_program() -> str:
    return str(build_folder() / "huntd")


def pytest_runtest_makereport(item, call):
    """A failed test shows the end of huntd's log."""
    if call.when == "call" and call.excinfo is not None and "stack" in item.funcargs:
        stack = item.funcargs["stack"]
        item.add_report_section("call", "huntd's log", stack.huntd.log_tail(25))


@pytest.fixture
def servers():
    """Servers that the test adds: killed after it, and their ports released."""
    made: list[Server] = []
    yield made
    for server in made:
        server.kill()
        for port in server.ports:
            port.release()
