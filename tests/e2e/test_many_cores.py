# SPDX-License-Identifier: Apache-2.0
"""More cores than any CPU here: 256, the most that cores.count may be. What a core or the parent has must not grow with their square."""
import json
import os
import signal

import pytest

from client import core_of, run_hunt
from harness.huntd_stack import http_get
from harness.process import wait_until

CORES = 256
HUNTERS = 300
OTHERS = 64  # descriptors of a process that are not for the other cores


@pytest.fixture
def stack(own_stack):
    stack = own_stack(cores=CORES, settings={"http.request_deadline_ms": 60_000}).start()
    # Whichever core responds, it may not know of all others yet.
    wait_until(lambda: all(json.loads(http_get(stack.http, "/v1/core-map")[1])["up"]), 60, "all cores")
    return stack


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_256_cores_serve_each_hunter_with_few_descriptors_in_each_process(stack):
    answers = [run_hunt(stack.http, "gold", f"hunter-{number}") for number in range(HUNTERS)]
    assert {answer.status for answer in answers} == {200}
    # Each hunter's core is that of the map, and requests come in at any core: nearly all were forwarded.
    assert len({core_of(stack, f"hunter-{number}") for number in range(HUNTERS)}) > CORES / 2
    # For each core: both ends of its inbox, and the control socket.
    assert descriptors(stack.huntd.pid) <= 3 * CORES + OTHERS
    pids = stack.core_pids()
    assert len(pids) == CORES and max(descriptors(pid) for pid in pids) <= CORES + OTHERS


def test_a_core_of_256_that_is_killed_comes_back_and_serves_its_hunters(stack):
    hunter = "ada"
    core = core_of(stack, hunter)
    killed = stack.core_pids()[core]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: stack.core_pids()[core] not in (0, killed), 60, "the core")
    wait_until(lambda: run_hunt(stack.http, "gold", hunter).status == 200, 60, "its hunter")
    assert {run_hunt(stack.http, "gold", f"hunter-{number}").status for number in range(HUNTERS)} == {200}
