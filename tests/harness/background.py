# SPDX-License-Identifier: Apache-2.0
"""`./dev up` and `./dev down`: the stack in the background, its state in build/stack/state.json."""
import json
import os
import pathlib
import shutil
import signal
import sys

from harness.huntd_stack import ROOT, HuntdStack
from harness.process import ServerFailed, is_running, wait_until

FOLDER = pathlib.Path(os.environ.get("HUNTD_STACK", ROOT / "build" / "stack")).absolute()  # a test takes another
STATE = FOLDER / "state.json"


def read_state() -> dict | None:
    return json.loads(STATE.read_text()) if STATE.exists() else None


def running(state: dict) -> list[dict]:
    return [process for process in state["processes"] if is_running(process["pid"], process["start_ticks"])]


def public(state: dict) -> dict:
    """What --json prints."""
    keys = ("http", "admin", "redis", "postgres", "kafka", "pids")
    return {key: state[key] for key in keys}


def describe(state: dict) -> None:
    print(f"huntd        http://{state['http']}")
    print(f"admin        http://{state['admin']}/")
    print(f"Redis        {state['redis']}")
    print(f"PostgreSQL   {state['postgres']}")
    kafka = f"{state['kafka']} ({state['kafka_kind']})" if state["kafka"] else "none: the aggregator reads the outbox in Redis"
    print(f"Kafka        {kafka}")
    print(f"config       {state['config']}")
    print(f"logs         {state['folder']}")
    print("pids         " + ", ".join(f"{name} {pid}" for name, pid in state["pids"].items()))


def up(*, kafka: bool, cores: int | None, settings: dict) -> dict:
    """Starts the stack and returns its state. ServerFailed when it is up already in part."""
    state = read_state()
    if state:
        alive = running(state)
        if len(alive) == len(state["processes"]):
            return {**state, "was_up": True}
        if alive:
            gone = sorted({p["name"] for p in state["processes"]} - {p["name"] for p in alive})
            raise ServerFailed(f"the stack is half down: {', '.join(gone)} ended (logs in {FOLDER}); `./dev down` first")
        remove(state)
    shutil.rmtree(FOLDER, ignore_errors=True)
    stack = HuntdStack(FOLDER, cores=cores, kafka=kafka, settings=settings, outlives=True)
    stack.start()
    state = {
        "http": stack.http, "admin": stack.admin, "redis": stack.redis.address, "postgres": stack.postgres.uri,
        "kafka": stack.kafka.bootstrap if stack.kafka else None,
        "kafka_kind": stack.kafka.kind if stack.kafka else None,
        "pids": {server.name: server.pid for server in stack.servers},
        "processes": [{"name": server.name, "pid": server.pid, "start_ticks": server.start_ticks,
                       "signal": server.stop_signal.name, "wait_s": server.stop_timeout_s}
                      for server in stack.servers],
        "config": str(stack.config), "folder": str(FOLDER), "postgres_files": str(stack.postgres.base)}
    STATE.write_text(json.dumps(state, indent=1) + "\n")
    if stack.kafka and stack.kafka.why:
        print(f"Kafka is librdkafka's mock cluster: {stack.kafka.why}", file=sys.stderr)
    return {**state, "was_up": False}


def remove(state: dict) -> None:
    shutil.rmtree(state["postgres_files"], ignore_errors=True)
    STATE.unlink(missing_ok=True)


def down() -> list[str]:
    """Stops what `up` started, the clients first; returns the names of programs that had to be killed."""
    state = read_state()
    if state is None:
        return []
    killed = []
    for process in state["processes"]:
        def alive(process=process):
            return is_running(process["pid"], process["start_ticks"])
        if not alive():
            continue
        os.kill(process["pid"], signal.Signals[process["signal"]])
        try:
            wait_until(lambda: not alive(), process["wait_s"], f"{process['name']} to end")
        except TimeoutError:
            os.killpg(process["pid"], signal.SIGKILL)
            wait_until(lambda: not alive(), 10, f"{process['name']} to end")
            killed.append(process["name"])
    remove(state)
    return killed
