# SPDX-License-Identifier: Apache-2.0
"""A Debian tree with a systemd of its own as process 1 of a container: where the shipped units are run for real.

    with Tree("bookworm", directory, layers=[installed]) as tree:   # a fresh copy each time, booted in 2 to 3 s
        tree.run("systemctl start huntd")
        with tree.network():                                       # sockets made here are the tree's
            socket.create_connection(("127.0.0.1", 8080))

The bare trees are made once (make_tree.sh) and kept in tree_cache(). What a test changes goes to an overlay and is thrown away.
"""
import contextlib
import ctypes
import functools
import itertools
import os
import pathlib
import re
import shutil
import signal
import subprocess

from harness.process import ServerFailed, children_of, wait_until

RELEASES = ("bookworm", "trixie")
# What boots, the peers of huntd, and the libraries that it links.
PACKAGES = ("systemd", "systemd-sysv", "dbus", "redis-server", "postgresql", "liburing2", "librdkafka1", "libpq5", "libxxhash0", "zlib1g",
            "libstdc++6")
# The rest has other sonames in trixie; see tests/systemd/tree_layers.py.
PACKAGES_OF = {"bookworm": ("libssl3", "libsimdjson14", "libhiredis0.14", "libfmt9", "libcpp-httplib0.11", "libtomlplusplus3"),
               "trixie": ("libssl3t64",)}
MAKE_TREE = pathlib.Path(__file__).resolve().parent / "make_tree.sh"
CGROUPS = pathlib.Path("/sys/fs/cgroup")
CLONE_NEWNET = 0x40000000
# The tree's own time limits are 90 s; a test machine may be slow.
BOOT_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 30.0
COMMAND_TIMEOUT_S = 120.0
POLL_S = 0.1
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C.UTF-8"}
_numbers = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


class TreeUnavailable(Exception):
    """Trees cannot be made or booted on this machine; the message is the reason, for `skipped`."""


def tree_cache() -> pathlib.Path:
    """The folder of the bare trees, for all clones of the repository: HUNTD_TREES, else ~/.cache/huntd/trees."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    return pathlib.Path(os.environ.get("HUNTD_TREES") or cache / "huntd" / "trees")


def _hierarchies() -> list[pathlib.Path]:
    """The cgroup hierarchies that a systemd needs: version 2 alone, or both beside each other."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    return [folder for folder in (CGROUPS / "systemd", CGROUPS / "unified") if folder.is_dir()]


@functools.cache
def bare_tree(release: str) -> pathlib.Path:
    """The bare tree of a Debian release, made if it is missing or outdated. TreeUnavailable: why there is none."""
    if os.geteuid() != 0:
        raise TreeUnavailable("only root can boot a tree")
    for program, package in (("systemd-nspawn", "systemd-container"), ("debootstrap", "debootstrap")):
        if shutil.which(program) is None:
            raise TreeUnavailable(f"no {program} (package {package})")
    if not _hierarchies() or not all(os.access(folder, os.W_OK) for folder in _hierarchies()):
        raise TreeUnavailable(f"no writable cgroup hierarchy in {CGROUPS}")
    folder = tree_cache() / release
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([str(MAKE_TREE), release, str(folder), *PACKAGES, *PACKAGES_OF[release]], stdin=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise TreeUnavailable(f"no tree of Debian {release}: {made.stderr.strip().splitlines()[-1]}")
    return folder


class Tree:
    """One tree: prepared by write(), chroot() and enable(), then booted. `with` boots and stops."""

    def __init__(self, release: str, directory: pathlib.Path, layers: list[pathlib.Path] = ()):
        """`directory`: empty, for what changes. `layers`: folders laid over the bare tree, the last one on top."""
        self.release = release
        self.name = f"huntd-tree-{os.getpid()}-{next(_numbers)}"
        self.directory = pathlib.Path(directory)
        self.root = self.directory / "root"
        self.log = self.directory / "nspawn.log"
        self.init = 0  # process 1 of the tree, as this machine numbers it
        self._nspawn: subprocess.Popen | None = None
        lower = ":".join(str(folder) for folder in [*reversed(list(layers)), bare_tree(release)])
        for name in ("upper", "work", "root"):
            (self.directory / name).mkdir(parents=True)
        done = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={self.directory}/upper,"
                               f"workdir={self.directory}/work", str(self.root)], capture_output=True, text=True)
        if done.returncode != 0:
            raise TreeUnavailable(f"no overlay in {self.directory}: {done.stderr.strip()}")

    # Before the boot.

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """A file of the tree; also while it runs."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def chroot(self, command: str) -> str:
        """Runs a shell command in the tree that is not booted; returns its output."""
        done = subprocess.run(["chroot", str(self.root), "/bin/sh", "-c", command], env=ENVIRONMENT, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=COMMAND_TIMEOUT_S)
        if done.returncode != 0:
            raise ServerFailed(f"in the tree: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def boot(self) -> "Tree":
        """Returns when all units that start at boot have started or failed."""
        groups = [folder / self.name for folder in _hierarchies()]
        # A control group of its own first, or trees would share the group `payload`.
        join = "".join(f"mkdir -p {group}; echo $$ >{group}/cgroup.procs; " for group in groups)
        with open(self.log, "ab") as log:
            self._nspawn = subprocess.Popen(
                # A test run that is killed takes its trees along.
                ["setpriv", "--pdeathsig=SIGTERM", "/bin/sh", "-c",
                 f"{join}exec systemd-nspawn -q -b -D {self.root} -M {self.name} --register=no --keep-unit --console=read-only "
                 "--private-network"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.init = wait_until(self._find_init, BOOT_TIMEOUT_S, "process 1 of the tree", POLL_S)
            wait_until(lambda: self._state() in ("running", "degraded"), BOOT_TIMEOUT_S, f"the end of the boot; {self.log}", POLL_S)
        except (TimeoutError, ServerFailed):
            self.stop()
            raise
        return self

    def _find_init(self) -> int:
        if self._nspawn.poll() is not None:
            raise ServerFailed(f"systemd-nspawn ended: {self.log.read_text(errors='replace')[-2000:]}")
        children = children_of(self._nspawn.pid)
        # nspawn's helper comes before process 1 in a namespace of its own.
        for child in children:
            with contextlib.suppress(OSError):
                if re.search(r"^NSpid:\t\d+\t1$", pathlib.Path(f"/proc/{child}/status").read_text(), re.MULTILINE):
                    return child
        return 0

    def _state(self) -> str:
        return self.run("systemctl is-system-running", check=False).stdout.strip()

    # While it runs.

    def command(self, command: str) -> list[str]:
        """The words that run a shell command in the tree, as root."""
        return ["nsenter", "-t", str(self.init), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", "--", "env", "-i",
                *(f"{name}={value}" for name, value in ENVIRONMENT.items()), "bash", "-c", command]

    def run(self, command: str, check: bool = True, timeout_s: float = COMMAND_TIMEOUT_S) -> subprocess.CompletedProcess:
        """Runs a shell command in the tree. `check`: another exit code than 0 raises ServerFailed with the output."""
        done = subprocess.run(self.command(command), capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=timeout_s)
        if check and done.returncode != 0:
            raise ServerFailed(f"in the tree: {command}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def show(self, unit: str, name: str) -> str:
        """One property of a unit, such as ActiveState or MainPID."""
        return self.run(f"systemctl show --value -p {name} {unit}").stdout.strip()

    def await_show(self, unit: str, name: str, wanted, timeout_s: float = 60) -> str:
        """Waits until a unit's property is `wanted` (a text, or a function of the text) and returns it."""
        good = wanted if callable(wanted) else lambda value: value == wanted

        def current() -> tuple[str] | None:
            value = self.show(unit, name)
            return (value,) if good(value) else None
        return wait_until(current, timeout_s, f"{name} of {unit}", POLL_S)[0]

    def journal(self, unit: str = "") -> str:
        """The messages of this boot, of one unit or all."""
        return self.run(f"journalctl --no-pager -q -b -o cat {f'-u {unit}' if unit else ''}").stdout

    def await_journal(self, pattern: str, unit: str = "", timeout_s: float = 60) -> str:
        """Waits for a line of the journal that has `pattern`; returns the line."""
        def found() -> str | None:
            return next((line for line in self.journal(unit).splitlines() if re.search(pattern, line)), None)
        return wait_until(found, timeout_s, f"a journal line with {pattern}", POLL_S)

    @contextlib.contextmanager
    def network(self):
        """The sockets that this thread makes meanwhile are of the tree's network, and stay so."""
        with open("/proc/thread-self/ns/net") as own, open(f"/proc/{self.init}/ns/net") as there:
            self._enter(there)
            try:
                yield
            finally:
                self._enter(own)

    @staticmethod
    def _enter(namespace) -> None:
        if _libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    # At its end.

    def power_off(self) -> None:
        """Ends what runs in the tree and keeps its files: boot() starts it again."""
        if self._nspawn is None:
            return
        # Never SIGKILL first: it would leave process 1 of the tree alive.
        self._nspawn.send_signal(signal.SIGTERM)
        try:
            self._nspawn.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            if self.init:
                os.kill(self.init, signal.SIGKILL)
            self._nspawn.kill()
            self._nspawn.wait()
        self._nspawn, self.init = None, 0
        for folder in _hierarchies():
            for group in sorted((folder / self.name).rglob("*"), key=lambda path: -len(path.parts)):
                if group.is_dir():
                    _remove_group(group)
            _remove_group(folder / self.name)

    def stop(self) -> None:
        """Ends the tree and throws away what has changed in it."""
        self.power_off()
        subprocess.run(["umount", str(self.root)], check=False)
        shutil.rmtree(self.directory / "upper", ignore_errors=True)
        shutil.rmtree(self.directory / "work", ignore_errors=True)

    def __enter__(self) -> "Tree":
        return self if self.init else self.boot()

    def __exit__(self, *_) -> None:
        self.stop()


def _remove_group(group: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        group.rmdir()
