# SPDX-License-Identifier: Apache-2.0
"""http.access_log: which responses get a line, and what it says (docs/operations.md, "The access log"). Two cores."""
import pathlib
import re
import shlex

import pytest

from client import RawConnection, call, core_of, run_hunt
from harness.process import wait_until

STACK = {"settings": {"http.access_log": "all"}}
STAGES = {"queue_us", "worker_start_us", "script_us", "redis_commit_us"}
TRACE = "0af7651916cd43dd8448eb211c80319c"


def lines_of(stack) -> list[dict[str, str]]:
    """The fields of the lines so far."""
    texts = [line for line in stack.huntd.log_text().splitlines() if line.startswith("<6>access ")]
    return [dict(field.split("=", 1) for field in shlex.split(text)[1:]) for text in texts]


def line_of(stack, answer) -> dict[str, str]:
    """The one line about this response."""
    def found() -> list[dict[str, str]]:
        return [line for line in lines_of(stack) if line["request_id"] == answer.headers["x-request-id"]]
    wait_until(lambda: found(), 10, "the line in the access log")
    [line] = found()
    assert line["status"] == str(answer.status)
    return line


def test_a_run_has_its_ids_its_outcome_and_its_stages(stack):
    answer = call(stack.http, "POST", "/v1/hunts/gold/hunters/ann", headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    line = line_of(stack, answer)
    assert (line["method"], line["call"], line["hunt_id"], line["hunter_id"]) == ("POST", "run_hunt", "gold", "ann")
    assert (line["outcome"], line["trace_id"]) == ("ok", TRACE) and line["core"] in ("0", "1")
    assert STAGES - {"queue_us"} <= set(line), "a hunt that did not wait has no time in the queue"
    stages = sum(int(line[name]) for name in STAGES & set(line))
    assert 0 < stages <= int(line["duration_us"]) < 60_000_000
    assert len(answer.body) < int(line["bytes"]) < len(answer.body) + 500


def writes_of(thread: pathlib.Path) -> int:
    """How many write(2) and alike a thread has made: proc(5)."""
    return int(re.search(r"^syscw: (\d+)", (thread / "io").read_text(), re.M).group(1))


def test_a_thread_writes_the_lines_and_not_the_core(own_stack):
    stack = own_stack(cores=1, settings={"http.access_log": "all"}).start()
    [core] = stack.core_pids()
    main = pathlib.Path(f"/proc/{core}/task/{core}")
    line_of(stack, run_hunt(stack.http, "gold", "first"))
    # At idle the core writes too: what a second takes is not of the lines.
    threads = [thread for thread in main.parent.iterdir() if thread != main]
    before = {thread: writes_of(thread) for thread in [main, *threads]}
    with RawConnection(stack.http) as connection:
        for number in range(200):
            connection.send(f"POST /v1/hunts/gold/hunters/h{number} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            connection.answer()
    wait_until(lambda: len(lines_of(stack)) == 201, 10, "201 lines")
    assert writes_of(main) - before[main] < 100
    assert max(writes_of(thread) - before[thread] for thread in threads) >= 200


def test_a_stop_writes_the_lines_that_are_queued(own_stack):
    stack = own_stack(cores=1, settings={"http.access_log": "all"}).start()
    with RawConnection(stack.http) as connection:
        connection.send("GET /v1/core-map HTTP/1.1\r\nHost: t\r\n\r\n" * 500)
        for _ in range(500):
            connection.answer()
    stack.huntd.stop()
    assert len(lines_of(stack)) == 500


def test_a_run_on_another_core_has_its_stages(stack):
    seen = set()
    with RawConnection(stack.http) as connection:  # it stays on one core, and the hunters are of both
        for number in range(12):
            hunter = f"far-{number}"
            connection.send(f"POST /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n")
            line = line_of(stack, connection.answer())
            assert line["outcome"] == "ok" and STAGES - {"queue_us"} <= set(line)
            seen.add((line["core"], core_of(stack, hunter)))
    assert len({core for core, _ in seen}) == 1 and len({owner for _, owner in seen}) == 2


def test_a_failed_hunt_and_a_replay_name_their_outcome(stack):
    assert line_of(stack, run_hunt(stack.http, "broken", "ann"))["outcome"] == "script_error"
    assert line_of(stack, run_hunt(stack.http, "nothing", "ann"))["outcome"] == "no_such_hunt"
    run_hunt(stack.http, "gold", "replayed", key="k")
    again = line_of(stack, run_hunt(stack.http, "gold", "replayed", key="k"))
    assert again["outcome"] == "replayed" and not STAGES & set(again)


def test_other_calls_have_no_outcome(stack):
    read = line_of(stack, call(stack.http, "GET", "/v1/hunts/gold/hunters/ann"))
    assert (read["method"], read["call"], read["hunter_id"]) == ("GET", "read_held", "ann") and "outcome" not in read
    core_map = line_of(stack, call(stack.http, "HEAD", "/v1/core-map"))
    assert (core_map["method"], core_map["call"]) == ("HEAD", "core_map") and "hunt_id" not in core_map
    missing = line_of(stack, call(stack.http, "DELETE", "/nowhere"))
    assert missing["method"] == "DELETE" and "call" not in missing


def test_a_malformed_request_has_what_is_known_of_it(stack):
    with RawConnection(stack.http) as connection:
        connection.send("nonsense\r\n\r\n")
        line = line_of(stack, connection.answer())
    assert set(line) == {"core", "client", "status", "request_id", "duration_us", "bytes"}


def test_errors_are_the_responses_with_status_400_and_above(own_stack):
    stack = own_stack(settings={"http.access_log": "errors"}).start()
    fine = run_hunt(stack.http, "gold", "ann")
    assert fine.status == 200
    for hunt, status in (("nothing", 404), ("broken", 500)):
        answer = run_hunt(stack.http, hunt, "ann")
        assert answer.status == status
        line_of(stack, answer)
    assert len(lines_of(stack)) == 2


@pytest.mark.parametrize("settings,expected", [({}, 0), ({"http.access_log": "sampled", "http.access_log_sample": 1}, 20),
                                               ({"http.access_log": "sampled", "http.access_log_sample": 1_000_000}, 0)])
def test_it_is_off_by_default_and_sampled_is_one_of_a_number(own_stack, settings, expected):
    stack = own_stack(settings=settings).start()
    for _ in range(20):
        assert run_hunt(stack.http, "broken", "ann").status == 500
    wait_until(lambda: stack.huntd.log_text().count("hunt failed") == 20, 10, "the lines about the hunts")
    wait_until(lambda: len(lines_of(stack)) >= expected, 10, "the lines in the access log")
    assert len(lines_of(stack)) == expected
