# SPDX-License-Identifier: Apache-2.0
"""A core's loop and its workers run at the priority that the config says; librdkafka's threads and others at the usual."""
import os
import re

import pytest

from client import run_hunt
from harness.process import children_of, wait_until

pytestmark = [pytest.mark.kafka,
              pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise a priority")]


def nice_of(pid: int, thread: int | None = None) -> int:
    with open(f"/proc/{pid}/task/{thread or pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[16])


def nice_limit(pid: int) -> str:
    with open(f"/proc/{pid}/limits") as limits:
        return re.search(r"Max nice priority\s+(\S+\s+\S+)", limits.read())[1]


def test_cores_and_workers_run_at_their_priorities_and_no_other_thread_does(own_stack):
    stack = own_stack(kafka=True, settings={"cores.priority": 12, "worker.priority": 7, "worker.isolation": "batch",
                                            "worker.idle_ms": 60_000}).start()
    assert run_hunt(stack.http, "gold", "ann").status == 200
    workers = 0
    for core in stack.core_pids():
        assert nice_of(core) == -12
        others = [nice_of(core, int(name)) for name in os.listdir(f"/proc/{core}/task") if int(name) != core]
        assert others and set(others) == {0}, "librdkafka's threads"
        [spawner] = children_of(core)
        assert nice_of(spawner) == -7
        for worker in children_of(spawner):
            workers += 1
            assert nice_of(worker) == -7
            assert nice_limit(worker).split() == ["0", "0"], "a worker must not be able to go further up"
    assert workers == 1
    assert nice_of(stack.huntd.pid) == 0


def test_cores_that_may_not_set_their_priority_log_it_and_serve(own_stack):
    stack = own_stack(before_huntd=["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice"],
                      settings={"cores.priority": 12}).start()
    for core in stack.core_pids():
        assert nice_of(core) == 0
    assert run_hunt(stack.http, "gold", "ann").status == 200
    wait_until(lambda: "priority not set" in stack.huntd.log_text(), 30, "the warning")
    assert "LimitNICE=-12" in stack.huntd.log_text()
