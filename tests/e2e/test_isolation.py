"""The isolation ladder: the same answers and the same kills on every rung, and what is each rung's own."""
import json
import os
import re
import signal
import threading

import pytest

from client import held, run_hunt
from harness.huntd_stack import http_get
from harness.process import children_of, is_running, wait_until

RUNGS = ("process", "fork", "batch")
PATIENT = {"worker.deadline_ms": 2000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000}


@pytest.fixture(scope="module", params=[*RUNGS, "process, warm", "fork, warm"])
def rung(request, tmp_path_factory):
    """A stack on one rung; its settings name the rung."""
    from conftest import HUNTS
    from harness.huntd_stack import HuntdStack
    isolation, _, warm = request.param.partition(", ")
    settings = {**PATIENT, "worker.isolation": isolation, "worker.warm": 2 if warm else 0}
    with HuntdStack(tmp_path_factory.mktemp("stack"), hunts=HUNTS, cores=2, aggregator=False,
                    settings=settings) as stack:
        yield stack


def workers_of(stack) -> list[int]:
    """hunt_worker processes: under the spawners and the zygotes, the zygotes left out."""
    found = []
    for core in stack.core_pids():
        for spawner in children_of(core):
            for child in children_of(spawner):
                if name_of(child) == "hunt-zygote":
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


def test_hunts_are_answered_and_the_rung_is_a_label(rung):
    before = rung.metric(f'huntd_worker_runs_total{{isolation="{isolation_of(rung)}"}}')
    for number in range(40):
        answer = run_hunt(rung.http, "gold", f"hunter-{number % 7}")
        assert answer.status == 200, answer
    assert held(rung.http, "gold", "hunter-0") == {"gold": 6}
    assert rung.metric(f'huntd_worker_runs_total{{isolation="{isolation_of(rung)}"}}') == before + 40
    for other in RUNGS:
        if other != isolation_of(rung):
            assert rung.metric(f'huntd_worker_runs_total{{isolation="{other}"}}') == 0


def test_input_reject_and_error_answer_as_ever(rung):
    assert run_hunt(rung.http, "echo", "ada", input={"a": [1, None, "é"]}).json["result"]["input"] == {"a": [1, None, "é"]}
    assert run_hunt(rung.http, "refuse", "ada").status == 422
    broken = run_hunt(rung.http, "broken", "ada")
    assert broken.status == 500 and "broken.lua:" in broken.json["detail"]
    assert run_hunt(rung.http, "gold", "ada").status == 200


def test_the_same_key_gives_the_same_draws_on_every_rung(rung):
    """hunt.random is seeded by the request, wherever it runs."""
    rung_results.setdefault("mixed", set()).add(
        json.dumps(run_hunt(rung.http, "mixed", "seeded", key="one").json["result"], sort_keys=True))
    assert len(rung_results["mixed"]) == 1


rung_results: dict[str, set] = {}


def test_a_script_that_loops_is_killed_alone_and_the_next_hunt_runs(rung):
    killed = rung.metric("huntd_workers_killed_total")
    others = []

    def play():
        for number in range(20):
            others.append(run_hunt(rung.http, "gold", f"other-{number}").status)

    thread = threading.Thread(target=play)
    thread.start()
    answer = run_hunt(rung.http, "forever", "ada")
    thread.join()
    assert answer.status == 504 and answer.problem == "deadline-passed"
    assert set(others) == {200}
    assert rung.metric("huntd_workers_killed_total") == killed + 1
    assert run_hunt(rung.http, "gold", "ada").status == 200


def test_a_worker_killed_from_outside_costs_its_hunt_only(rung):
    done = []
    thread = threading.Thread(target=lambda: done.append(run_hunt(rung.http, "forever", "victim")))
    thread.start()

    def busy():
        for pid in workers_of(rung):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
                if fields[0] == "R" and int(fields[11]) >= 2:  # user time: it loops
                    return pid
            except OSError:
                pass
        return None

    wait_until(busy, 20, "the worker that loops")
    os.kill(busy(), signal.SIGKILL)
    thread.join()
    assert done[0].status == 500 and done[0].problem == "worker-died", done
    assert "signal 9" in done[0].json["detail"]
    assert run_hunt(rung.http, "gold", "victim").status == 200


def test_a_reload_under_load_gives_each_hunt_one_whole_version(rung):
    bundles, ended = set(), threading.Event()
    statuses = set()

    def play(name: str):
        while not ended.is_set():
            answer = run_hunt(rung.http, "gold", name)
            statuses.add(answer.status)
            bundles.add(answer.headers.get("hunt-bundle"))

    threads = [threading.Thread(target=play, args=(f"reload-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            swaps = rung.metric("huntd_bundle_swaps_total")
            os.kill(rung.huntd.pid, signal.SIGHUP)
            wait_until(lambda: rung.metric("huntd_bundle_swaps_total") == swaps + 2, 20, "both cores to swap")
            assert run_hunt(rung.http, "gold", "between").status == 200
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert statuses == {200}
    assert len(bundles) == 1  # the same scripts, the same name
    if isolation_of(rung) == "fork":
        wait_until(lambda: len(zygotes_of(rung)) == 2, 20, "the old zygotes to be gone")


def test_nothing_is_left_once_nobody_asks_but_the_warm_spares(rung):
    run_hunt(rung.http, "gold", "last")
    spares = 2 * rung.settings["worker.warm"]
    wait_until(lambda: len(workers_of(rung)) == spares, 20, f"{spares} workers to be left")
    wait_until(lambda: rung.metric("huntd_workers_live") == spares, 20, "the gauge to say so")


def test_a_batch_worker_ends_after_hunts_per_worker(own_stack):
    stack = own_stack(cores=1, settings={**PATIENT, "worker.isolation": "batch", "worker.hunts_per_worker": 5}).start()
    for number in range(20):
        assert run_hunt(stack.http, "gold", f"h{number}").status == 200
    assert stack.metric("huntd_workers_started_total") == 4


def test_a_killed_zygote_is_replaced(own_stack):
    stack = own_stack(cores=1, settings={**PATIENT, "worker.isolation": "fork"}).start()
    assert run_hunt(stack.http, "gold", "ada").status == 200
    [zygote] = zygotes_of(stack)
    os.kill(zygote, signal.SIGKILL)
    wait_until(lambda: not is_running(zygote), 20, "the zygote to be gone")
    wait_until(lambda: run_hunt(stack.http, "gold", "ada").status == 200, 20, "hunts to run again")
    [new] = zygotes_of(stack)
    assert new != zygote


def test_the_rung_changes_at_a_reload(own_stack):
    stack = own_stack(cores=1, settings=PATIENT).start()
    for isolation in ("batch", "fork", "process"):
        stack.set(worker__isolation=isolation)
        swaps = stack.metric("huntd_bundle_swaps_total")
        os.kill(stack.huntd.pid, signal.SIGHUP)
        wait_until(lambda: stack.metric("huntd_bundle_swaps_total") > swaps, 20, "the reload")
        before = stack.metric(f'huntd_worker_runs_total{{isolation="{isolation}"}}')
        assert run_hunt(stack.http, "gold", "ada").status == 200
        assert stack.metric(f'huntd_worker_runs_total{{isolation="{isolation}"}}') == before + 1


def test_a_rung_that_is_none_is_named(own_stack, huntd_program, tmp_path):
    import subprocess
    config = tmp_path / "bad.toml"
    config.write_text('[worker]\nisolation = "thread"\n')
    done = subprocess.run([huntd_program, "-t", "-c", str(config)], capture_output=True, text=True)
    assert done.returncode == 78
    assert re.search(r'bad.toml:2: worker.isolation: must be "process", "fork" or "batch"', done.stderr)


