# SPDX-License-Identifier: Apache-2.0
"""/metrics passes `promtool check metrics`, Prometheus' own linter.

    check_promtool.py PRINT_SAMPLE      exit 77: skipped
"""
import re
import shutil
import subprocess
import sys

if shutil.which("promtool") is None:
    print("skipped: no promtool (Debian package prometheus)")
    sys.exit(77)
metrics = subprocess.run([sys.argv[1], "metrics"], check=True, capture_output=True).stdout
linted = subprocess.run(["promtool", "check", "metrics"], input=metrics, capture_output=True)
sys.stdout.write(linted.stdout.decode() + linted.stderr.decode())
if linted.returncode != 0 or linted.stdout or linted.stderr:
    sys.exit("promtool found faults")
if re.search(rb'[{,]hunter(_id)?="', metrics):
    sys.exit("a hunter is named in /metrics")
