# SPDX-License-Identifier: Apache-2.0
"""The commands of huntctl that show a live host: `status --watch`, `latency --since` and `top`; in a pipe, in a terminal and as JSON,
until Ctrl-C, and while huntd is stopped."""
import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

from client import run_hunt
from harness.huntd_stack import build_folder
from harness.process import children_of, wait_until

OK, NO, USAGE, UNREACHABLE = range(4)
TIME_LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$", re.MULTILINE)


def program(stack, *words) -> list[str]:
    return [str(build_folder() / "huntctl"), "-c", str(stack.config), *map(str, words)]


def huntctl(stack, *words) -> subprocess.CompletedProcess:
    return subprocess.run(program(stack, *words), capture_output=True, text=True, timeout=60)


class Terminal:
    """huntctl in a terminal of its own."""

    def __init__(self, stack, *words, columns: int = 120, rows: int = 40, **environment):
        self.ours, theirs = pty.openpty()
        self.seen = b""
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.ours)
        inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}

        def lead() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)  # so that it gets SIGWINCH

        self.running = subprocess.Popen(program(stack, *words), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=lead,
                                        env={**inherited, "TERM": "xterm", **environment})
        self.theirs = theirs  # kept open: the modes can be read after the end

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.ours, keys.encode())

    def read_until(self, text: str, timeout_s: float = 30) -> str:
        """What was printed since the last call, up to at least `text`."""
        end = time.monotonic() + timeout_s
        while text.encode() not in self.seen:
            ready = select.select([self.ours], [], [], max(0, end - time.monotonic()))[0]
            assert ready, f"no {text!r} in {self.seen.decode(errors='replace')!r}"
            self.seen += os.read(self.ours, 65536)
        shown, self.seen = self.seen, b""
        return shown.decode(errors="replace")

    def end(self, timeout_s: float = 30) -> int:
        """The exit code; `seen` then has the rest of what was printed."""
        end = time.monotonic() + timeout_s
        while self.running.poll() is None or select.select([self.ours], [], [], 0)[0]:
            assert time.monotonic() < end, "huntctl does not end"
            if select.select([self.ours], [], [], 0.05)[0]:
                self.seen += os.read(self.ours, 65536)
        return self.running.returncode

    def modes_are_restored(self) -> bool:
        return termios.tcgetattr(self.ours) == self.before

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.running.kill()
        self.running.wait()
        os.close(self.ours)
        os.close(self.theirs)


@contextlib.contextmanager
def terminal(stack, *words, **how):
    shown = Terminal(stack, *words, **how)
    try:
        yield shown
    finally:
        shown.close()


def test_watch_in_a_pipe_prints_a_block_with_a_time_line_each_time(stack):
    done = huntctl(stack, "status", "--watch", "0.2", "--count", 3)
    assert done.returncode == OK, done
    assert len(TIME_LINE.findall(done.stdout)) == 3 and done.stdout.count("hunts/s") == 3, done.stdout
    assert "\x1b" not in done.stdout
    assert TIME_LINE.match(done.stdout)


def test_watch_as_json_is_one_object_per_line(stack):
    done = huntctl(stack, "status", "--watch", "0.2", "--count", 2, "--json")
    assert done.returncode == OK, done
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(objects) == 2 and all(shown["ready"] is True and len(shown["cores"]) == 2 for shown in objects)
    assert objects[0]["taken_at_ms"] < objects[1]["taken_at_ms"]


def test_watch_ends_with_0_at_ctrl_c(stack):
    running = subprocess.Popen(program(stack, "status", "--watch"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert TIME_LINE.match(running.stdout.readline())
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=30)
    assert (running.returncode, error) == (OK, "")


def test_watch_in_a_terminal_draws_in_place(stack):
    with terminal(stack, "status", "--watch", "0.2") as shown:
        first = shown.read_until("\x1b[J")
        assert "\x1b[H" in first and "hunts/s" in first
        assert "\x1b[H" in shown.read_until("\x1b[J")
        shown.press("\x03")  # Ctrl-C
        assert shown.end() == OK


def test_watch_on_a_dumb_terminal_does_not(stack):
    with terminal(stack, "status", "--watch", "0.2", "--count", 2, TERM="dumb") as shown:
        assert shown.end() == OK
        assert b"\x1b" not in shown.seen and shown.seen.count(b"hunts/s") == 2


def test_watch_goes_on_while_huntd_is_stopped(own_stack):
    stack = own_stack().start()
    running = subprocess.Popen(program(stack, "status", "--watch", "0.2", "--json"), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert json.loads(running.stdout.readline())["ready"] is True
    stack.huntd.stop()
    for line in running.stdout:
        shown = json.loads(line)
        if shown.get("exit_code") == UNREACHABLE:
            assert "nothing listens" in shown["error"], shown
            break
    stack.huntd.start()
    assert any(json.loads(line).get("ready") is True for line in running.stdout)
    running.send_signal(signal.SIGINT)
    rest, error = running.communicate(timeout=30)
    assert (running.returncode, error) == (OK, "")
    assert all(json.loads(line) for line in rest.splitlines())


def test_watch_of_no_huntd_is_3_at_once(own_stack):
    stack = own_stack().start()
    stack.huntd.stop()
    for words in ([], ["--json"]):
        done = huntctl(stack, "status", "--watch", *words)
        assert done.returncode == UNREACHABLE and "nothing listens" in done.stderr, done
    assert json.loads(done.stdout)["exit_code"] == UNREACHABLE


def test_wrong_periods_are_wrong_usage(stack):
    for words in (["status", "--watch", "0"], ["status", "--watch", "nan"], ["status", "--watch", "-1"], ["status", "--count", "2"],
                  ["top", "--delay", "0"], ["top", "--count", "0"], ["latency", "--since", "0s"], ["latency", "--since", "60x"], ["latency", "--since", "2s", "--watch"]):
        assert huntctl(stack, *words).returncode == USAGE, words


def test_since_has_only_the_hunts_of_the_interval(stack):
    for number in range(20):
        assert run_hunt(stack.http, "gold", f"before-{number}").status == 200
    running = subprocess.Popen(program(stack, "latency", "--since", "3s", "--json"), stdout=subprocess.PIPE, text=True)
    time.sleep(1)
    for number in range(5):
        assert run_hunt(stack.http, "gold", f"while-{number}").status == 200
    shown = json.loads(running.communicate(timeout=30)[0])
    assert running.returncode == OK
    request = shown["all"]["stages"]["request"]
    assert request["count"] == 5 == sum(n for _, n in request["distribution"]), request
    assert 0 < request["p50_us"] <= request["p99_us"] <= request["max_us"]
    assert 2900 <= shown["taken_at_ms"] - shown["from_ms"] < 20000
    assert [core["core"] for core in shown["cores"]] == [0, 1]


def test_since_reset_has_the_hunts_since_the_reset_or_since_a_later_start(own_stack, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stack = own_stack(cores=2).start()

    def counted(*words) -> int:
        done = huntctl(stack, "latency", *words, "--json")
        assert done.returncode == OK, done
        return json.loads(done.stdout)["all"]["stages"]["request"]["count"]

    for number in range(20):
        assert run_hunt(stack.http, "gold", f"before-{number}").status == 200
    wait_until(lambda: counted() >= 20, 10, "the hunts in the histograms")
    assert huntctl(stack, "latency", "--reset").returncode == OK
    assert counted("--since-reset") == 0
    for number in range(5):
        assert run_hunt(stack.http, "gold", f"after-{number}").status == 200
    wait_until(lambda: counted("--since-reset") == 5, 10, "the hunts since the reset")
    stack.huntd.stop()
    stack.huntd.start()
    for number in range(3):
        assert run_hunt(stack.http, "gold", f"later-{number}").status == 200
    wait_until(lambda: counted("--since-reset") == 3, 10, "the hunts since the start")
    assert "huntd started in between" in huntctl(stack, "latency", "--since-reset").stdout


def test_since_reports_at_ctrl_c_what_there_is(stack):
    with terminal(stack, "latency", "--since", "10m") as shown:
        shown.read_until("measuring")
        assert run_hunt(stack.http, "gold", "ann").status == 200
        shown.press("\x03")
        assert shown.end() == OK
        assert b"all cores" in shown.seen and b", until " in shown.seen


ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
FRAME_END = "\x1b[J"


def test_top_shows_rates_and_ends_with_q(stack):
    with terminal(stack, "top", "--delay", "0.3") as shown:
        assert ENTERED in shown.read_until("outcomes/s")
        shown.read_until("0.3 s")
        end = time.monotonic() + 30
        frame = ""
        while "outcomes/s  ok " not in frame:
            assert time.monotonic() < end, frame
            assert run_hunt(stack.http, "gold", "ann").status == 200
            frame = shown.read_until(FRAME_END)
        assert "huntd " in frame and "redis_commit" in frame
        assert not shown.modes_are_restored()
        shown.press("q")
        assert shown.end() == OK
        assert LEFT.encode() in shown.seen and b"\x1b[?25h" in shown.seen
        assert shown.modes_are_restored()


def test_top_obeys_its_keys(stack):
    with terminal(stack, "top", "--delay", "60") as shown:
        shown.read_until("60 s")
        shown.press("-")
        shown.read_until("30 s  q quit")
        shown.press("d0.5\r")
        shown.read_until("0.5 s  q quit")
        shown.press("p")
        shown.read_until("PAUSED")
        shown.press("h")
        shown.read_until("any key ends it")
        shown.press("x")
        shown.read_until("outcomes/s")
        shown.press("p")
        shown.read_until("0.5 s")
        shown.press("q")
        assert shown.end() == OK


def test_top_follows_the_size_of_the_terminal(stack):
    with terminal(stack, "top", "--delay", "60", columns=200) as shown:
        assert "p99.9" in shown.read_until("h help")
        shown.resize(40, 12)
        narrow = ""
        while "more lines below" not in narrow:
            narrow = shown.read_until(FRAME_END)
        frame = narrow[narrow.rindex("\x1b[H"):]
        assert "p99.9" not in frame and "connections  outbox" not in frame
        lines = [re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", line) for line in frame.split("\r\n")]
        assert max(map(len, lines)) <= 40, lines
        shown.press("\x1b[F")  # End
        while "more lines" in shown.read_until(FRAME_END):
            pass
        shown.press("q")
        assert shown.end() == OK


def test_top_restores_the_terminal_at_ctrl_c_and_at_signals(stack):
    for number, code in ((signal.SIGINT, OK), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, -signal.SIGHUP)):
        with terminal(stack, "top") as shown:
            shown.read_until("h help")
            shown.running.send_signal(number)
            assert shown.end() == code, number
            assert LEFT.encode() in shown.seen and shown.modes_are_restored(), (number, shown.seen)


def test_top_goes_on_while_huntd_is_stopped(own_stack):
    stack = own_stack().start()
    with terminal(stack, "top", "--delay", "0.3") as shown:
        shown.read_until("outcomes/s")
        stack.huntd.stop()
        shown.read_until("NO NEW FIGURES")
        stack.huntd.start()
        end = time.monotonic() + 30
        while "NO NEW FIGURES" in shown.read_until(FRAME_END):
            assert time.monotonic() < end
        shown.press("q")
        assert shown.end() == OK


def test_top_says_so_when_huntd_does_not_respond(own_stack):
    stack = own_stack().start()
    with terminal(stack, "top", "--delay", "0.3", "--timeout", "2") as shown:
        shown.read_until("outcomes/s")
        [admin] = [pid for pid in children_of(stack.huntd.pid) if pathlib.Path(f"/proc/{pid}/comm").read_text() == "huntd-admin\n"]
        os.kill(admin, signal.SIGSTOP)
        try:
            assert "within 2 s" in shown.read_until("NO NEW FIGURES") + shown.read_until(FRAME_END)
        finally:
            os.kill(admin, signal.SIGCONT)
        shown.press("q")
        assert shown.end() == OK


def test_top_of_no_huntd_is_3_and_leaves_the_terminal_alone(own_stack):
    stack = own_stack().start()
    stack.huntd.stop()
    with terminal(stack, "top") as shown:
        assert shown.end() == UNREACHABLE
        assert ENTERED.encode() not in shown.seen and b"nothing listens" in shown.seen


def test_top_in_a_pipe_prints_blocks(stack):
    done = huntctl(stack, "top", "--delay", "0.2", "--count", 2)
    assert done.returncode == OK, done
    assert len(TIME_LINE.findall(done.stdout)) == 2 == done.stdout.count("\noutcomes/s"), done.stdout
    assert "\x1b" not in done.stdout and "q quit" not in done.stdout


def test_top_as_json_is_one_object_per_line(stack):
    done = huntctl(stack, "top", "--delay", "0.2", "--count", 2, "--json")
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == OK and [list(shown) for shown in objects] == [["status", "latency", "hunts"]] * 2
    assert len(objects[0]["status"]["cores"]) == len(objects[0]["latency"]["cores"]) == 2
