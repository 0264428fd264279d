# SPDX-License-Identifier: Apache-2.0
"""`./dev run`: starts the stack and runs one hunt, from HTTP to its row in PostgreSQL."""
import json
import signal
import subprocess
import sys
import threading

from harness import background
from harness.huntd_stack import build_folder
from harness.kafka_server import consume
from harness.postgres_server import query
from harness.process import ServerFailed, find_program, wait_until

HUNT = "goblin-hoard"
HUNTER = "ada"
HUNTS_PLAYED = 50  # so that the latency table has enough samples
ROW_TIMEOUT_S = 30.0


def _heading(text: str) -> None:
    bold, plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")
    print(f"\n{bold}{text}{plain}", flush=True)


def _huntctl(state: dict, *words: str, silent: bool = False) -> str:
    """Runs huntctl; prints the command and its output."""
    if not silent:
        print("$ huntctl " + " ".join(words), flush=True)
    done = subprocess.run([str(build_folder() / "huntctl"), "-c", state["config"], *words],
                          stdout=subprocess.PIPE if silent else None, text=True)
    if done.returncode != 0:
        raise ServerFailed(f"huntctl {words[0]} ended with {done.returncode}")
    return done.stdout or ""


def _row(state: dict) -> list[list[str]]:
    try:
        return query(state["postgres"], "select loot_count from hunt_session "
                                        f"where hunter_id = '{HUNTER}' and hunt_id = '{HUNT}'")
    except ServerFailed as failure:
        if "does not exist" in str(failure):  # the aggregator makes its table when it first gets to PostgreSQL
            return []
        raise


def _play(state: dict) -> None:
    _heading("A hunt is run")
    _huntctl(state, "hunt", HUNT, HUNTER, "--key", "first-visit")
    _heading("The same request again: the same response, nothing given twice")
    _huntctl(state, "hunt", HUNT, HUNTER, "--key", "first-visit")

    _heading("The event, read from Kafka" if state["kafka"] else "The aggregator reads the outbox in Redis")
    if state["kafka"]:
        events = wait_until(lambda: consume(state["kafka"], "loot_events"), ROW_TIMEOUT_S, "the event in Kafka")
        print(events[0][1])
    _heading("The row in PostgreSQL")
    wait_until(lambda: _row(state), ROW_TIMEOUT_S, "the row in hunt_session", poll_s=0.1)
    select = f"select * from hunt_session where hunter_id = '{HUNTER}'"
    print(f"$ psql -x -c \"{select}\"", flush=True)
    subprocess.run([find_program("psql"), "-X", "-x", "-P", "pager=off", "-d", state["postgres"], "-c", select],
                   check=True)

    _heading(f"{HUNTS_PLAYED} more hunts, and where their time went")
    for number in range(HUNTS_PLAYED):
        _huntctl(state, "hunt", HUNT, f"hunter-{number}", silent=True)
    _huntctl(state, "latency")


def _interrupt() -> threading.Event:
    """Set by Ctrl-C, which from now on raises nothing."""
    came = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: came.set())
    return came


def showcase(*, once: bool, kafka: bool) -> int:
    state = background.read_state()
    if state and background.running(state):
        raise ServerFailed("a stack is up already (`./dev up` or another `./dev run`); `./dev down` first")
    state = background.up(kafka=kafka, cores=None, settings={})
    try:
        _heading("The stack is up")
        background.describe(state)
        _play(state)
        if not once:
            interrupt = _interrupt()  # before it is promised
            _heading(f"Everything runs until Ctrl-C. The admin page: http://{state['admin']}/")
            print(f"curl -X POST http://{state['http']}/v1/hunts/{HUNT}/hunters/{HUNTER}", flush=True)
            interrupt.wait()
    finally:
        killed = background.down()
    print(json.dumps({"killed": killed}) if killed else "\nEverything is stopped.")
    return 1 if killed else 0
