# SPDX-License-Identifier: Apache-2.0
"""The checks of the fault scenarios can fail: recovery, what clients may see and when, and crashes in the logs."""
import subprocess
import time
from types import SimpleNamespace

import pytest

from faults.driver import SEEN_WITHIN_S, Fault
from faults.invariants import Report, await_recovery, check_log, check_troubles
from faults.load import Responses, Client, Request, Trouble
from faults.stack import FaultStack
from harness.process import process_state

RATE = 50


def answered(*spans: tuple[float, float]) -> Responses:
    responses = Responses()
    responses.good_at_s.extend(since + n / RATE for since, until in spans for n in range(round((until - since) * RATE)))
    return responses


def a_run(faults: list[Fault], responses: Responses = None, log: str = "", aggregator_log: str = "", running: bool = True):
    def server(name, text):
        return SimpleNamespace(name=name, running=running, log_text=lambda: text)
    stack = SimpleNamespace(huntd=server("huntd", log), aggregator=server("hunt-aggregator", aggregator_log), more_servers=[])
    return SimpleNamespace(faults=faults, load=SimpleNamespace(responses=responses or Responses()), stack=stack, started_s=0.0)


@pytest.mark.parametrize("silence_s, recovered", [(0, 0.0), (5, 5.0), (9, 9.0), (12, None)])
def test_recovery_counts_from_the_end_of_the_fault(silence_s, recovered):
    lifted_s = time.monotonic() - 60
    fault = Fault("f", RATE, lifted_s - 1, lifted_s=lifted_s)
    await_recovery(a_run([fault], answered((lifted_s - 20, lifted_s), (lifted_s + silence_s, lifted_s + 40))), fault)
    # A second with 90 % may start a tenth of a second earlier.
    assert fault.recovered_s == (None if recovered is None else pytest.approx(recovered, abs=0.11))


def seen(*troubles: tuple[float, str, str]) -> Responses:
    """(when, what, hunter)"""
    return Responses(troubles=[Trouble(at_s, Client("hunter", [hunter], None), Request("gold", hunter, "k"), what)
                           for at_s, what, hunter in troubles])


def two_faults() -> list[Fault]:
    return [Fault("first", RATE, 100, may_see=frozenset({"broken"}), lifted_s=110, recovered_s=1.0, bystanders={"beside"}),
            Fault("second", RATE, 130, may_see=frozenset({"worker-died"}), lifted_s=140, recovered_s=0.0,
                  at_most={"worker-died": 2})]


@pytest.mark.parametrize("troubles, wrong", [
    ([(101, "broken", "h")], None),
    ([(111 + SEEN_WITHIN_S, "broken", "h")], None),
    ([(99, "broken", "h")], "no fault"),
    ([(111.1 + SEEN_WITHIN_S, "broken", "h")], "no fault"),
    ([(131, "broken", "h")], "second explains only ['worker-died']"),
    ([(101, "worker-died", "h")], "first explains only ['broken']"),
    ([(101, "broken", "beside")], "whose core had no fault"),
    ([(131, "worker-died", "beside")], None),  # bystander of the first fault only
    ([(131, "worker-died", "h")] * 2, None),
    ([(131, "worker-died", "h")] * 3, "3 times worker-died"),
])
def test_an_error_that_no_fault_explains_is_found(troubles, wrong):
    report = Report()
    check_troubles(a_run(two_faults(), seen(*troubles)), report)
    assert bool(report.violations) == bool(wrong)
    assert not wrong or wrong in report.violations[0]


READY = "<5>ready cores=2\n"
CORE = "<3>a core ended and is started again core=0 reason=\"signal 9\" in_ms=0\n"
ABORTED = "<3>a core ended and is started again core=0 reason=\"signal 6\" in_ms=0\n"
CHECK = "<2>check failed at=src/core/client/connection.cc:12 condition=\"a < b\"\n"
SPAWNER = "<3>the spawner is gone; this core ends and is restarted core=1\n"


@pytest.mark.parametrize("log, aggregator_log, wrong", [
    (READY + CORE, "", None),
    (READY + ABORTED, "", "report a crash"),
    (READY + CHECK, "", "report a crash"),
    (READY, CHECK, "hunt-aggregator's log"),
    (READY + CORE + SPAWNER, "", "processes of huntd that it did not end"),
    (CORE + READY, "", "before any fault"),
])
def test_a_crash_in_the_logs_is_found(log, aggregator_log, wrong):
    report = Report()
    log_from = log.index(READY) + len(READY)
    check_log(a_run([Fault("it", RATE, 100, log_from, ends=frozenset({"core"}))], None, log, aggregator_log), report)
    assert bool(report.violations) == bool(wrong)
    assert not wrong or wrong in report.violations[0]


def test_a_program_that_ended_is_found():
    report = Report()
    check_log(a_run([], running=False), report)
    assert report.violations == ["I6: huntd does not run any more", "I6: hunt-aggregator does not run any more"]


def test_a_process_of_an_earlier_huntd_is_found():
    with subprocess.Popen(["sleep", "60"], process_group=0) as orphan:
        try:
            start_ticks = process_state(orphan.pid)[1]

            def lost(huntd_start_ticks):
                huntd = SimpleNamespace(pid=-1, start_ticks=huntd_start_ticks)
                return FaultStack.lost_processes(SimpleNamespace(huntd=huntd, earlier_groups={orphan.pid}, family=lambda: []))
            assert [f"({orphan.pid}, " in reported and "of an earlier huntd" in reported for reported in lost(start_ticks + 1)] == [True]
            assert lost(start_ticks - 1) == []  # the process id is reused
            assert FaultStack.left_of(None, orphan.pid)
        finally:
            orphan.kill()
    assert not FaultStack.left_of(None, orphan.pid)
