# SPDX-License-Identifier: Apache-2.0
"""Karapace's REST proxy (bench/make_karapace.sh installs it), which huntd's produce call is compared with."""
import json
import os
import pathlib
import signal
import subprocess

from harness.huntd_stack import ROOT, http_get
from harness.ports import reserve_port
from harness.process import Server

FOLDER = pathlib.Path(os.environ.get("HUNTD_KARAPACE", ROOT / "build" / "deps" / "karapace"))
PROGRAM = FOLDER / "venv" / "bin" / "karapace"


def why_no_karapace() -> str:
    """The reason why it can't be started; empty if it can."""
    if PROGRAM.exists():
        return ""
    reason = FOLDER / "why-not"
    return "no Karapace: " + (reason.read_text().strip() if reason.exists() else "./dev setup peers installs it if it is available")


class KarapaceServer(Server):
    name = "karapace"
    ready_timeout_s = 60.0
    stop_signal = signal.SIGKILL  # it has no data to keep, and SIGTERM took longer than 20 s after a load

    def __init__(self, directory: pathlib.Path | str, bootstrap: str, *, linger_ms: int = 5):
        """Its own settings, but for how it produces: as huntd does, acknowledged by all replicas, lz4, `linger_ms`."""
        super().__init__(directory)
        self.port = reserve_port()
        self.ports = [self.port]
        self.settings = {"host": "127.0.0.1", "port": int(self.port), "bootstrap_uri": bootstrap, "karapace_rest": True,
                         "karapace_registry": False, "log_level": "WARNING", "producer_acks": -1,
                         "producer_compression_type": "lz4", "producer_linger_ms": linger_ms}

    @property
    def address(self) -> str:
        return self.port.address

    @staticmethod
    def version() -> str:
        return subprocess.run([str(PROGRAM), "--version"], capture_output=True, text=True, timeout=60).stdout.strip()

    def prepare(self) -> None:
        (self.directory / "config.json").write_text(json.dumps(self.settings))

    def command(self) -> list[str]:
        return [str(PROGRAM), str(self.directory / "config.json")]

    def ready(self) -> bool:
        try:
            return http_get(self.address, "/")[0] == 200
        except OSError:
            return False
