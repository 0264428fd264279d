"""huntctl lag, put to a real hunt-aggregator whose Postgres goes away and comes back."""
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


def test_lag_tells_what_was_merged_and_that_nothing_is_behind(stack):
    for number in range(5):
        assert run_hunt(stack.http, "gold", f"merged-{number}").status == 200
    wait_until(lambda: lag_json(stack)["events"] == 5 and lag_json(stack)["lag_events"] == 0, 30, "the merge", 0.1)
    told = lag_json(stack)
    assert told["address"] == stack.aggregator_address
    assert told["rows_merged"] == 5 and told["merges"] >= 1 and told["merge_mean_s"] > 0
    assert told["lag_s"] == 0 and told["newest_event_age_s"] >= 0
    assert told["source_up"] and told["postgres_up"] and told["dead_topic_up"]
    shown = lag(stack, "--max", "30")
    assert shown.returncode == 0, shown.stderr
    head, row = shown.stdout.splitlines()
    assert head.split()[:2] == ["aggregator", "lag"] and row.startswith(f"{stack.aggregator_address}  0.0 s")
    assert row.split()[-3:] == ["up"] * 3


def test_while_postgres_is_away_the_lag_grows_and_the_exit_code_says_so(stack):
    stack.postgres.kill()
    try:
        assert run_hunt(stack.http, "gold", "late").status == 200
        wait_until(lambda: not lag_json(stack)["postgres_up"] and lag_json(stack)["lag_s"] > 1, 60, "the lag to grow", 0.2)
        told = lag(stack, "--max", "0.5")
        assert told.returncode == 1
        assert "Postgres does not answer it" in told.stderr and "more than 0.5 s" in told.stderr
        assert lag_json(stack)["lag_events"] == 1
    finally:
        stack.postgres.start()
    wait_until(lambda: lag(stack, "--max", "30").returncode == 0 and lag_json(stack)["lag_events"] == 0, 60,
               "the table to catch up", 0.2)


def test_an_aggregator_that_does_not_answer_hides_no_other(stack):
    nobody = reserve_port()
    told = lag(stack, "--aggregator", nobody.address, "--aggregator", stack.aggregator_address)
    nobody.release()
    assert told.returncode == 1
    assert f"nothing listens on {nobody.address}, the aggregator's port (--aggregator)" in told.stderr
    assert told.stdout.splitlines()[1].startswith(stack.aggregator_address)


def test_another_port_than_the_aggregators_is_named(stack):
    told = lag(stack, "--aggregator", stack.admin)
    assert told.returncode == 1
    assert "is it hunt-aggregator's port?" in told.stderr
