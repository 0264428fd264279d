# SPDX-License-Identifier: Apache-2.0
"""The isolation modes: the same responses and the same kills in every mode, and the differences between them."""
import json
import os
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from client import held, run_hunt
from harness.huntd_stack import build_folder
from harness.process import children_of, is_running, wait_until

MODES = ("process", "fork", "task", "batch")
PATIENT = {"worker.deadline_ms": 4000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}


@pytest.fixture(scope="module", params=[*MODES, "process, warm", "fork, warm", "task, warm"])
def mode(request, tmp_path_factory):
    """A stack in one isolation mode, which its settings name."""
    from conftest import HUNTS
    from harness.huntd_stack import HuntdStack
    isolation, _, warm = request.param.partition(", ")
    settings = {**PATIENT, "worker.isolation": isolation, "worker.warm": 2 if warm else 0}
    with HuntdStack(tmp_path_factory.mktemp("stack"), hunts=HUNTS, cores=2, aggregator=False,
                    settings=settings) as stack:
        yield stack


def workers_of(stack) -> list[int]:
    """Processes that run hunts: under the spawners and the zygotes, the zygotes left out; of a holder, its task."""
    found = []
    for core in stack.core_pids():
        for spawner in children_of(core):
            for child in children_of(spawner):
                if name_of(child) in ("hunt-zygote", "hunt-holder"):
                    found += children_of(child)
                else:
                    found.append(child)
    return found


def zygotes_of(stack) -> list[int]:
    return [child for core in stack.core_pids() for spawner in children_of(core) for child in children_of(spawner)
            if name_of(child) == "hunt-zygote"]


def name_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def isolation_of(stack) -> str:
    return stack.settings["worker.isolation"]


def test_hunts_run_and_the_isolation_mode_is_a_label(mode):
    before = mode.metric(f'huntd_worker_runs_total{{isolation="{isolation_of(mode)}"}}')
    for number in range(40):
        answer = run_hunt(mode.http, "gold", f"hunter-{number % 7}")
        assert answer.status == 200, answer
    assert held(mode.http, "gold", "hunter-0") == {"gold": 6}
    assert mode.metric(f'huntd_worker_runs_total{{isolation="{isolation_of(mode)}"}}') == before + 40
    for other in MODES:
        if other != isolation_of(mode):
            assert mode.metric(f'huntd_worker_runs_total{{isolation="{other}"}}') == 0


def test_input_reject_and_error_are_the_same_in_every_mode(mode):
    assert run_hunt(mode.http, "echo", "ada", input={"a": [1, None, "é"]}).json["result"]["input"] == {"a": [1, None, "é"]}
    assert run_hunt(mode.http, "reject", "ada").status == 422
    broken = run_hunt(mode.http, "broken", "ada")
    assert broken.status == 500 and "broken.lua:" in broken.json["detail"]
    assert run_hunt(mode.http, "gold", "ada").status == 200


def test_the_same_key_gives_the_same_random_draws_in_every_mode(mode):
    """hunt.random is seeded by the request, wherever it runs."""
    results_by_mode.setdefault("mixed", set()).add(
        json.dumps(run_hunt(mode.http, "mixed", "seeded", key="one").json["result"], sort_keys=True))
    assert len(results_by_mode["mixed"]) == 1


results_by_mode: dict[str, set] = {}


def test_a_script_that_loops_is_killed_alone_and_the_next_hunt_runs(mode):
    killed = mode.metric("huntd_workers_killed_total")
    others = []

    def play():
        for number in range(20):
            others.append(run_hunt(mode.http, "gold", f"other-{number}").status)

    thread = threading.Thread(target=play)
    thread.start()
    answer = run_hunt(mode.http, "forever", "ada")
    thread.join()
    assert answer.status == 504 and answer.problem == "deadline-passed"
    assert set(others) == {200}
    assert mode.metric("huntd_workers_killed_total") == killed + 1
    assert run_hunt(mode.http, "gold", "ada").status == 200


def test_a_killed_worker_affects_only_its_hunt(mode):
    done = []
    thread = threading.Thread(target=lambda: done.append(run_hunt(mode.http, "forever", "victim")))
    thread.start()

    def busy():
        for pid in workers_of(mode):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                if fields[0] == "R" and int(fields[11]) >= 2:  # user time: it loops
                    return pid
            except OSError:
                pass
        return None

    os.kill(wait_until(busy, 20, "the worker that loops"), signal.SIGKILL)
    thread.join()
    assert done[0].status == 500 and done[0].problem == "worker-died", done
    assert "signal 9" in done[0].json["detail"]
    assert run_hunt(mode.http, "gold", "victim").status == 200


def test_a_reload_under_load_gives_each_hunt_one_whole_version(mode):
    bundles, ended = set(), threading.Event()
    statuses = set()

    def play(name: str):
        while not ended.is_set():
            answer = run_hunt(mode.http, "gold", name)
            statuses.add(answer.status)
            bundles.add(answer.headers.get("hunt-bundle"))

    threads = [threading.Thread(target=play, args=(f"reload-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            swaps = mode.metric("huntd_bundle_swaps_total")
            os.kill(mode.huntd.pid, signal.SIGHUP)
            wait_until(lambda: mode.metric("huntd_bundle_swaps_total") == swaps + 2, 20, "both cores to swap")
            assert run_hunt(mode.http, "gold", "between").status == 200
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert statuses == {200}
    assert len(bundles) == 1  # the same scripts, the same name
    if isolation_of(mode) == "fork":
        wait_until(lambda: len(zygotes_of(mode)) == 2, 20, "the old zygotes to be gone")


def test_only_warm_idle_workers_stay_without_requests(mode):
    run_hunt(mode.http, "gold", "last")
    idle = 2 * mode.settings["worker.warm"]
    wait_until(lambda: len(workers_of(mode)) == idle, 20, f"{idle} workers to be left")
    wait_until(lambda: mode.metric("huntd_workers_live") == idle, 20, "the gauge to say so")


@pytest.mark.parametrize("isolation", ["batch", "task"])
def test_a_worker_ends_after_hunts_per_worker(own_stack, isolation):
    # One worker at a time: while a holder cleans up, the next request could get another one.
    stack = own_stack(cores=1, settings={**PATIENT, "worker.isolation": isolation, "worker.max_live": 1, "worker.hunts_per_worker": 5,
                                         "worker.idle_ms": 60_000}).start()
    for number in range(20):
        assert run_hunt(stack.http, "gold", f"h{number}").status == 200
    assert stack.metric("huntd_workers_started_total") == 4


@pytest.mark.parametrize("per_hunt, started", [(False, 1), (True, 6)])
def test_with_batch_per_hunt_no_worker_runs_two_hunts(own_stack, per_hunt, started):
    stack = own_stack(cores=1, settings={**PATIENT, "worker.isolation": "batch", "worker.max_live": 1, "worker.idle_ms": 60_000,
                                         "worker.batch_per_hunt": per_hunt}).start()
    for hunt in ("gold", "gold", "pair", "gold", "pair", "pair", "gold", "pair"):
        assert run_hunt(stack.http, hunt, "ada").status == 200
    assert stack.metric("huntd_workers_started_total") == started
    wait_until(lambda: len(workers_of(stack)) == 1, 20, "the replaced workers to end")


def test_a_killed_zygote_is_replaced(own_stack):
    stack = own_stack(cores=1, settings={**PATIENT, "worker.isolation": "fork"}).start()
    assert run_hunt(stack.http, "gold", "ada").status == 200
    [zygote] = zygotes_of(stack)
    os.kill(zygote, signal.SIGKILL)
    wait_until(lambda: not is_running(zygote), 20, "the zygote to be gone")
    wait_until(lambda: run_hunt(stack.http, "gold", "ada").status == 200, 20, "hunts to run again")
    [new] = zygotes_of(stack)
    assert new != zygote


def test_the_isolation_mode_changes_at_a_reload(own_stack):
    stack = own_stack(cores=1, settings=PATIENT).start()
    for isolation in ("batch", "task", "fork", "task", "process"):
        stack.set(worker__isolation=isolation)
        swaps = stack.metric("huntd_bundle_swaps_total")
        os.kill(stack.huntd.pid, signal.SIGHUP)
        wait_until(lambda: stack.metric("huntd_bundle_swaps_total") > swaps, 20, "the reload")
        before = stack.metric(f'huntd_worker_runs_total{{isolation="{isolation}"}}')
        assert run_hunt(stack.http, "gold", "ada").status == 200
        assert stack.metric(f'huntd_worker_runs_total{{isolation="{isolation}"}}') == before + 1


def test_an_unknown_isolation_mode_is_reported(own_stack, huntd_program, tmp_path):
    import subprocess
    config = tmp_path / "bad.toml"
    config.write_text('[worker]\nisolation = "thread"\n')
    done = subprocess.run([huntd_program, "-t", "-c", str(config)], capture_output=True, text=True)
    assert done.returncode == 78
    assert re.search(r'bad.toml:2: worker.isolation: must be "process", "fork", "task" or "batch"', done.stderr)




def test_each_hunt_is_run_while_reloads_change_the_mode(own_stack):
    stack = own_stack(settings={**PATIENT, "worker.max_live": 6}).start()
    ended = threading.Event()

    def play(client: int) -> set[int]:
        statuses, number = set(), 0
        while not ended.is_set():
            statuses.add(run_hunt(stack.http, "gold", f"v{client}-{number % 3}").status)
            number += 1
        return statuses

    with ThreadPoolExecutor(12) as pool:
        clients = [pool.submit(play, client) for client in range(12)]
        try:
            for mode in ("fork", "task", "process", "batch", "fork", "batch", "process", "task", "fork", "process"):
                stack.set(worker__isolation=mode)
                subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), "reload"], check=True, capture_output=True)
                assert run_hunt(stack.http, "gold", "between").status == 200
        finally:
            ended.set()
        assert {status for client in clients for status in client.result()} == {200}
    wait_until(lambda: stack.metric("huntd_workers_live") == 0, 30, "the workers of the replaced modes to end")
