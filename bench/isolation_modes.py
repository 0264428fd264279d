# SPDX-License-Identifier: Apache-2.0
"""The isolation modes that this huntd knows."""
import pathlib
import subprocess
import tempfile

from harness.huntd_stack import ROOT, build_folder, write_config

MODES = ("process", "fork", "task", "batch")


def isolation_settings(mode: str) -> dict:
    """The config of an isolation mode; process is the default."""
    return {} if mode == "process" else {"worker.isolation": mode}


def known_modes() -> list[str]:
    known = []
    with tempfile.TemporaryDirectory() as name:
        for mode in MODES:
            config = pathlib.Path(name) / f"{mode}.toml"
            write_config(config, {"hunts.dir": str(ROOT / "lua"), **isolation_settings(mode)})
            done = subprocess.run([str(build_folder() / "huntd"), "-t", "-c", str(config)], capture_output=True, text=True)
            if done.returncode == 0:
                known.append(mode)
            elif "worker.isolation" not in done.stdout + done.stderr:
                raise RuntimeError(f"huntd -t with {mode}: {done.stdout}{done.stderr}")
    return known
