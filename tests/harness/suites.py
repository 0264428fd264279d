# SPDX-License-Identifier: Apache-2.0
"""The suites of `./dev test`: their packages and builds, how they run, and how their tests are counted.

A suite is one of the built-in ones or a pytest file: tests/e2e/test_hunts.py is the suite hunts. A pytest module's marks say how it
is run (pyproject.toml): `pytestmark = pytest.mark.alone(reason="...")`.
"""
import argparse
import ast
import concurrent.futures
import functools
import importlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass, field

from harness import kafka_server
from harness.huntd_stack import ROOT
from harness.previous_build import VARIABLE, build_of
from harness.process import ServerFailed
from harness.tree import TreeUnavailable
from harness.valkey import valkey_words, version

PYTHON = "/usr/bin/python3"
RESULTS = ROOT / "build" / "test-results"
LINT_CHECKS = ("functions", "layers", "names", "docs", "completions", "words")  # modules of tests/lint
LINT_LINES_MAX = 200
# Those that ask of Kafka what may differ from one release to another.
KAFKA_SUITES = ("restart_without_kafka", "aggregator_topic", "aggregator_kafka", "kafka")
KAFKA_SUITES_AT_A_TIME = 4
REDIS_SUITES = ("redis", "redis_login", "redis_sentinel", "redis_tls", "redis_wait", "ledger_redis", "guarantees", "generations", "supply",
                "supply_scripts", "commit_script", "chance", "huntctl_restore", "aggregator", "losses")
DOCTEST = re.compile(r"\[doctest\] test cases:\s*\d+\s*\|\s*(\d+) passed\s*\|\s*(\d+) failed\s*\|\s*(\d+) skipped")


@dataclass
class Count:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)

    def add(self, other: "Count") -> None:
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures
        self.skips += other.skips

    def fail(self, what: str) -> None:
        self.failed += 1
        self.failures.append(what)

    def skip(self, what: str) -> None:
        self.skipped += 1
        self.skips.append(what)

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


@dataclass
class Suite:
    name: str
    run: Callable[..., Count]
    # What `./dev` does before: purposes of its set-up, and builds with their targets ("release @programs @pieces").
    purposes: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    beside_others: bool = False  # then `run` takes a file for its output


def sources(*folders: str) -> list[pathlib.Path]:
    return sorted(path for folder in folders for suffix in ("*.cc", "*.h", "*.c")
                  for path in (ROOT / folder).rglob(suffix))


def run_format() -> Count:
    """clang-format over all sources."""
    count = Count()
    program = shutil.which("clang-format-14")
    files = sources("src", "tests", "bench", "tools")
    if program is None:
        count.skip(f"format: no clang-format-14 on this machine ({len(files)} files unchecked)")
        return count

    def check(file: pathlib.Path) -> int:
        return subprocess.run([program, "--dry-run", "-Werror", str(file)], capture_output=True).returncode

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, status in zip(files, pool.map(check, files)):
            if status == 0:
                count.passed += 1
            else:
                count.fail(f"format: {file.relative_to(ROOT)} (clang-format-14 -i it)")
    return count


def run_lint() -> Count:
    """The checks of tests/lint, one test each; their own tests; and clang-format. Alone it builds only tools/print_reference, if there is a build."""
    count = Count()
    for name in LINT_CHECKS:
        report = importlib.import_module(f"lint.{name}").check()
        for finding in report.findings[:LINT_LINES_MAX]:
            print(finding)
        if len(report.findings) > LINT_LINES_MAX:
            print(f"lint: {len(report.findings) - LINT_LINES_MAX} more: python3 -m lint.{name} in tests/")
        if report.skipped:
            count.skip(f"lint: {name}: {report.skipped}")
        if report.findings:
            count.fail(f"lint: {name}: {len(report.findings)} findings (python3 -m lint.{name} in tests/)")
        else:
            count.passed += 1
        print(f"lint: {name}: {report.checked}, {len(report.findings)} findings", flush=True)
    count.add(run_pytest("lint", ROOT / "tests" / "lint" / "test_lint.py"))
    count.add(run_format())
    return count


def run_tidy() -> Count:
    count = Count()
    program = shutil.which("clang-tidy-14")
    if program is None:
        count.skip("tidy: no clang-tidy-14 on this machine")
        return count
    database = ROOT / "build" / "release"
    known = {str((database / entry["file"]).resolve()) for entry in
             json.loads((database / "compile_commands.json").read_text())}
    files = [file for file in sources("src") if str(file) in known]

    def check(file: pathlib.Path) -> subprocess.CompletedProcess:
        return subprocess.run([program, "-p", str(database), "--quiet", "--extra-arg=-Wno-unknown-warning-option", str(file)],
                              capture_output=True, text=True)

    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for file, done in zip(files, pool.map(check, files)):
            print(f"tidy: {file.relative_to(ROOT)}: {'clean' if done.returncode == 0 else 'warnings'}", flush=True)
            if done.returncode == 0:
                count.passed += 1
            else:
                print(done.stdout.strip())
                count.fail(f"tidy: {file.relative_to(ROOT)}")
    return count


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"


def _count_meson_test(entry: dict) -> Count:
    count = Count()
    output = entry.get("stdout", "") + "\n" + entry.get("stderr", "")
    name, result = entry["name"], entry["result"]
    cases = DOCTEST.search(output)
    if result == "SKIP":
        count.skip(f"{name}: {_last_line(entry.get('stdout', ''))}")
    elif cases:
        count.passed, count.failed, count.skipped = map(int, cases.groups())
        if count.skipped:
            count.skips.append(f"{name}: {count.skipped} doctest cases marked skip")
        if count.failed:
            count.failures.append(f"{name}: {count.failed} cases")
        elif result not in ("OK", "EXPECTEDFAIL"):  # every case passed and yet: a sanitizer's report, a crash at exit
            count.fail(f"{name}: {result}")
    elif result in ("OK", "EXPECTEDFAIL"):
        count.passed = 1
    else:
        count.fail(f"{name}: {result}")
    if count.failed:
        print(output.strip()[-6000:])
    return count


def run_meson(build: str, suite: str) -> Count:
    """A unit test counts its doctest cases; a test without doctest counts as one."""
    folder = ROOT / "build" / build
    log = folder / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    environment = {**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
                   "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0"}
    # The sanitizers slow a test down; its time limit grows with it.
    subprocess.run(["meson", "test", "-C", str(folder), "--no-rebuild", "--suite", suite, "--timeout-multiplier",
                    "4" if build == "asan" else "2"], env=environment)
    count = Count()
    if not log.exists():
        count.fail(f"{build}: meson test wrote no log")
        return count
    for line in log.read_text().splitlines():
        count.add(_count_meson_test(json.loads(line)))
    return count


def pytest_files() -> dict[str, pathlib.Path]:
    """Every pytest file by its suite's name."""
    files = sorted((ROOT / "tests").rglob("test_*.py"), key=lambda path: path.name)
    return {path.stem.removeprefix("test_"): path for path in files if path.name not in ("test_runner.py", "test_lint.py")}


def _marks_in(expressions: list[ast.expr]) -> set[str]:
    return {node.attr for expression in expressions for node in ast.walk(expression) if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Attribute) and node.value.attr == "mark"}


@functools.cache
def marks_of(file: pathlib.Path) -> set[str]:
    """The names of the marks that a module's `pytestmark` has. The module is only parsed: importing some takes seconds."""
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "pytestmark"
                                                     for target in statement.targets):
            return _marks_in([statement.value])
    return set()


@functools.cache
def has_long_tests(file: pathlib.Path) -> bool:
    """Whether some test of a module that is not long itself has the mark."""
    return "long" not in marks_of(file) and any("long" in _marks_in(statement.decorator_list) for statement in ast.parse(file.read_text()).body
                                                if isinstance(statement, ast.FunctionDef))


def run_pytest(name: str, file: pathlib.Path, output=None, variables: dict[str, str] | None = None, only: str = "") -> Count:
    """`output`: the file that gets what pytest prints; None: this process's own stdout. `variables` are of the environment. `only`: as
    pytest's -m."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    report = RESULTS / f"{name}.xml"
    report.unlink(missing_ok=True)
    environment = {**os.environ, "HUNTD_BUILD": os.environ.get("HUNTD_BUILD", str(ROOT / "build" / "release")), **(variables or {})}
    subprocess.run([PYTHON, "-m", "pytest", "-q", "--no-header", f"--junitxml={report}", "-m", only, str(file)], env=environment, cwd=ROOT,
                   stdout=output, stderr=subprocess.STDOUT if output else None)
    count = Count()
    if not report.exists():
        count.fail(f"{name}: pytest wrote no report")
        return count
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        title = f"{name}: {case.get('name')}"
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            count.fail(title)
        elif skipped is not None:
            count.skip(f"{title}: {skipped.get('message')}")
        else:
            count.passed += 1
    return count


def run_kafka_versions(releases: list[str]) -> Count:
    """KAFKA_SUITES on each of these releases of Kafka, by default on all that the harness has. A test that needs what a release
    does not have is skipped, with the reason."""
    count = Count()
    for release in releases or kafka_server.RELEASES:
        if release not in kafka_server.RELEASES:
            count.fail(f"kafka_versions: no release {release}; there are: {', '.join(kafka_server.RELEASES)}")
            continue
        try:
            kafka_server.kafka_jars(release)
        except kafka_server.KafkaUnavailable as reason:
            count.skip(f"Kafka {release}: {reason}")
            continue
        of_release = Count()
        with concurrent.futures.ThreadPoolExecutor(KAFKA_SUITES_AT_A_TIME) as pool:
            for suite, counted in zip(KAFKA_SUITES, pool.map(functools.partial(_run_kafka_suite, release), KAFKA_SUITES)):
                print(f"kafka_versions: Kafka {release}: {suite}: {counted}", flush=True)
                of_release.add(counted)
        print(f"kafka_versions: Kafka {release}: {of_release}", flush=True)
        count.add(of_release)
    return count


def run_valkey() -> Count:
    """REDIS_SUITES on the Valkey of Debian 13."""
    count = Count()
    try:
        words = valkey_words()
    except TreeUnavailable as reason:
        count.skip(f"valkey: {reason}")
        return count
    print(f"valkey: {version(words)}", flush=True)
    for suite in REDIS_SUITES:
        counted = _run_elsewhere(f"valkey_{suite}", suite, {"HUNTD_REDIS_SERVER": " ".join(words)})
        print(f"valkey: {suite}: {counted}", flush=True)
        count.add(counted)
    return count


def _run_kafka_suite(release: str, suite: str) -> Count:
    return _run_elsewhere(f"kafka_{release}_{suite}", suite, {"HUNTD_KAFKA_VERSION": release})


def _run_elsewhere(name: str, suite: str, variables: dict[str, str]) -> Count:
    """A suite with another peer. Prints pytest's output only if a test failed."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        count = run_pytest(name, pytest_files()[suite], output, variables)
        if count.failed:
            output.seek(0)
            print(output.read(), flush=True)
    return count


def run_upgrade(arguments: list[str]) -> Count:
    """The tests of two versions on the same stores. The other version is the commit that `arguments` names; without one it is the
    folder HUNTD_PREVIOUS_BUILD, or else the commit before this one."""
    count = Count()
    variables = {}
    if len(arguments) > 1:
        count.fail(f"upgrade: one revision, not {' '.join(arguments)}")
        return count
    if arguments or VARIABLE not in os.environ:
        try:
            programs, commit = build_of(arguments[0] if arguments else "HEAD~1")
        except ServerFailed as reason:
            count.fail(f"upgrade: {reason}")
            return count
        print(f"upgrade: the other version is {commit}, {VARIABLE}={programs}", flush=True)
        variables[VARIABLE] = str(programs)
    count.add(run_pytest("versions_mixed", pytest_files()["versions_mixed"], variables=variables))
    return count


def run_sim(arguments: list[str]) -> Count:
    """The seeded simulation of a core's logic; `arguments` as tests/sim/main.cc takes them."""
    count = Count()
    done = subprocess.run([str(ROOT / "build" / "release" / "tests" / "sim" / "sim"), *arguments],
                          stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    for line in done.stdout.splitlines():
        if line.startswith(("FAILED ", "VIOLATION ")):
            count.fail(f"sim: {line.removeprefix('FAILED ')}")
    if done.returncode == 0:
        count.passed = 1
    elif not count.failed:
        count.fail(f"sim: exit status {done.returncode}")
    return count


def run_fuzz(arguments: list[str]) -> Count:
    """libFuzzer over each target of tests/fuzz, from its corpus and the inputs that earlier runs added (build/fuzz/corpus). They are part of the build with the sanitizers."""
    parser = argparse.ArgumentParser(prog="./dev test fuzz")
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("target", nargs="?", default="")
    options = parser.parse_args(arguments)
    count = Count()
    programs = sorted(path for path in (ROOT / "build" / "asan" / "tests" / "fuzz").glob("*_fuzz") if options.target in path.name)
    if not programs:
        count.skip("fuzz: no clang-14 with libFuzzer on this machine" if not options.target else f"fuzz: no target {options.target}")
        return count
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, line, failed in pool.map(lambda program: _fuzz_one(program, options.seconds), programs):
            print(f"fuzz: {name}: {line}", flush=True)
            if failed:
                count.fail(f"fuzz: {name}: {line}")
            else:
                count.passed += 1
    return count


def _fuzz_one(program: pathlib.Path, seconds: int) -> tuple[str, str, bool]:
    """(target, its line of the report, whether it found something)"""
    name = program.name.removesuffix("_fuzz")
    grown, found = ROOT / "build" / "fuzz" / "corpus" / name, ROOT / "build" / "fuzz" / "found"
    grown.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([str(program), f"-max_total_time={seconds}", "-max_len=20000", "-timeout=10", "-rss_limit_mb=2048",
                           "-print_final_stats=1", f"-artifact_prefix={found}/{name}-", str(grown),
                           str(ROOT / "tests" / "fuzz" / "corpus" / name)], capture_output=True, text=True)
    runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    covered = re.findall(r"cov: (\d+)", done.stderr)
    line = f"{int(runs[1]) if runs else 0:,} runs in {seconds} s, {covered[-1] if covered else '?'} edges"
    if done.returncode == 0:
        return name, line, False
    inputs = re.search(r"Test unit written to (\S+)", done.stderr)
    print(done.stderr[-4000:])
    again = f"{program.relative_to(ROOT)} {pathlib.Path(inputs[1]).relative_to(ROOT)}" if inputs else "see above"
    return name, f"{line}; FOUND something; replay: {again}", True


def built_in(arguments: list[str]) -> dict[str, Suite]:
    """`arguments` are for a suite that takes some (sim, fuzz, kafka_versions, upgrade)."""
    return {suite.name: suite for suite in (
        Suite("lint", run_lint, ("lint",)),
        Suite("format", run_format, ("lint",)),
        Suite("tidy", run_tidy, ("build", "tidy"), ("release @configured",)),
        Suite("unit", lambda: run_meson("release", "unit"), ("build", "run", "test"), ("release @unit",)),
        Suite("asan", lambda: run_meson("asan", "unit"), ("build", "run", "test", "fuzz"), ("asan @unit",)),
        Suite("clang", lambda: run_meson("clang", "unit"), ("build", "run", "test", "tidy"), ("clang @unit",)),
        Suite("kafka_versions", lambda: run_kafka_versions(arguments), ("build", "run", "test", "kafka"), ("release @programs @pieces",)),
        Suite("valkey", run_valkey, ("build", "run", "test", "tree"), ("release @programs @pieces",)),
        Suite("upgrade", lambda: run_upgrade(arguments), ("build", "run", "test", "kafka"), ("release @programs @pieces",)),
        Suite("sim", lambda: run_sim(arguments), ("build",), ("release tests/sim/sim",)),
        Suite("fuzz", lambda: run_fuzz(arguments), ("build", "fuzz"), ("asan @fuzzers",)))}


def pytest_suite(name: str, file: pathlib.Path, only: str = "") -> Suite:
    """`only`: as of run_pytest()."""
    marks = marks_of(file)
    purposes = ("build", "run", "test") + tuple(mark for mark in ("kafka", "tree") if mark in marks) + \
        {"bench": ("bench",), "reproducible": ("package",)}.get(name, ())
    target = "release tests/sim/redis_store_check" if name == "redis_store" else "release @programs @pieces"
    return Suite(name, functools.partial(run_pytest, name, file, only=only), purposes, (target,), "alone" not in marks)


def suites_named(wanted: str, arguments: list[str]) -> list[Suite]:
    """The suites that `wanted` means, in the order of the report; empty if it means none."""
    known, files = built_in(arguments), pytest_files()
    if wanted in ("all", "tidy"):
        known["lint"].builds = ("release tools/print_reference",)  # alone it builds this only if there is a build already
    if wanted == "all":
        return [known[name] for name in ("lint", "unit", "asan", "sim", "fuzz")] + \
            [pytest_suite(name, file, "not long" if has_long_tests(file) else "") for name, file in files.items() if "long" not in marks_of(file)]
    if wanted == "long":
        return [pytest_suite(name, file, "long") for name, file in files.items() if "long" in marks_of(file) or has_long_tests(file)]
    if wanted == "tidy":
        return [known["lint"], known["tidy"]]
    if wanted in known:
        return [known[wanted]]
    return [pytest_suite(name, file) for name, file in files.items()
            if wanted in name or wanted in file.relative_to(ROOT / "tests").parts[:-1]]


def all_names() -> list[str]:
    return ["all", "long", *built_in([]), "faults", "chaos", "e2e", *pytest_files()]


