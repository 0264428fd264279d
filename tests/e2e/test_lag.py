# SPDX-License-Identifier: Apache-2.0
"""huntctl lag with a real hunt-aggregator whose Postgres is stopped and started again."""
import json
import subprocess

from client import run_hunt
from harness.huntd_stack import build_folder
from harness.ports import reserve_port
from harness.process import wait_until

STACK = {"aggregator": True}


def lag(stack, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "lag", *words], capture_output=True,
                          text=True, timeout=60)


def lag_json(stack) -> dict:
    [only] = json.loads(lag(stack, "--json").stdout)["aggregators"]
    return only


def test_lag_shows_merges_and_no_lag(stack):
    for number in range(5):
        assert run_hunt(stack.http, "gold", f"merged-{number}").status == 200
    wait_until(lambda: lag_json(stack)["events"] == 5 and lag_json(stack)["lag_events"] == 0, 30, "the merge", 0.1)
    reported = lag_json(stack)
    assert reported["address"] == stack.aggregator_address
    assert reported["rows_merged"] == 5 and reported["merges"] >= 1 and reported["merge_mean_s"] > 0
    assert reported["lag_s"] == 0 and reported["newest_event_age_s"] >= 0
    assert reported["source_up"] and reported["postgres_up"] and reported["dead_topic_up"]
    shown = lag(stack, "--max", "30")
    assert shown.returncode == 0, shown.stderr
    head, row = shown.stdout.splitlines()
    assert head.split()[:2] == ["aggregator", "lag"] and row.startswith(f"{stack.aggregator_address}  0.0 s")
    assert row.split()[-3:] == ["up"] * 3


def test_without_postgres_the_lag_grows_and_the_exit_code_is_1(stack):
    stack.postgres.kill()
    try:
        assert run_hunt(stack.http, "gold", "late").status == 200
        wait_until(lambda: not lag_json(stack)["postgres_up"] and lag_json(stack)["lag_s"] > 1, 60, "the lag to grow", 0.2)
        reported = lag(stack, "--max", "0.5")
        assert reported.returncode == 1
        assert "it cannot reach PostgreSQL" in reported.stderr and "more than 0.5 s" in reported.stderr
        assert lag_json(stack)["lag_events"] == 1
    finally:
        stack.postgres.start()
    wait_until(lambda: lag(stack, "--max", "30").returncode == 0 and lag_json(stack)["lag_events"] == 0, 60,
               "the table to catch up", 0.2)


def test_an_unavailable_aggregator_does_not_hide_others(stack):
    unused = reserve_port()
    reported = lag(stack, "--aggregator", unused.address, "--aggregator", stack.aggregator_address)
    unused.release()
    assert reported.returncode == 1
    assert f"nothing listens on {unused.address}, the aggregator's port (--aggregator)" in reported.stderr
    assert reported.stdout.splitlines()[1].startswith(stack.aggregator_address)


def test_a_port_that_is_not_the_aggregators_is_reported(stack):
    reported = lag(stack, "--aggregator", stack.admin)
    assert reported.returncode == 1
    assert "is it hunt-aggregator's port?" in reported.stderr
