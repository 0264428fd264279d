"""How much memory servers have: RSS added up, so pages that processes share count once for each."""
import pathlib

from harness.process import children_of

MIB = 1024 * 1024


def family_of(pid: int) -> list[int]:
    """A process and every process under it."""
    found, rest = [], [pid]
    while rest:
        found.append(rest.pop())
        rest += children_of(found[-1])
    return found


def rss_mib(*roots: int) -> float:
    """RSS of these processes and all under them, in MiB."""
    total = 0
    for pid in (pid for root in roots for pid in family_of(root)):
        try:
            status = pathlib.Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a worker that has ended meanwhile
        total += sum(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))
    return total / MIB
