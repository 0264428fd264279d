"""That the checks of the fault scenarios can fail: recovery, what clients may see and when, and what the logs tell."""
import pathlib
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from faults.driver import TOLD_WITHIN_S, Fault  # noqa: E402
from faults.invariants import Verdict, await_recovery, check_log, check_troubles  # noqa: E402
from faults.load import Books, Client, Request, Trouble  # noqa: E402
from faults.stack import FaultStack  # noqa: E402
from harness.process import process_state  # noqa: E402

RATE = 50


def answered(*spans: tuple[float, float]) -> Books:
    books = Books()
    books.good_at_s.extend(since + n / RATE for since, until in spans for n in range(round((until - since) * RATE)))
    return books


def a_run(faults: list[Fault], books: Books = None, log: str = "", aggregator_log: str = "", running: bool = True):
    def server(name, text):
        return SimpleNamespace(name=name, running=running, log_text=lambda: text)
    stack = SimpleNamespace(huntd=server("huntd", log), aggregator=server("hunt-aggregator", aggregator_log), more_servers=[])
    return SimpleNamespace(faults=faults, load=SimpleNamespace(books=books or Books()), stack=stack, begun_s=0.0)


@pytest.mark.parametrize("silence_s, recovered", [(0, 0.0), (5, 5.0), (9, 9.0), (12, None)])
def test_recovery_counts_from_the_fault_s_end_however_long_the_scenario_waited(silence_s, recovered):
    lifted_s = time.monotonic() - 60
    fault = Fault("f", RATE, lifted_s - 1, lifted_s=lifted_s)
    await_recovery(a_run([fault], answered((lifted_s - 20, lifted_s), (lifted_s + silence_s, lifted_s + 40))), fault)
    # A second with 90 % may begin a tenth of a second before.
    assert fault.recovered_s == (None if recovered is None else pytest.approx(recovered, abs=0.11))


def seen(*troubles: tuple[float, str, str]) -> Books:
    """(when, what, hunter)"""
    return Books(troubles=[Trouble(at_s, Client("hunter", [hunter], None), Request("gold", hunter, "k"), what)
                           for at_s, what, hunter in troubles])


def two_faults() -> list[Fault]:
    return [Fault("first", RATE, 100, may_see=frozenset({"broken"}), lifted_s=110, recovered_s=1.0, bystanders={"beside"}),
            Fault("second", RATE, 130, may_see=frozenset({"worker-died"}), lifted_s=140, recovered_s=0.0,
                  at_most={"worker-died": 2})]


@pytest.mark.parametrize("troubles, wrong", [
    ([(101, "broken", "h")], None),
    ([(111 + TOLD_WITHIN_S, "broken", "h")], None),
    ([(99, "broken", "h")], "no fault"),
    ([(111.1 + TOLD_WITHIN_S, "broken", "h")], "no fault"),
    ([(131, "broken", "h")], "second explains only ['worker-died']"),
    ([(101, "worker-died", "h")], "first explains only ['broken']"),
    ([(101, "broken", "beside")], "whose core had no fault"),
    ([(131, "worker-died", "beside")], None),  # beside the first one only
    ([(131, "worker-died", "h")] * 2, None),
    ([(131, "worker-died", "h")] * 3, "3 times worker-died"),
])
def test_clients_see_of_a_fault_what_it_explains_while_it_is_there(troubles, wrong):
    verdict = Verdict()
    check_troubles(a_run(two_faults(), seen(*troubles)), verdict)
    assert bool(verdict.violations) == bool(wrong)
    assert not wrong or wrong in verdict.violations[0]


QUIET = "<5>ready cores=2\n"
CORE = "<3>a core ended and is started again core=0 how=\"signal 9\" in_ms=0\n"
ABORTED = "<3>a core ended and is started again core=0 how=\"signal 6\" in_ms=0\n"
CHECK = "<2>check failed at=src/http/connection.cc:12 condition=\"a < b\"\n"
SPAWNER = "<3>the spawner is gone; this core ends and is restarted core=1\n"


@pytest.mark.parametrize("log, aggregator_log, wrong", [
    (QUIET + CORE, "", None),
    (QUIET + ABORTED, "", "tell of a crash"),
    (QUIET + CHECK, "", "tell of a crash"),
    (QUIET, CHECK, "hunt-aggregator's log"),
    (QUIET + CORE + SPAWNER, "", "processes of huntd that it did not end"),
    (CORE + QUIET, "", "before any fault"),
])
def test_the_logs_tell_of_a_crash(log, aggregator_log, wrong):
    verdict = Verdict()
    log_from = log.index(QUIET) + len(QUIET)
    check_log(a_run([Fault("it", RATE, 100, log_from, ends=frozenset({"core"}))], None, log, aggregator_log), verdict)
    assert bool(verdict.violations) == bool(wrong)
    assert not wrong or wrong in verdict.violations[0]


def test_a_program_that_is_gone_is_noticed():
    verdict = Verdict()
    check_log(a_run([], running=False), verdict)
    assert verdict.violations == ["I6: huntd does not run any more", "I6: hunt-aggregator does not run any more"]


def test_a_process_of_an_earlier_huntd_is_noticed():
    with subprocess.Popen(["sleep", "60"], process_group=0) as orphan:
        try:
            born_ticks = process_state(orphan.pid)[1]

            def lost(huntd_born_ticks):
                huntd = SimpleNamespace(pid=-1, start_ticks=huntd_born_ticks)
                return FaultStack.lost_processes(SimpleNamespace(huntd=huntd, earlier_groups={orphan.pid}, family=lambda: []))
            assert [f"({orphan.pid}, " in told and "of an earlier huntd" in told for told in lost(born_ticks + 1)] == [True]
            assert lost(born_ticks - 1) == []  # the number was given again
            assert FaultStack.left_of(None, orphan.pid)
        finally:
            orphan.kill()
    assert not FaultStack.left_of(None, orphan.pid)
