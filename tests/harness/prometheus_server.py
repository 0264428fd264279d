# SPDX-License-Identifier: Apache-2.0
"""A Prometheus of our own (Debian's) that scrapes the given addresses every second."""
import http.client
import json
import pathlib
import urllib.parse

from harness.ports import reserve_port
from harness.process import Server, find_program


class PrometheusServer(Server):
    name = "prometheus"
    ready_timeout_s = 60.0

    def __init__(self, directory: pathlib.Path | str, targets: dict[str, str], rules: pathlib.Path | None = None):
        """`targets`: the job's name and its address. `rules`: a file of rules, which are evaluated every second."""
        super().__init__(directory)
        self.targets = targets
        self.rules = rules
        self.port = reserve_port()
        self.ports = [self.port]

    def prepare(self) -> None:
        jobs = [{"job_name": job, "static_configs": [{"targets": [address]}]} for job, address in self.targets.items()]
        # JSON is YAML.
        (self.directory / "prometheus.yml").write_text(
            json.dumps({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "scrape_configs": jobs,
                        "rule_files": [str(self.rules)] if self.rules else []}))

    def command(self) -> list[str]:
        return [find_program("prometheus"), f"--config.file={self.directory / 'prometheus.yml'}",
                f"--storage.tsdb.path={self.directory / 'data'}", f"--web.listen-address={self.port.address}"]

    def ready(self) -> bool:
        try:
            return self._get("/-/ready")[0] == 200
        except OSError:
            return False

    def query(self, expression: str) -> list[dict]:
        """The current vector of an expression; ValueError with Prometheus' message if it is not a vector."""
        answer = json.loads(self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))[1])
        if answer["status"] != "success":
            raise ValueError(f"{answer['error']}: {expression}")
        return answer["data"]["result"]

    def alerting_rules(self) -> list[dict]:
        """Every rule, with `health`, `state`, and `alerts`: those that are pending or firing, with their texts."""
        groups = json.loads(self._get("/api/v1/rules?type=alert")[1])["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def metric_names(self) -> set[str]:
        """Every name that a scrape has brought."""
        return set(json.loads(self._get("/api/v1/label/__name__/values")[1])["data"])

    def _get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", int(self.port), timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()
