# SPDX-License-Identifier: Apache-2.0
"""What the benches do with figures: medians and their spread, the machine's facts, the history, a comparison of two builds. No server."""
import datetime
import json
import math
import pathlib
from types import SimpleNamespace

import pytest

from bench import compare, history, machine
from bench.fleet_run import CpuMeter, quantile_us
from bench.isolation_modes import MODES
from bench.overload import Rounds
from bench.redis import commits_per_write
from bench.rejection import SETTLED_S, Sample, cpu_us_per_rejection
from bench.report import Figure, Report, repeated
from bench.story import NAMES
from harness.huntd_stack import ROOT, source_folder
from harness.process import ServerFailed

FILES = {
    "proc/sys/kernel/osrelease": "6.1.0",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: A CPU: the second one\nprocessor\t: 1\nmodel name\t: other\n",
    "proc/cmdline": "panic=1 mitigations=auto,nosmt psi=1",
    "proc/pressure/cpu": "some avg10=0.00",
    "sys/module/haltpoll/parameters/guest_halt_poll_ns": "50000",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
    "sys/devices/system/cpu/cpuidle/current_driver": "haltpoll",
    "sys/devices/system/cpu/cpuidle/current_governor": "haltpoll",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance",
    "sys/devices/system/cpu/vulnerabilities/spectre_v2": "Mitigation: Retpolines; IBPB: conditional; STIBP: disabled",
    "sys/devices/system/cpu/vulnerabilities/retbleed": "Not affected",
    "sys/devices/system/cpu/vulnerabilities/l1tf": "Not affected",
    "sys/devices/system/cpu/vulnerabilities/mds": "Vulnerable: Clear CPU buffers attempted, no microcode",
}


def tree_of(root: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def test_the_machines_facts_are_read(tmp_path):
    found = machine.facts(tree_of(tmp_path, FILES))
    assert found.pop("cores") >= 1
    assert found == {
        "kernel": "6.1.0", "cpu": "A CPU: the second one", "idle_driver": "haltpoll", "idle_governor": "haltpoll",
        "guest_halt_poll_ns": 50000, "cpufreq_governor": "performance", "psi": True, "transparent_hugepage": "madvise",
        "mitigations_option": "auto,nosmt",
        "mitigations": {"mds": "Vulnerable: Clear CPU buffers attempted, no microcode", "retbleed": "Not affected", "spectre_v2": "Retpolines"}}


def test_a_machine_without_these_files_has_no_such_facts(tmp_path):
    found = machine.facts(tmp_path)
    assert [found[name] for name in ("guest_halt_poll_ns", "cpufreq_governor", "transparent_hugepage", "mitigations_option")] == 4 * [None]
    assert found["psi"] is False and found["mitigations"] == {}
    line = machine.words({**found, "steal_percent": 1.26})
    assert "PSI off" in line and "guest_halt_poll_ns none" in line and line.endswith("steal during the run 1.3 %")


def test_steal_is_a_share_of_the_time_between():
    assert machine.steal_percent((10.0, 1000.0), (12.0, 1100.0)) == 2.0
    assert machine.steal_percent((10.0, 1000.0), (10.0, 1000.0)) == 0.0


def test_a_repeated_figure_is_the_median_with_its_spread(capsys):
    figure = repeated("rate", (value for value in (5.0, 1.0, 4.0, 2.0, 3.0)), "hunts/s", bar=3)
    assert figure.as_dict() == {"name": "rate", "value": 3.0, "unit": "hunts/s", "bar": 3, "ok": True, "min": 1.0, "max": 5.0, "runs": 5}
    Report("fleet", [figure, Figure("errors", 0, "responses")]).print()
    repeated_line, single_line = capsys.readouterr().out.splitlines()
    assert "3.00 hunts/s (1.00 to 5.00 in 5)" in repeated_line and "(" not in single_line


def test_a_single_figure_is_its_own_spread():
    assert {key: Figure("errors", 2, "responses").as_dict()[key] for key in ("min", "max", "runs")} == {"min": 2, "max": 2, "runs": 1}


def test_the_history_has_a_line_per_figure(tmp_path):
    facts = {"kernel": "6.1.0", "steal_percent": 0.5}
    report = Report("redis", [repeated("p99_ms", [1.0, 3.0, 2.0], "ms", 3, at_most=True), Figure("odd", math.nan, "ms")], machine=facts)
    new = history.lines(report, commit="0123456789ab", date=datetime.date(2026, 11, 30), command="./dev bench redis")
    file = tmp_path / "history.jsonl"
    history.append(new, file)
    history.append(new[:1], file)
    first, odd, again = map(json.loads, file.read_text().splitlines())
    assert first == again == {
        "date": "2026-11-30", "commit": "0123456789ab", "bench": "redis", "figure": "p99_ms", "value": 2.0, "unit": "ms", "bar": 3,
        "ok": True, "min": 1.0, "max": 3.0, "runs": 3, "command": "./dev bench redis", "machine": facts}
    assert odd["value"] is None and odd["bar"] is None


@pytest.mark.parametrize("status, rest", [
    ("", []), (" M docs/lab/history.jsonl\n", []), (" M dev\n?? bench/x.py\n M docs/lab/history.jsonl\n", ["dev", "bench/x.py"])])
def test_the_history_itself_is_no_change_of_the_tree(status, rest):
    assert history.changed_files(status) == rest


def test_the_reason_against_recording_names_what_to_do():
    assert history.reason_against([], {"HOME": "/"}) == ""
    assert "commit or stash" in history.reason_against(["dev"], {}) and "dev" in history.reason_against(["dev"], {})
    assert "a, b, c and 2 more" in history.reason_against(list("abcde"), {})
    assert "HUNTD_BUILD" in history.reason_against([], {"HUNTD_BUILD": "/elsewhere"})


def test_the_command_has_options_and_variables_of_the_bench():
    environment = {"HUNTD_BENCH_ROUNDS": "2", "HOME": "/", "HUNTD_BENCH_KAFKA": "no", "HUNTD_BUILD": "/elsewhere"}
    assert history.command_of("fleet", {"minutes": 5.0}, environment) == \
        "HUNTD_BENCH_KAFKA=no HUNTD_BENCH_ROUNDS=2 ./dev bench fleet --minutes 5"
    assert history.command_of("reconcile", {"events": 10_000_000}, {}) == "./dev bench reconcile --events 10000000"
    assert history.command_of("http", {"events": None}, {}) == "./dev bench http"


@pytest.mark.parametrize("turns, sides", [(1, "AB"), (2, "ABBA"), (3, "ABBAAB"), (5, "ABBAABBAAB")])
def test_both_builds_run_in_turns(turns, sides):
    assert compare.order(turns) == sides


def test_each_run_of_a_comparison_belongs_to_its_side():
    seen = []

    def run(side: str) -> dict:
        seen.append(side)
        return {"rate": {"value": len(seen)}}

    runs = compare.measure("ABBA", run)
    assert "".join(seen) == "ABBA"
    assert {side: [one["rate"]["value"] for one in of_side] for side, of_side in runs.items()} == {"A": [1, 4], "B": [2, 3]}


def run_of(**values) -> dict:
    return {name: {"value": value, "unit": "ms"} for name, value in values.items()}


def test_a_comparison_has_ratios_of_neighbouring_runs():
    ours, theirs = [run_of(p99=2.0), run_of(p99=8.0), run_of(p99=3.0)], [run_of(p99=4.0), run_of(p99=8.0), run_of(p99=4.0)]
    [row] = compare.rows(ours, theirs)
    assert row.ratios == [0.5, 1.0, 0.75]
    assert row.as_dict() == {
        "name": "p99", "unit": "ms", "a": {"value": 3.0, "min": 2.0, "max": 8.0, "runs": 3},
        "b": {"value": 4.0, "min": 4.0, "max": 8.0, "runs": 3}, "ratio": {"value": 0.75, "min": 0.5, "max": 1.0}}


def test_a_figure_that_one_side_lacks_or_that_is_0_has_no_ratio():
    ours = [run_of(errors=1, fork_rate=7.0, odd=None)]
    theirs = [run_of(errors=0, odd=1.0)]
    [row] = compare.rows(ours, theirs)
    assert (row.ours.name, row.ratios, row.as_dict()["ratio"]) == ("errors", [], None)


def test_the_table_has_both_sides_and_the_ratio():
    found = compare.rows([run_of(p99=2.0, errors=0), run_of(p99=3.0, errors=0)], [run_of(p99=4.0, errors=0), run_of(p99=4.0, errors=0)])
    head, p99, errors = [line.split("  ") for line in compare.table(found)]
    assert [cell.strip() for cell in head if cell.strip()] == ["figure", "A", "B", "A / B", "unit"]
    assert [cell.strip() for cell in p99 if cell.strip()] == ["p99", "2.50 (2.00 to 3.00)", "4.00 (4.00 to 4.00)", "0.62 (0.50 to 0.75)", "ms"]
    assert [cell.strip() for cell in errors if cell.strip()] == ["errors", "0.00 (0.00 to 0.00)", "0.00 (0.00 to 0.00)", "-", "ms"]


def test_the_source_tree_is_that_of_the_build(tmp_path, monkeypatch):
    (tmp_path / "src" / "core").mkdir(parents=True)
    monkeypatch.setenv("HUNTD_BUILD", str(tmp_path / "build" / "release"))
    assert source_folder() == tmp_path
    monkeypatch.setenv("HUNTD_BUILD", str(tmp_path / "elsewhere"))
    assert source_folder() == ROOT


def test_cpu_is_reported_per_hunt_the_most_expensive_process_first():
    seconds = {"cores": 1.0, "redis": 2.0}
    meter = CpuMeter(read=lambda: dict(seconds))
    seconds.update(cores=1.5, redis=2.25, workers=0.75)
    each_us = meter.each_us(10_000, {"wrk": 10.0})
    assert each_us == {"cores": 50.0, "redis": 25.0, "workers": 75.0, "wrk": 10.0}
    assert meter.words(each_us).startswith("CPU µs per hunt, 160 in all: workers 75.0, cores 50.0, redis 25.0, wrk 10.0;")


def test_goodput_is_compared_with_the_baseline_of_the_same_round():
    found = Rounds(baselines=[SimpleNamespace(rate=4000.0), SimpleNamespace(rate=2000.0)],
                   loads=[SimpleNamespace(rate=3600.0), SimpleNamespace(rate=1000.0)])
    assert found.goodput_ratios() == [0.9, 0.5]


def test_the_fair_peer_pipelines_what_huntd_has_in_a_write():
    assert [commits_per_write(*numbers) for numbers in ((100, 400), (100, 100), (160, 100), (900, 100), (5, 0))] == [1, 1, 2, 9, 5]


def test_a_rejection_costs_what_the_cores_used_once_the_queue_is_full():
    assert SETTLED_S < 1
    samples = [Sample(0.0, 1.0, 0), Sample(1.0, 3.0, 10), Sample(2.0, 4.0, 1_000), Sample(3.0, 4.5, 101_000), Sample(4.0, 9.0, 101_000)]
    assert cpu_us_per_rejection(samples) == pytest.approx(5.0)


def test_without_rejections_there_is_no_cost_of_one():
    with pytest.raises(ServerFailed, match="no rejection"):
        cpu_us_per_rejection([Sample(0.0, 1.0, 0), Sample(2.0, 2.0, 0), Sample(4.0, 3.0, 0)])
    with pytest.raises(ServerFailed, match="no rejection"):
        cpu_us_per_rejection([Sample(0.0, 1.0, 0), Sample(2.0, 2.0, 5), Sample(2.2, 3.0, 7)])


@pytest.mark.parametrize("quantile,expected", [(0.5, 10), (0.9999, 20), (1.0, 5000)])
def test_a_quantile_is_the_bound_of_its_part(quantile, expected):
    assert quantile_us([[10, 5000], [20, 5000 - 1], [5000, 1]], quantile) == expected


def test_each_isolation_mode_has_a_name_in_the_story():
    assert set(MODES) < set(NAMES)
