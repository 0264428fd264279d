# SPDX-License-Identifier: Apache-2.0
"""hunt-load's counts of a run are huntd's: requests, outcomes and loot; its exit code reports failures."""
import json
import pathlib
import re
import socket
import subprocess
import threading

from client import call
from harness.huntd_stack import build_folder

STACK = {"cores": 2, "settings": {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000,
                                  "http.request_deadline_ms": 40000}}


def hunt_load(target: str, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([str(build_folder() / "hunt-load"), "--target", target, *words],
                          capture_output=True, text=True, timeout=60)


def metrics(stack) -> dict[str, float]:
    """The sum over the cores of each metric: {'huntd_hunts_total{outcome="ok"}': 3}."""
    found: dict[str, float] = {}
    for line in call(stack.admin, "GET", "/metrics").body.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            front, brace, labels = name.partition("{")
            rest = ",".join(label for label in labels.rstrip("}").split(",") if not label.startswith("core="))
            key = f"{front}{{{rest}}}" if brace and rest else front
            found[key] = found.get(key, 0) + float(value)
    return found


def grown(before: dict, after: dict, name: str) -> int:
    return round(after[name] - before[name])


def test_an_open_loop_run_agrees_with_huntds_own_counts(stack):
    before = metrics(stack)
    done = hunt_load(stack.http, "--connections", "50", "--hunters", "20", "--rate", "200", "--seconds", "2", "--warmup",
                     "1", "--hunt", "gold,pair", "--hunt", "reject", "--keys", "--json")
    assert done.returncode == 0, done.stderr
    after = metrics(stack)
    run = json.loads(done.stdout)
    whole = run["whole_run"]
    assert run["loop"] == "open" and run["rate_wanted"] == 200
    assert (run["sent"], run["answered"], run["unanswered"], run["errors"]) == (400, 400, 0, 0)
    assert whole["sent"] == whole["answered"] == 600
    assert whole["statuses"] == {"200": whole["ok"], "422": whole["rejected"]} and whole["rejected"] == 200
    assert whole["ok"] == grown(before, after, 'huntd_hunts_total{outcome="ok"}')
    assert whole["rejected"] == grown(before, after, 'huntd_hunts_total{outcome="rejected"}')
    assert grown(before, after, 'huntd_hunts_total{outcome="replayed"}') == 0
    assert grown(before, after, "huntd_connections_accepted_total") == 50
    assert run["events"] == grown(before, after, "huntd_awards_total") == 200 + 2 * 200
    assert 0 < run["latency_ms"]["p50"] <= run["latency_ms"]["p99"] <= run["latency_ms"]["max"]
    assert len(re.findall(r"  sent [1-9]\d*/s  answered", done.stderr)) >= 2, done.stderr  # one progress line per second


def test_two_runs_with_one_seed_use_the_same_hunters_and_new_keys(stack):
    before = metrics(stack)
    for _ in range(2):
        done = hunt_load(stack.http, "--connections", "3", "--rate", "30", "--seconds", "1", "--warmup", "0", "--hunt",
                         "gold", "--keys", "--seed", "77", "--json")
        assert done.returncode == 0, done.stderr
    after = metrics(stack)
    assert grown(before, after, "huntd_awards_total") == 60
    held = [call(stack.http, "GET", f"/v1/hunts/gold/hunters/h77-{i}").json["loot"]["gold"] for i in range(3)]
    assert held == [20, 20, 20]


def test_a_closed_loop_is_named_and_writes_an_hdrhistogram_log(stack, tmp_path: pathlib.Path):
    log = tmp_path / "run.hlog"
    before = metrics(stack)
    done = hunt_load(stack.http, "--connections", "10", "--closed", "--seconds", "1", "--warmup", "0.2", "--method-path",
                     "GET /v1/core-map", "--hlog", str(log), "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["loop"] == "closed" and run["rate_wanted"] is None and run["ok"] > 100 and run["errors"] == 0
    assert run["whole_run"]["ok"] == grown(before, metrics(stack), 'huntd_http_requests_total{code="2xx"}')
    tags = [line.split(",")[0] for line in log.read_text().splitlines() if line.startswith("Tag=")]
    assert tags == ["Tag=all", "Tag=admitted"]
    table = hunt_load(stack.http, "--connections", "2", "--closed", "--seconds", "0.2", "--warmup", "0", "--method-path",
                      "GET /v1/core-map")
    assert "closed loop" in table.stdout and "admitted (200)" in table.stdout


def test_a_stall_shows_in_every_request_that_was_due_meanwhile():
    """A server that accepts connections and sends no response for a second, then all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            connection, _ = server.accept()
            with connection:
                threading.Event().wait(1)
                while connection.recv(65536):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=serve, daemon=True).start()
        done = hunt_load(f"127.0.0.1:{server.getsockname()[1]}", "--connections", "1", "--rate", "100", "--seconds", "2",
                         "--warmup", "0", "--method-path", "GET /", "--json")
    run = json.loads(done.stdout)
    assert run["answered"] == 200 and run["errors"] == 0
    # Half of them came due in the stall and waited 500 ms in the middle; a closed loop would have one slow answer of 101.
    assert run["latency_ms"]["max"] > 900 and run["latency_ms"]["p90"] > 700


def test_broken_connections_are_counted_and_replaced():
    """Every second request gets its connection closed instead of a response."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    if connection.recv(65536):
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                        connection.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        done = hunt_load(f"127.0.0.1:{server.getsockname()[1]}", "--connections", "1", "--rate", "50", "--seconds", "1",
                         "--warmup", "0", "--timeout-ms", "1000", "--method-path", "GET /", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert (run["ok"], run["broken"], run["errors"], run["unanswered"]) == (25, 25, 25, 0)
    assert run["resets"] == run["reconnects"] == 25
    assert run["latency_ms"]["p99"] >= 1000  # a lost request does not count as fast


def serve_and_close(server: socket.socket, responses: int) -> None:
    """Each connection gets this many responses; its next request gets a close."""
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            for _ in range(responses):
                if not connection.recv(65536):
                    break
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            connection.recv(65536)


def test_a_request_that_met_a_close_is_repeated_once_if_that_is_wanted():
    words = ("--connections", "1", "--rate", "50", "--seconds", "1", "--warmup", "0", "--timeout-ms", "1000", "--method-path",
             "GET /", "--repeat-closed", "--json")
    runs = []
    for responses in (1, 0):
        with socket.create_server(("127.0.0.1", 0)) as server:
            threading.Thread(target=serve_and_close, args=(server, responses), daemon=True).start()
            done = hunt_load(f"127.0.0.1:{server.getsockname()[1]}", *words)
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    served, closed = runs
    assert (served["sent"], served["ok"], served["broken"], served["errors"]) == (50, 50, 0, 0)
    assert served["repeated"] == served["resets"] == 49
    assert served["latency_ms"]["p99"] < 1000  # a repeat keeps its due time, and is not lost
    # The first request of a connection is not repeated: this server has served none.
    assert (closed["ok"], closed["repeated"]) == (0, 0) and closed["broken"] > 0


def test_missing_and_unparseable_responses_are_counted():
    with socket.create_server(("127.0.0.1", 0)) as server:
        done = hunt_load(f"127.0.0.1:{server.getsockname()[1]}", "--connections", "2", "--rate", "20", "--seconds", "1",
                         "--warmup", "0", "--timeout-ms", "300", "--method-path", "GET /", "--json")
    run = json.loads(done.stdout)
    assert (run["sent"], run["answered"], run["unanswered"], run["errors"]) == (2, 0, 20, 20)
    assert run["latency_ms"]["p50"] >= 300

    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"220 smtp.example ESMTP\r\n")
                connection.recv(65536)

        threading.Thread(target=serve, daemon=True).start()
        done = hunt_load(f"127.0.0.1:{server.getsockname()[1]}", "--connections", "1", "--rate", "1", "--seconds", "1",
                         "--warmup", "0", "--timeout-ms", "300", "--method-path", "GET /", "--json")
    assert json.loads(done.stdout)["unparseable"] == 1


def test_exit_code_is_1_without_a_server_and_2_for_wrong_usage(stack):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connection refused
        done = hunt_load(f"127.0.0.1:{taken.getsockname()[1]}", "--connections", "5", "--rate", "1", "--seconds", "1")
    assert done.returncode == 1 and "cannot connect" in done.stderr and done.stdout == ""
    base = ["--connections", "5", "--seconds", "1"]
    for words in ([], ["--rate", "5", "--closed"], ["--rate", "0"], ["--rate", "5", "--hunt", "no/id"],
                  ["--rate", "5", "--method-path", "core-map"], ["--rate", "5", "--nonsense"]):
        done = hunt_load(stack.http, *base, *words)
        assert done.returncode == 2 and done.stdout == "", words
    assert hunt_load(stack.http, "--help").returncode == 0
