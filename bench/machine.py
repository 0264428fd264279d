# SPDX-License-Identifier: Apache-2.0
"""What a machine has that changes figures: its CPUs, how they idle, the mitigations, what the kernel accounts, and the CPU time that
the hypervisor gave to others (steal). Read from /proc and /sys; what a kernel does not have is None."""
import os
import pathlib
import platform

UNAFFECTED = "Not affected"
ALWAYS = ("spectre_v2", "retbleed")  # the most expensive ones: reported also if the CPU does not have them


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


def mitigations(folder: pathlib.Path) -> dict[str, str]:
    """What the kernel does against each weakness that this CPU has."""
    states = {file.name: mitigation(_read(file) or "?") for file in sorted(folder.iterdir())} if folder.is_dir() else {}
    return {name: state for name, state in states.items() if state != UNAFFECTED or name in ALWAYS}


def option_of(command_line: str, name: str) -> str | None:
    """The value of a word NAME=VALUE of the kernel's command line."""
    return next((word.removeprefix(f"{name}=") for word in command_line.split() if word.startswith(f"{name}=")), None)


def facts(root: pathlib.Path = pathlib.Path("/")) -> dict:
    """`root` has proc/ and sys/."""
    processor = root / "sys" / "devices" / "system" / "cpu"
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
        "mitigations_option": option_of(_read(root / "proc" / "cmdline") or "", "mitigations"),
        "mitigations": mitigations(processor / "vulnerabilities")}


def words(found: dict) -> str:
    """The facts in one line."""
    def known(name: str) -> str:
        return "none" if found[name] is None else str(found[name])

    states = ", ".join(f"{name}: {state}" for name, state in found["mitigations"].items())
    line = (f"{found['cores']} × {found['cpu']}, Linux {found['kernel']}; idle driver {known('idle_driver')}, governor "
            f"{known('idle_governor')}, guest_halt_poll_ns {known('guest_halt_poll_ns')}; cpufreq governor {known('cpufreq_governor')}; "
            f"PSI {'on' if found['psi'] else 'off'}; huge pages {known('transparent_hugepage')}; mitigations="
            f"{known('mitigations_option')}: {states or 'unknown'}")
    return line + (f"; steal during the run {found['steal_percent']:.1f} %" if "steal_percent" in found else "")


def steal_percent(before: tuple[float, float], after: tuple[float, float]) -> float:
    """How much of the machine's CPU time the hypervisor gave to others between two results of processes.machine_cpu()."""
    whole = after[1] - before[1]
    return 100 * (after[0] - before[0]) / whole if whole else 0.0
