# SPDX-License-Identifier: Apache-2.0
"""The processes of a stack by /proc: their names, CPU time and memory."""
import os
import pathlib
import time
from dataclasses import dataclass

MIB = 1024 * 1024
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CPUCLOCK_SCHED = 2  # of clock_gettime(2) on a process: ns, all threads
KINDS = {"huntd": "parent", "huntd-core": "cores", "huntd-admin": "admin", "huntd-spawner": "spawners",
         "hunt-zygote": "zygotes"}


@dataclass
class Process:
    pid: int
    parent: int
    name: str
    ended: bool
    cpu_s: float
    children_cpu_s: float  # of the children that it has waited for
    parent_name: str = ""

    @property
    def kind(self) -> str:
        """The kind of a process of huntd. A worker is recognized by its parent: it is started by descriptor and has no name."""
        if self.parent_name in ("hunt-zygote", "hunt-holder") or (self.parent_name == "huntd-spawner" and self.name != "hunt-zygote"):
            return "workers"
        return KINDS.get(self.name, self.name)

    @property
    def is_worker(self) -> bool:
        return self.kind == "workers" and not self.ended


def _read(pid: str) -> Process | None:
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    front, _, rest = text.rpartition(")")
    fields = rest.split()
    own, waited = (sum(map(int, pair)) / TICKS_PER_S for pair in (fields[11:13], fields[13:15]))
    return Process(int(pid), int(fields[1]), front.partition("(")[2], fields[0] in "ZX", own, waited)


def machine_cpu() -> tuple[float, float]:
    """CPU seconds of the machine since its start: those that the hypervisor took (steal, proc(5)), and all."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[7] / TICKS_PER_S, sum(fields) / TICKS_PER_S


def family(*roots: int) -> list[Process]:
    """These processes and all their descendants, zombies too; one walk over /proc."""
    children: dict[int, list[Process]] = {}
    found: list[Process] = []
    for name in os.listdir("/proc"):
        process = _read(name) if name.isdigit() else None
        if process is None:
            continue
        if process.pid in roots:
            found.append(process)
        else:
            children.setdefault(process.parent, []).append(process)
    for process in found:  # grows while it is walked
        for child in children.get(process.pid, []):
            child.parent_name = process.name
            found.append(child)
    return found


def exact_cpu_s(processes: list[Process]) -> float:
    """CPU time so far of live processes in ns; /proc/PID/stat counts only in hundredths of a second."""
    total = 0.0
    for process in processes:
        try:
            total += time.clock_gettime((~process.pid << 3) | CPUCLOCK_SCHED)
        except OSError:
            continue  # it has ended
    return total


def cpu_by_kind(stack) -> dict[str, float]:
    """CPU seconds so far of each kind of process of a HuntdStack. Workers that have ended are in what their spawner,
    zygote or holder has waited for."""
    total: dict[str, float] = {}

    def add(kind: str, seconds: float) -> None:
        total[kind] = total.get(kind, 0.0) + seconds

    for process in family(stack.huntd.pid):
        add(process.kind, process.cpu_s)
        if process.kind in ("spawners", "zygotes") or process.name == "hunt-holder":
            add("workers", process.children_cpu_s)
    for server in (stack.redis, stack.kafka, stack.postgres, stack.aggregator):
        if server:
            for process in family(server.pid):
                add(server.name, process.cpu_s + (process.children_cpu_s if process.pid == server.pid else 0))
    return total


def cpu_of_servers(*servers) -> dict[str, float]:
    """CPU seconds so far of each server (harness.process.Server) by its name, with all processes under it and those of their children
    that have ended."""
    total: dict[str, float] = {}
    for server in servers:
        seconds = sum(process.cpu_s + process.children_cpu_s for process in family(server.pid))
        total[server.name] = total.get(server.name, 0.0) + seconds
    return total


def _field_mib(processes: list[Process], file: str, field: str) -> float:
    total = 0
    for process in processes:
        try:
            text = pathlib.Path(f"/proc/{process.pid}/{file}").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a worker that has ended meanwhile
        total += sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(field))
    return total / MIB


def rss_mib_of(processes: list[Process]) -> float:
    return _field_mib(processes, "status", "VmRSS:")


def rss_mib(*roots: int) -> float:
    """RSS of these processes and all under them added up: pages that processes share count once for each."""
    return rss_mib_of(family(*roots))


def pss_mib(*roots: int) -> float:
    """The same with each shared page divided among those that share it. More expensive to read."""
    return _field_mib(family(*roots), "smaps_rollup", "Pss:")
