# SPDX-License-Identifier: Apache-2.0
"""The units: systemd's own check passes on an installed tree, and lost hardening is noticed."""
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
UNITS = ["huntd.service", "huntd.socket", "hunt-aggregator.service"]

pytestmark = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze (package systemd)")


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> pathlib.Path:
    """The units as installed, with programs at the paths in them: systemd-analyze checks both."""
    root = tmp_path_factory.mktemp("units")
    for unit in UNITS:
        text = (ROOT / "systemd" / unit).read_text()
        for program in set(re.findall(r"/usr/local/bin/[\w-]+", text)):
            stand_in = root / pathlib.Path(program).name
            stand_in.write_text("#!/bin/sh\n")
            stand_in.chmod(0o755)
            text = text.replace(program, str(stand_in))
        (root / unit).write_text(text)
    return root


@pytest.mark.parametrize("unit", UNITS)
def test_systemd_finds_nothing_wrong_with_the_unit(tree, unit):
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(tree / unit)],
                          capture_output=True, text=True, timeout=60)
    # Lines about other units of this machine are not ours.
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "hunt" in line]
    assert not ours and done.returncode == 0, done.stdout + done.stderr


def test_a_misspelt_setting_would_be_found(tree):
    broken = tree / "broken-huntd.service"
    broken.write_text((tree / "huntd.service").read_text().replace("WatchdogSec=", "WatchdogSecs="))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(broken)],
                          capture_output=True, text=True, timeout=60)
    assert "WatchdogSecs" in done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["huntd.service", "hunt-aggregator.service"])
def test_systemds_exposure_rating_stays_ok(tree, unit):
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20",
                           str(tree / unit)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:]
    assert "OK" in done.stdout.splitlines()[-1], done.stdout[-300:]
