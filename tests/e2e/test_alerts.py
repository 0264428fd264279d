# SPDX-License-Identifier: Apache-2.0
"""The alerts in docs/prometheus: promtool's unit tests of each rule, their runbooks in docs/operations.md, that huntd and
hunt-aggregator export what the rules read, and failures of a real stack that a real Prometheus must notice."""
import functools
import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
import yaml

from client import run_hunt
from harness.huntd_stack import ROOT, build_folder, http_get
from harness.process import wait_until
from harness.prometheus_server import PrometheusServer
from lint.docs import anchor_of

STACK = {"aggregator": True}
RULES = ROOT / "docs" / "prometheus" / "huntd-alerts.yaml"
CASES = ROOT / "tests" / "e2e" / "alert_cases.yaml"
METRICS = ROOT / "docs" / "metrics.md"
ALERTS = {rule["alert"]: rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
# Alerts that a busy machine, and not a fault, may make pending in the tests.
BUSY_MACHINE = {"HuntdLatencyHigh", "HuntdRedisCommitSlow", "HuntdLongTicks", "HuntAggregatorMergesSlow"}

NAME = re.compile(r"\b(?:huntd|hunt_aggregator)_[a-z0-9_]+\b")
SELECTOR = re.compile(r"\b((?:huntd|hunt_aggregator)_[a-z0-9_]+){([^}]*)}")
MATCHER = re.compile(r'(\w+)(=~|=)"([^"]*)"')


def names_in(expression: str) -> set[str]:
    """The metrics of an expression; of a histogram the name without _bucket, _sum or _count."""
    return {re.sub(r"(_seconds)_(?:bucket|sum|count)$", r"\1", name) for name in NAME.findall(expression)}


def documented_metrics() -> set[str]:
    """The names in the generated tables of docs/metrics.md, which lint compares with the programs."""
    return set(re.findall(r"^\| `((?:huntd|hunt_aggregator)_\w+)` \| (?:counter|gauge|histogram) \|", METRICS.read_text(), re.M))


@functools.lru_cache
def runbooks() -> dict[str, tuple[list[str], str]]:
    """By anchor: the alerts that the heading names, and the text."""
    chapter = re.search(r"(?ms)^## Alerts\n(.*?)^## ", (ROOT / "docs" / "operations.md").read_text())[1]
    return {anchor_of(heading): (heading.split(", "), text)
            for heading, text in re.findall(r"(?ms)^### (.+?)\n(.*?)(?=^### |\Z)", chapter)}


@functools.lru_cache
def cases() -> list[dict]:
    return yaml.safe_load(CASES.read_text())["tests"]


def cases_of(alert: str) -> list[dict]:
    """What is expected of ALERTS{alertname="…"}, at each time, with the series that it is computed from."""
    return [{**check, "series": [series["series"] for series in case["input_series"]]}
            for case in cases() for check in case["promql_expr_test"]
            if f'alertname="{alert}"' in check["expr"]]


def promtool(*words: str, folder: pathlib.Path = ROOT) -> subprocess.CompletedProcess:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool (Debian package prometheus)")
    return subprocess.run(["promtool", *words], cwd=folder, capture_output=True, text=True, timeout=600)


def test_promtool_accepts_the_rules():
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))
    assert done.returncode == 0 and f"{len(ALERTS)} rules found" in done.stdout, done.stdout + done.stderr


def test_each_rule_fires_when_its_cases_say_and_not_otherwise():
    done = promtool("test", "rules", str(CASES))
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_that_fires_and_one_beside_it_that_does_not(alert):
    cases = cases_of(alert)
    assert any(case["exp_samples"] for case in cases)
    beside = [case for case in cases if not case["exp_samples"]]
    assert any(names_in(ALERTS[alert]["expr"]) & names_in(" ".join(case["series"])) or "up{" in str(case["series"]) for case in beside)


@pytest.mark.parametrize("alert", ALERTS)
def test_each_label_in_a_text_is_one_that_the_alert_has(alert):
    for case in cases_of(alert):
        for sample in case["exp_samples"]:
            given = set(re.findall(r'(\w+)="', sample["labels"])) - {"alertname", "alertstate", "severity"}
            for text in (ALERTS[alert]["annotations"]["summary"], ALERTS[alert]["annotations"]["description"]):
                wanted = set(re.findall(r"{{ \$labels\.(\w+)", text))
                assert wanted <= given, text


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_severity_texts_and_a_runbook(alert):
    rule = ALERTS[alert]
    assert rule["labels"] in ({"severity": "critical"}, {"severity": "warning"})
    assert set(rule["annotations"]) == {"summary", "description", "runbook"} and all(rule["annotations"].values())
    document, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert document == "docs/operations.md"
    named, text = runbooks()[anchor]
    assert alert in named
    means, look, do = (re.search(rf"(?ms)^- {word}: (.+?)(?=^- |\Z)", text) for word in ("Means", "Look", "Do"))
    assert means and do and "`" in look[1], "what it means, commands to look with, what to do"


def test_every_runbook_is_of_an_alert():
    assert {alert for named, _ in runbooks().values() for alert in named} == set(ALERTS)


def test_the_commands_of_runbooks_exist():
    manual = (ROOT / "docs" / "man" / "huntctl.1").read_text()
    commands = {re.sub(r" .*", "", name) for name in re.findall(r"^\.It Nm Cm ([\w -]+?)(?: O[op]| F[l]| Ar|$)", manual, re.M)}
    used = {name for _, text in runbooks().values() for name in re.findall(r"`huntctl ([a-z-]+)", text)}
    assert used <= commands, used - commands


def test_the_log_lines_that_runbooks_look_for_exist():
    sources = "\n".join(path.read_text() for path in sorted((ROOT / "src").rglob("*.cc"))).lower()
    wanted = [words for _, text in runbooks().values()
              for words in re.findall(r"`journalctl -u [\w-]+ -g '([^']+)'", text)]
    assert wanted
    assert [part for words in wanted for part in words.split("|") if not re.search(rf'"[^"\n]*{re.escape(part.lower())}', sources)] == []


def test_each_metric_of_a_rule_is_documented():
    used = set().union(*(names_in(rule["expr"]) for rule in ALERTS.values()))
    assert used <= documented_metrics(), used - documented_metrics()


def test_the_jobs_are_those_of_the_documented_scrape_config():
    jobs = {name for rule in ALERTS.values() for name in re.findall(r'job="([^"]+)"', rule["expr"])}
    assert jobs == set(re.findall(r"job_name: (\S+)", METRICS.read_text()))


# --- with a real Prometheus and a real stack ----------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def prometheus(stack, tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus (Debian package prometheus)")
    for number in range(5):
        assert run_hunt(stack.http, "gold", f"seen-{number}").status == 200
    targets = {"huntd": stack.admin, "hunt-aggregator": stack.aggregator_address}
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), targets, RULES) as server:
        wait_until(lambda: len(server.query("count_over_time(up[1m]) >= 3 and up == 1")) == 2, 60, "three scrapes of both", 0.2)
        yield server


def active(prometheus) -> dict[str, list[dict]]:
    """The alerts that are pending or firing, by name."""
    return {rule["name"]: rule["alerts"] for rule in prometheus.alerting_rules() if rule["alerts"]}


def wait_for_alert(prometheus, alert: str) -> dict:
    """Until it is pending (its `for` runs) or firing; its texts must have been filled in."""
    wait_until(lambda: alert in active(prometheus), 60, alert, 0.2)
    seen = active(prometheus)[alert][0]
    for text in seen["annotations"].values():
        assert not re.search(r"{{|<error|<no value>|%!", text), text
    return seen


def wait_until_over(prometheus, alert: str) -> None:
    wait_until(lambda: alert not in active(prometheus), 60, f"the end of {alert}", 0.2)


def test_a_well_stack_alerts_about_nothing(prometheus):
    rules = prometheus.alerting_rules()
    assert {rule["name"] for rule in rules} == set(ALERTS)
    wait_until(lambda: all(rule["health"] == "ok" for rule in prometheus.alerting_rules()), 60, "an evaluation of each rule", 0.2)
    assert set(active(prometheus)) <= BUSY_MACHINE


def test_each_metric_of_a_rule_is_exported(stack):
    exported = {name for address in (stack.admin, stack.aggregator_address)
                for name in re.findall(r"^# TYPE (\S+) ", http_get(address, "/metrics")[1], re.M)}
    used = set().union(*(names_in(rule["expr"]) for rule in ALERTS.values()))
    assert used <= exported, used - exported


def test_each_label_value_of_a_rule_is_exported(prometheus):
    for alert, rule in ALERTS.items():
        for name, matchers in SELECTOR.findall(rule["expr"]):
            for label, operator, value in MATCHER.findall(matchers):
                found = {sample["metric"].get(label) for sample in prometheus.query(name)}
                for wanted in value.split("|") if operator == "=~" else [re.escape(value)]:
                    assert any(has and re.fullmatch(wanted, has) for has in found), f"{alert}: {name} has no {label}={wanted}"


def test_a_script_that_fails_is_named(stack, prometheus):
    # Prometheus has to see a series before it can see it grow.
    def failed_and_seen() -> bool:
        assert run_hunt(stack.http, "broken", "ann").status == 500
        return "HuntdScriptFails" in active(prometheus)

    wait_until(failed_and_seen, 60, "the alert", 0.2)
    seen = wait_for_alert(prometheus, "HuntdScriptFails")
    assert seen["labels"]["hunt"] == "broken" and seen["annotations"]["summary"].startswith("broken.lua, line ")
    assert "HuntdServerErrors" in active(prometheus)


def test_a_core_that_is_stopped_and_one_that_dies(stack, prometheus):
    pid = stack.core_pids()[0]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert wait_for_alert(prometheus, "HuntdCoreStalled")["state"] == "firing"
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until_over(prometheus, "HuntdCoreStalled")
    os.kill(pid, signal.SIGKILL)
    assert wait_for_alert(prometheus, "HuntdCoreRestarted")["state"] == "firing"


def huntctl(stack, *words: str) -> None:
    subprocess.run([str(build_folder() / "huntctl"), "-c", str(stack.config), *words], check=True, capture_output=True, timeout=60)


def test_a_host_that_is_drained(stack, prometheus):
    huntctl(stack, "drain")
    try:
        wait_for_alert(prometheus, "HuntdDrained")
    finally:
        huntctl(stack, "undrain")
    wait_until_over(prometheus, "HuntdDrained")


def test_a_reload_that_is_rejected(stack, prometheus):
    deadline_ms = stack.settings["worker.deadline_ms"]
    stack.set(worker__deadline_ms=0)
    try:
        stack.huntd.signal(signal.SIGHUP)
        wait_for_alert(prometheus, "HuntdReloadRejected")
    finally:
        stack.set(worker__deadline_ms=deadline_ms)
    huntctl(stack, "reload")
    wait_until_over(prometheus, "HuntdReloadRejected")


def test_postgres_stops(stack, prometheus):
    stack.postgres.kill()
    try:
        wait_for_alert(prometheus, "HuntAggregatorPostgresUnavailable")
    finally:
        stack.postgres.start()
    wait_until_over(prometheus, "HuntAggregatorPostgresUnavailable")


def test_redis_stops_and_comes_back_as_another(stack, prometheus):
    stack.redis.kill()
    try:
        wait_until(lambda: "2 cores of" in wait_for_alert(prometheus, "HuntdRedisUnavailable")["annotations"]["summary"], 60,
                   "both cores in the summary", 0.2)
        wait_for_alert(prometheus, "HuntAggregatorSourceUnavailable")
    finally:
        stack.redis.start()
    wait_until_over(prometheus, "HuntdRedisUnavailable")
    assert wait_for_alert(prometheus, "HuntdRedisLineageChanged")["state"] == "firing"


def test_an_aggregator_and_huntd_that_do_not_answer(stack, prometheus):
    stack.aggregator.kill()
    stack.huntd.kill()
    for alert in ("HuntdDown", "HuntAggregatorDown", "HuntAggregatorAllDown"):
        wait_for_alert(prometheus, alert)
