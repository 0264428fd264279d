# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboards in docs/grafana, each panel's queries put to a real Prometheus that scrapes a real huntd and a real
hunt-aggregator."""
import json
import re
import shutil

import pytest

from client import run_hunt
from harness.huntd_stack import ROOT, http_get
from harness.process import wait_until
from harness.prometheus_server import PrometheusServer

STACK = {"aggregator": True}
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "grafana").glob("*.json"))}
# Names, except functions (a parenthesis follows), label names and text in braces or quotes.
METRIC = re.compile(r"\b(?:huntd|hunt_aggregator)_[a-z0-9_]+\b")


def panels_of(dashboard: dict) -> list[dict]:
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


QUERIES = [(name, panel["title"], target["expr"]) for name, dashboard in DASHBOARDS.items()
           for panel in panels_of(dashboard) for target in panel["targets"]]


@pytest.fixture(scope="module")
def prometheus(stack, tmp_path_factory):
    if shutil.which("prometheus") is None:
        pytest.skip("no prometheus (Debian package prometheus)")
    for number in range(20):
        assert run_hunt(stack.http, "gold", f"seen-{number}").status == 200
        assert run_hunt(stack.http, "broken", f"seen-{number}").status == 500
    targets = {"huntd": stack.admin, "hunt-aggregator": stack.aggregator_address}
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), targets) as server:
        # rate() needs two scrapes of each, and the sums a merge.
        wait_until(lambda: len(server.query("count_over_time(up[1m]) >= 3 and up == 1")) == 2, 60, "three scrapes of both", 0.2)
        wait_until(lambda: server.query("hunt_aggregator_rows_merged_total > 0"), 60, "a merge in a scrape", 0.2)
        yield server


def as_asked(expression: str) -> str:
    """With Grafana's variables filled in as Grafana does for "All" instances and hunts."""
    return expression.replace("$__rate_interval", "1m").replace("$instance", ".+").replace("$hunt", ".+")


@pytest.mark.parametrize("dashboard,panel,expression", QUERIES)
def test_each_panel_queries_an_existing_metric(prometheus, dashboard, panel, expression):
    for name in METRIC.findall(expression):
        assert name in prometheus.metric_names(), f"{panel}: there is no {name}"
    assert prometheus.query(as_asked(expression)) != [], f"{panel}: nothing comes back"


@pytest.mark.parametrize("dashboard,panel,expression", QUERIES)
def test_each_label_that_a_panel_shows_exists(prometheus, dashboard, panel, expression):
    legend = next(target["legendFormat"] for shown in panels_of(DASHBOARDS[dashboard]) if shown["title"] == panel
                  for target in shown["targets"] if target["expr"] == expression)
    for sample in prometheus.query(as_asked(expression)):
        assert set(re.findall(r"{{(\w+)}}", legend)) <= set(sample["metric"])


@pytest.mark.parametrize("name", DASHBOARDS)
def test_each_variable_has_values(prometheus, name):
    for variable in DASHBOARDS[name]["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
            assert all(sample["metric"][label] for sample in prometheus.query(metric)) and prometheus.query(metric) != []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_do_not_overlap(name):
    taken = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in DASHBOARDS[name]["panels"]]
    assert len(ids) == len(set(ids))


def test_every_metric_of_huntd_and_the_aggregator_is_on_a_panel(stack):
    shown = set(METRIC.findall(" ".join(expression for _, _, expression in QUERIES)))
    for address in (stack.admin, stack.aggregator_address):
        declared = re.findall(r"^# TYPE (\S+) (\S+)", http_get(address, "/metrics")[1], re.M)
        assert declared
        for name, kind in declared:
            names = {f"{name}_bucket", f"{name}_count"} if kind == "histogram" else {name}
            assert names & shown, f"no panel shows {name}"
