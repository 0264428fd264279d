# SPDX-License-Identifier: Apache-2.0
"""docs/openapi.yaml is valid OpenAPI 3.1, by @redocly/cli (an independent reader, from npm) with its strictest rules, and a
real huntd answers as it says."""
import http.client
import json
import os
import pathlib
import shutil
import subprocess

import jsonschema
import pytest
import yaml

from conftest import PATIENT
from harness.huntd_stack import ROOT, HuntdStack

PACKAGE = "@redocly/cli@1.34.5"  # the last line that runs on Debian 12's Node.js 18
FOLDER = ROOT / "build" / "deps" / "node" / "redocly"  # a folder of its own: npm removes files of other packages


@pytest.fixture(scope="module")
def redocly() -> pathlib.Path:
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program} (Debian packages nodejs and npm)")
    program = FOLDER / "node_modules" / ".bin" / "redocly"
    if not program.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        install = subprocess.run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(FOLDER),
                                  PACKAGE], capture_output=True, text=True)
        if install.returncode != 0:
            pytest.skip(f"npm can't install {PACKAGE}: {install.stderr.strip()[-400:]}")
    return program


def lint(redocly: pathlib.Path, file: pathlib.Path) -> dict:
    environment = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run([str(redocly), "lint", "--extends", "recommended-strict", "--format", "json", str(file)],
                          capture_output=True, text=True, env=environment, cwd=FOLDER)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_openapi_yaml_is_valid(redocly):
    report = lint(redocly, ROOT / "docs" / "openapi.yaml")
    assert report["problems"] == []
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}


def test_the_linter_finds_a_fault(redocly, tmp_path):
    broken = tmp_path / "openapi.yaml"
    broken.write_text((ROOT / "docs" / "openapi.yaml").read_text().replace("#/components/schemas/Held", "#/components/schemas/Hel"))
    assert lint(redocly, broken)["totals"]["errors"] > 0


# One request for each kind of response: method, path in the file, real path, headers, body, and the expected status.
HUNT = "/v1/hunts/{hunt_id}/hunters/{hunter_id}"
TOPIC = "/topics/{topic}"
RECORDS = {"Content-Type": "application/vnd.kafka.json.v2+json"}
REQUESTS = [
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"Idempotency-Key": "k"}, None, 200),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"Idempotency-Key": "k"}, None, 200),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"Idempotency-Key": "k"}, "1", 409),
    ("get", HUNT, "/v1/hunts/give/hunters/a", {}, None, 200),
    ("get", HUNT, "/v1/hunts/give/hunters/unknown", {}, None, 200),
    ("post", HUNT, "/v1/hunts/reject/hunters/a", {}, None, 422),
    ("post", HUNT, "/v1/hunts/fail/hunters/a", {}, None, 500),
    ("post", HUNT, "/v1/hunts/spin/hunters/a", {}, None, 504),
    ("post", HUNT, "/v1/hunts/none/hunters/a", {}, None, 404),
    ("post", HUNT, "/v1/hunts/give/hunters/a%20b", {}, None, 400),
    ("post", HUNT, "/v1/hunts/give/hunters/..", {}, None, 400),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {}, "{", 400),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"Content-Type": "text/plain"}, "1", 415),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {}, " " * 16385, 413),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"X": "x" * 8192}, None, 431),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"Expect": "more"}, None, 417),
    ("post", HUNT, "/v1/hunts/give/hunters/a", {"Transfer-Encoding": "gzip"}, None, 501),
    ("post", TOPIC, "/topics/loot_events", RECORDS, "{}", 404),  # there is no Kafka here
    ("post", TOPIC, "/topics/loot_events", {"Content-Type": "text/plain"}, "{}", 415),
    ("post", TOPIC, "/topics/loot_events", RECORDS, " " * 16385, 413),
    ("post", TOPIC, "/topics/loot_events", {"Expect": "more"}, None, 417),
    ("post", TOPIC, "/topics/loot_events", {"Transfer-Encoding": "gzip"}, None, 501),
    ("get", "/v1/core-map", "/v1/core-map", {}, None, 200),
]
SCRIPTS = {
    "give": 'return function(hunt) hunt.award("coin") return {n = 1} end',
    "reject": 'return function(hunt) hunt.reject("no") end',
    "fail": "return function(hunt) error('oh') end",
    "spin": "return function(hunt) while true do end end",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openapi")
    hunts = folder / "hunts"
    hunts.mkdir()
    for name, text in SCRIPTS.items():
        (hunts / f"{name}.lua").write_text(text + "\n")
    with HuntdStack(folder / "stack", cores=1, aggregator=False, hunts=hunts, settings=PATIENT) as stack:
        yield stack.http


@pytest.fixture(scope="module")
def openapi() -> dict:
    return yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text())


def resolved(openapi: dict, node: dict) -> dict:
    while "$ref" in node:
        path, node = node["$ref"].removeprefix("#/").split("/"), openapi
        for step in path:
            node = node[step]
    return node


@pytest.mark.parametrize("method,documented,path,headers,body,status", REQUESTS)
def test_huntd_responds_as_openapi_yaml_says(address, openapi, method, documented, path, headers, body, status):
    connection = http.client.HTTPConnection(*address.split(":"), timeout=20)
    connection.request(method.upper(), path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status == status, text
    output = resolved(openapi, openapi["paths"][documented][method]["responses"][str(status)])
    assert list(output["content"]) == [answer.getheader("Content-Type")]
    value = json.loads(text)
    schema = output["content"][answer.getheader("Content-Type")]["schema"]
    resolver = jsonschema.RefResolver(base_uri="", referrer=openapi)
    jsonschema.Draft202012Validator(schema, resolver=resolver).validate(value)
    known = set(resolved(openapi, schema)["properties"])
    assert set(value) <= known, "a member that openapi.yaml does not name"
    for name, header in output.get("headers", {}).items():
        text = answer.getheader(name)
        assert text is not None, f"{name} is missing"
        kind = resolved(openapi, header)["schema"]
        jsonschema.Draft202012Validator(kind, resolver=resolver).validate(int(text) if kind.get("type") == "integer" else text)
