# SPDX-License-Identifier: Apache-2.0
"""One server process: started, awaited, stopped, killed, started again on the same directory.

A server writes to DIRECTORY/NAME.log. By default it dies with the thread that started it (so that an interrupted test
leaves nothing behind; start servers from a thread that stays); with `outlives=True` it stays (`./dev up`).
"""
import os
import pathlib
import pwd
import select
import shutil
import signal
import subprocess
import time

POLL_S = 0.02


class ServerFailed(Exception):
    """A server did not start or did not stop; the message ends with its log's last lines."""


def process_state(pid: int) -> tuple[str, int] | None:
    """The state letter and the start time (in ticks since boot) of a process, None when there is none."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rsplit(")", 1)[1].split()
    return fields[0], int(fields[19])


def is_running(pid: int, start_ticks: int | None = None) -> bool:
    state = process_state(pid)
    return state is not None and state[0] not in "ZX" and start_ticks in (None, state[1])


def _live_processes():
    """(process, parent, process group) of each live process of the machine."""
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[0] not in "ZX":
            yield int(stat.parent.name), int(fields[1]), int(fields[2])


def children_of(pid: int) -> list[int]:
    """The live child processes of a process, oldest first."""
    return sorted(process for process, parent, _ in _live_processes() if parent == pid)


def group_of(pgid: int) -> list[int]:
    """The live processes of a process group."""
    return [process for process, _, group in _live_processes() if group == pgid]


def wait_until(condition, timeout_s: float, what: str, poll_s: float = POLL_S):
    """Returns the first true value of `condition()`; TimeoutError that names `what` after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(poll_s)


def find_program(name: str, *folders: str) -> str:
    """The path of a program, looked for in `folders`, then in PATH and the administrator's folders."""
    path = os.pathsep.join([*folders, os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])
    program = shutil.which(name, path=path)
    if program is None:
        raise FileNotFoundError(f"{name} is not installed")
    return program


def plain_user(preferred: str) -> str | None:
    """For programs that do not run as root: the user to run them as; None if this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in (preferred, "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise ServerFailed(f"neither user {preferred} nor nobody exists")


def as_user(user: str | None) -> list[str]:
    """The words before a command that make it run as `user`."""
    return ["setpriv", f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"] if user else []


class Server:
    """Subclasses give name, command() and ready(). `with` starts and stops."""

    name = "server"
    stop_signal = signal.SIGTERM
    ready_timeout_s = 60.0
    stop_timeout_s = 60.0

    def __init__(self, directory: pathlib.Path | str, *, outlives: bool = False):
        self.directory = pathlib.Path(directory).absolute()
        self.outlives = outlives
        self.user: str | None = None
        self.ports: list = []
        self.nice = 0  # below 0 only for root: else nice(1) warns in the log and starts it all the same
        self.environment: dict[str, str] = {}
        self.inherited: list[int] = []  # descriptors that it gets, by the same numbers
        self.pid = 0
        self.start_ticks = 0
        self._child: subprocess.Popen | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> bool:
        raise NotImplementedError

    def prepare(self) -> None:
        """Runs before every start; the first one makes the data directory."""

    @property
    def log_path(self) -> pathlib.Path:
        return self.directory / f"{self.name}.log"

    def log_text(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_tail(self, lines: int = 15) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    @property
    def running(self) -> bool:
        if self._child is not None and self._child.poll() is not None:
            return False
        return self.pid != 0 and is_running(self.pid, self.start_ticks)

    def launch(self) -> None:
        """Starts the process and returns at once."""
        if self.running:
            raise ServerFailed(f"{self.name} runs already, process {self.pid}")
        self.directory.mkdir(parents=True, exist_ok=True)
        self.prepare()
        words = as_user(self.user)
        if not self.outlives:
            words = (words or ["setpriv"]) + [f"--pdeathsig={self.stop_signal.name}"]
        if self.nice:
            words = (words or []) + ["nice", "-n", str(self.nice)]
        with open(self.log_path, "ab") as log:
            self._child = subprocess.Popen(
                words + self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**os.environ, **self.environment}, start_new_session=self.outlives,
                # A group of its own, for kill(). In our session: Linux shares a CPU among sessions first, so that nice
                # values of servers in different ones would mean nothing (autogroup, sched(7)).
                process_group=None if self.outlives else 0,
                pass_fds=[*self.inherited, *(port.lock_fd for port in self.ports if port.lock_fd >= 0)])
        self.pid = self._child.pid
        state = process_state(self.pid)
        self.start_ticks = state[1] if state else 0

    def start(self):
        """Starts the process and waits until it is ready."""
        self.launch()
        self.await_ready()
        return self

    def await_ready(self) -> None:
        deadline = time.monotonic() + self.ready_timeout_s
        while True:
            if not self.running:
                code = self._child.poll() if self._child else None
                raise ServerFailed(f"{self.name} ended at its start (exit {code}):\n{self.log_tail()}")
            if self.ready():
                return
            if time.monotonic() > deadline:
                self.kill()
                raise ServerFailed(f"{self.name} was not ready after {self.ready_timeout_s:g} s:\n{self.log_tail()}")
            time.sleep(POLL_S)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def _await_end(self, timeout_s: float) -> bool:
        """Returns at the end of the process, since the bench of upgrades counts the time from there."""
        if not self.running:
            return True
        try:
            process = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            ended = select.poll()
            ended.register(process, select.POLLIN)
            return bool(ended.poll(1000 * timeout_s))
        finally:
            os.close(process)

    def stop(self) -> int | None:
        """Ends the process in its orderly way and returns its exit code (None when it was not our child)."""
        if self.running:
            self.signal(self.stop_signal)
            if not self._await_end(self.stop_timeout_s):
                self.kill()
                raise ServerFailed(f"{self.name} did not end within {self.stop_timeout_s:g} s:\n{self.log_tail()}")
        return self._remove_pid()

    def kill(self) -> None:
        """SIGKILL to the process and its group, as a crash would do."""
        if self.running:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            if not self._await_end(30):
                raise ServerFailed(f"{self.name} survived SIGKILL")
            # Its children may have its sockets a moment longer.
            wait_until(lambda: not group_of(self.pid), 30, f"the children of {self.name} to end")
        self._remove_pid()

    def _remove_pid(self) -> int | None:
        code = self._child.wait() if self._child is not None else None
        self._child, self.pid = None, 0
        return code

    def restart(self):
        self.stop()
        return self.start()

    def __enter__(self):
        return self.start() if not self.running else self

    def __exit__(self, *_):
        self.stop()
        for port in self.ports:
            port.release()
