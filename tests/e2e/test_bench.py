# SPDX-License-Identifier: Apache-2.0
"""The benches at the fleet load in a tiny form: they run to their end and print their figures. Values are not checked."""
import json
import os
import shutil
import subprocess
import sys

import pytest

from bench.history import FILE as HISTORY
from bench.processes import cpu_by_kind, family
from harness.huntd_stack import ROOT, build_folder
from harness.process import wait_until

pytestmark = pytest.mark.alone(reason="load generators use all cores")
FIGURES = {
    "idle": {"workers", "cpu_percent"},
    "memory": {"idle_mb", "load_mb", "kept_kb", "cores_64_mb"},
    "overload": {"goodput_ratio", "admitted_p99_ms", "refusal_cpu_us", "refusal_admitted"},
}


def bench(*words: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, **variables, "PYTHONPATH": f"{ROOT}/tests:{ROOT}/tests/e2e:{ROOT}", "HUNTD_BENCH_SECONDS": "0.5",
                   "HUNTD_BENCH_CONNECTIONS": "200", "HUNTD_BENCH_ROUNDS": "1", "HUNTD_BENCH_INTERVAL_S": "1",
                   "HUNTD_BENCH_KAFKA": "no"}
    return subprocess.run([sys.executable, "-m", "harness", "bench", *words], capture_output=True, text=True, timeout=400,
                          env=environment, cwd=ROOT)


@pytest.mark.parametrize("name", FIGURES)
def test_a_bench_prints_one_object_with_the_figures_that_have_targets(name):
    done = bench(name, "--json")
    assert done.returncode in (0, 1), done.stderr  # 1: a bar was missed
    assert "Traceback" not in done.stderr, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {"bench", "machine", "figures"} and report["bench"] == name
    assert report["machine"].keys() >= {"kernel", "cpu", "guest_halt_poll_ns", "psi", "mitigations", "steal_percent"}
    for figure in report["figures"]:
        assert set(figure) == {"name", "value", "unit", "bar", "ok", "min", "max", "runs"}
        assert figure["min"] <= figure["value"] <= figure["max"] and figure["runs"] == 1
        assert isinstance(figure["value"], (int, float)) and isinstance(figure["unit"], str)
        assert (figure["bar"] is None) == (figure["ok"] is None)
    assert {figure["name"] for figure in report["figures"] if figure["bar"] is not None} == FIGURES[name]


def test_restarts_under_load_fail_no_request_and_the_awards_are_exact():
    done = bench("upgrade", "--restarts", "3", "--seconds", "6", "--json")
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    figures = {figure["name"]: figure for figure in json.loads(done.stdout)["figures"]}
    assert {name for name, figure in figures.items() if figure["bar"] is not None} == {"failed_requests", "p99_ratio", "awards_off"}
    # One of each: another program, another config, another number of cores. The time is too short for a P99.
    assert [figures[name]["value"] for name in ("restarts", "failed_requests", "awards_off")] == [3, 0, 0], done.stderr


def test_a_host_that_is_killed_and_comes_back_costs_no_request_and_no_award():
    if shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") is None:
        pytest.skip("haproxy is not installed")
    done = bench("hosts", "--seconds", "12", "--json")
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, done.stderr
    figures = {figure["name"]: figure["value"] for figure in json.loads(done.stdout)["figures"]}
    assert [figures[name] for name in ("errors", "unreconciled")] == [0, 0], done.stderr
    assert {f"{phase}_p99_ms" for phase in ("before", "killed", "back", "after")} < set(figures)


@pytest.mark.parametrize("mode", ["process", "fork", "batch"])
def test_workers_are_counted_apart_from_the_rest_of_huntd(own_stack, mode):
    stack = own_stack(cores=1, settings={"worker.isolation": mode, "worker.warm": 3}).start()
    wait_until(lambda: sum(p.is_worker for p in family(stack.huntd.pid)) == 3, 30, "the three warm workers")
    kinds = {process.kind for process in family(stack.huntd.pid)}
    assert kinds == {"parent", "cores", "admin", "spawners", "workers"} | ({"zygotes"} if mode == "fork" else set())
    assert cpu_by_kind(stack).keys() == kinds | {"redis"}


def test_wrong_usage_is_2():
    assert bench("no-such-bench").returncode == 2
    assert bench("idle", "--minutes", "1").returncode == 2
    assert bench("fleet", "--minutes", "0").returncode == 2
    assert bench("upgrade", "--restarts", "0").returncode == 2
    assert bench("idle", "--restarts", "1").returncode == 2
    assert bench("--compare", "HEAD").returncode == 2
    assert bench("idle", "--compare", "HEAD", "--record").returncode == 2
    assert bench("idle", "--turns", "2").returncode == 2


def test_programs_that_are_not_known_to_be_the_commits_are_not_recorded():
    before = HISTORY.read_text()
    done = bench("idle", "--record", HUNTD_BUILD=str(build_folder()))
    assert done.returncode == 1 and "unset it" in done.stderr and "HUNTD_BUILD" in done.stderr, done.stderr
    assert done.stdout == "" and HISTORY.read_text() == before


def test_a_comparison_with_an_unknown_revision_names_it():
    done = bench("idle", "--compare", "no-such-revision")
    assert done.returncode == 1 and "no-such-revision" in done.stderr
