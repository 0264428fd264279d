"""The rungs of the isolation ladder that this huntd knows."""
import pathlib
import subprocess
import tempfile

from harness.huntd_stack import ROOT, build_folder, write_config

RUNGS = ("process", "fork", "batch")


def rung_settings(rung: str) -> dict:
    """The config of a rung; process is what every huntd does by itself."""
    return {} if rung == "process" else {"worker.isolation": rung}


def known_rungs() -> list[str]:
    known = []
    with tempfile.TemporaryDirectory() as name:
        for rung in RUNGS:
            config = pathlib.Path(name) / f"{rung}.toml"
            write_config(config, {"hunts.dir": str(ROOT / "lua"), **rung_settings(rung)})
            done = subprocess.run([str(build_folder() / "huntd"), "-t", "-c", str(config)], capture_output=True, text=True)
            if done.returncode == 0:
                known.append(rung)
            elif "worker.isolation" not in done.stdout + done.stderr:
                raise RuntimeError(f"huntd -t with {rung}: {done.stdout}{done.stderr}")
    return known
