# SPDX-License-Identifier: Apache-2.0
"""What a machine has that changes figures: its CPUs, how they idle, the mitigations, what the kernel accounts, and the CPU time that
the hypervisor gave to others (steal). Read from /proc and /sys; what a kernel does not have is None."""
import os
import pathlib
import platform

UNAFFECTED = "Not affected"


def _read(file: pathlib.Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:  # the file may be there and yet not readable, as /proc/pressure with psi=0
        return None


def cpu_model(cpuinfo: str) -> str:
    return next((line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")), "?")


def chosen(text: str | None) -> str | None:
    """The word in brackets of "always [madvise] never"."""
    return text.partition("[")[2].partition("]")[0] or None if text else None


def mitigation(text: str) -> str:
    """A file of vulnerabilities/ in short: "Mitigation: Retpolines; IBPB: conditional" is "Retpolines"."""
    return text.removeprefix("Mitigation: ").split(";")[0].strip()


def facts(root: pathlib.Path = pathlib.Path("/")) -> dict:
    """`root` has proc/ and sys/. `mitigations` has each known weakness of CPUs, also those that this one does not have."""
    processor = root / "sys" / "devices" / "system" / "cpu"
    folder = processor / "vulnerabilities"
    halt_poll_ns = _read(root / "sys" / "module" / "haltpoll" / "parameters" / "guest_halt_poll_ns")
    return {
        "kernel": _read(root / "proc" / "sys" / "kernel" / "osrelease") or platform.release(),
        "cpu": cpu_model(_read(root / "proc" / "cpuinfo") or ""),
        "cores": len(os.sched_getaffinity(0)),
        "idle_driver": _read(processor / "cpuidle" / "current_driver"),
        "idle_governor": _read(processor / "cpuidle" / "current_governor"),
        "guest_halt_poll_ns": int(halt_poll_ns) if halt_poll_ns is not None else None,
        "cpufreq_governor": _read(processor / "cpu0" / "cpufreq" / "scaling_governor"),
        "psi": _read(root / "proc" / "pressure" / "cpu") is not None,
        "transparent_hugepage": chosen(_read(root / "sys" / "kernel" / "mm" / "transparent_hugepage" / "enabled")),
        "mitigations": {file.name: mitigation(_read(file) or "?") for file in sorted(folder.iterdir())} if folder.is_dir() else {}}


def words(found: dict) -> str:
    """One line. Weaknesses that the CPU does not have are left out, but for spectre_v2 and retbleed."""
    def known(name: str) -> str:
        return "none" if found[name] is None else str(found[name])

    shown = [f"{name}: {state}" for name, state in found["mitigations"].items()
             if state != UNAFFECTED or name in ("spectre_v2", "retbleed")]
    line = (f"{found['cores']} × {found['cpu']}, Linux {found['kernel']}; idle driver {known('idle_driver')}, governor "
            f"{known('idle_governor')}, guest_halt_poll_ns {known('guest_halt_poll_ns')}; cpufreq governor {known('cpufreq_governor')}; "
            f"PSI {'on' if found['psi'] else 'off'}; huge pages {known('transparent_hugepage')}; mitigations: "
            f"{', '.join(shown) or 'unknown'}")
    return line + (f"; steal during the run {found['steal_percent']:.1f} %" if "steal_percent" in found else "")


def steal_percent(before: tuple[float, float], after: tuple[float, float]) -> float:
    """How much of the machine's CPU time the hypervisor gave to others between two results of processes.machine_cpu()."""
    whole = after[1] - before[1]
    return 100 * (after[0] - before[0]) / whole if whole else 0.0
