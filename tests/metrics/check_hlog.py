# SPDX-License-Identifier: Apache-2.0
"""An independent reader of HdrHistogram logs (hdr-histogram-js, from npm) finds the percentiles of /latency.json in
/latency.hlog.

    check_hlog.py PRINT_SAMPLE NODE_FOLDER      exit 77: skipped

NODE_FOLDER keeps the package between runs.
"""
import json
import os
import pathlib
import shutil
import subprocess
import sys

PACKAGE = "hdr-histogram-js@3.0.1"

print_sample, node_folder = sys.argv[1], pathlib.Path(sys.argv[2])
for program in ("node", "npm"):
    if shutil.which(program) is None:
        print(f"skipped: no {program} (Debian packages nodejs and npm)")
        sys.exit(77)
modules = node_folder / "node_modules"
if not (modules / "hdr-histogram-js").is_dir():
    node_folder.mkdir(parents=True, exist_ok=True)
    install = subprocess.run(
        ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(node_folder), PACKAGE],
        capture_output=True, text=True)
    if install.returncode != 0:
        print(f"skipped: npm can't install {PACKAGE}: {install.stderr.strip()[-400:]}")
        sys.exit(77)

log = subprocess.run([print_sample, "hlog"], check=True, capture_output=True).stdout
latency = json.loads(subprocess.run([print_sample, "latency"], check=True, capture_output=True).stdout)
decoder = pathlib.Path(__file__).with_name("decode_hlog.js")
decoded = json.loads(subprocess.run(["node", str(decoder)], input=log, check=True, capture_output=True,
                                    env={**os.environ, "NODE_PATH": str(modules)}).stdout)

wrong = []
tags = set()
for core in latency["cores"]:
    for stage, figures in core["stages"].items():
        tag = f"core{core['core']}.{stage}"
        if figures["count"] == 0:
            continue
        tags.add(tag)
        got = decoded.get(tag)
        if got is None:
            wrong.append(f"{tag}: not in the log")
            continue
        if got["count"] != figures["count"]:
            wrong.append(f"{tag}: count {got['count']}, not {figures['count']}")
        for name in ("p50", "p90", "p99", "p99_9", "max"):
            want_us = figures[f"{name}_us"]
            if abs(got[name] / 1000 - want_us) > 0.0005 + 1e-9 * want_us:
                wrong.append(f"{tag}: {name} {got[name] / 1000} us, not {want_us}")
        # The log's mean is of the cells' middles, ours of the exact values.
        if abs(got["mean"] / 1000 - figures["mean_us"]) > 0.032 + figures["mean_us"] / 1000:
            wrong.append(f"{tag}: mean {got['mean'] / 1000} us, not {figures['mean_us']}")
        if not 59_000 <= got["end_ms"] - got["start_ms"] <= 120_000:
            wrong.append(f"{tag}: interval {got['end_ms'] - got['start_ms']} ms, not about a minute")
if set(decoded) != tags:
    wrong.append(f"tags in the log: {sorted(decoded)}, expected {sorted(tags)}")
print(f"{len(tags)} histograms compared")
if wrong:
    sys.exit("\n".join(wrong))
