# SPDX-License-Identifier: Apache-2.0
"""`./dev up`, `down` and `run`, as their harness does them after set-up and build."""
import json
import os
import signal
import subprocess
import sys

import pytest

from client import run_hunt
from harness.huntd_stack import ROOT, http_get
from harness.postgres_server import query
from harness.process import is_running, wait_until


@pytest.fixture
def dev(tmp_path):
    """A function that runs `./dev WORDS...` on a stack folder of this test."""
    environment = {**os.environ, "HUNTD_STACK": str(tmp_path / "stack"), "PYTHONPATH": f"{ROOT}/tests:{ROOT}/tests/e2e:{ROOT}"}

    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", "harness", *words], capture_output=True, text=True, timeout=120,
                              env=environment, cwd=ROOT)
    run.environment = environment
    yield run
    run("down")


def test_up_prints_all_addresses_and_down_leaves_nothing(dev):
    done = dev("up", "--cores", "1", "--set", "worker.deadline_ms=77", "--json")
    assert done.returncode == 0, done.stderr
    state = json.loads(done.stdout)
    assert set(state) == {"http", "admin", "redis", "postgres", "kafka", "pids"}
    assert state["kafka"] is None
    assert set(state["pids"]) == {"huntd", "hunt-aggregator", "redis", "postgres"}
    assert all(is_running(pid) for pid in state["pids"].values())
    assert len(json.loads(http_get(state["admin"], "/status.json")[1])["cores"]) == 1
    assert run_hunt(state["http"], "goblin-hoard", "ada").status == 200
    wait_until(lambda: query(state["postgres"], "select 1 from hunt_session where hunter_id = 'ada'"), 30, "the row")

    again = dev("up", "--json")
    assert (again.returncode, json.loads(again.stdout)) == (0, state)
    assert "up already" in dev("up").stdout

    assert dev("down").returncode == 0
    assert not [pid for pid in state["pids"].values() if is_running(pid)]
    assert "Nothing was up" in dev("down").stdout


def test_up_names_a_program_that_has_ended(dev):
    pids = json.loads(dev("up", "--json").stdout)["pids"]
    os.kill(pids["hunt-aggregator"], signal.SIGKILL)
    wait_until(lambda: not is_running(pids["hunt-aggregator"]), 10, "the aggregator to end")
    done = dev("up")
    assert done.returncode == 1 and "hunt-aggregator ended" in done.stderr
    assert dev("down").returncode == 0
    assert not [pid for pid in pids.values() if is_running(pid)]


@pytest.mark.parametrize("words, reported", [(["--set", "worker.deadline=1"], "worker.deadline_ms"),
                                         (["--set", "worker.deadline_ms=0"], "worker.deadline_ms"),
                                         (["--set", "nonsense"], "SECTION.NAME=VALUE")])
def test_a_bad_setting_is_reported_and_nothing_stays(dev, words, reported):
    done = dev("up", *words)
    assert done.returncode != 0 and reported in done.stderr
    assert "Nothing was up" in dev("down").stdout


def test_run_once_shows_the_response_the_row_and_the_latency(dev):
    done = dev("run", "--once")
    assert done.returncode == 0, done.stdout + done.stderr
    for text in ('"loot_id"', '"replayed":true', "loot_count", "worker_start", "Everything is stopped."):
        assert text in done.stdout
    assert "\033" not in done.stdout, "plain lines in a pipe"


def test_run_stays_until_it_is_interrupted(dev):
    child = subprocess.Popen([sys.executable, "-m", "harness", "run"], stdout=subprocess.PIPE, text=True,
                             env=dev.environment, cwd=ROOT)
    output = ""
    for line in child.stdout:
        output += line
        if line.startswith("curl -X POST "):
            break
    assert child.poll() is None, output
    address = line.split("http://")[1].split("/")[0]
    assert run_hunt(address, "goblin-hoard", "visitor").status == 200
    child.send_signal(signal.SIGINT)
    assert "Everything is stopped." in child.stdout.read()
    assert child.wait(30) == 0
