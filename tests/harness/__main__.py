# SPDX-License-Identifier: Apache-2.0
"""What `./dev` runs after set-up and build: up, down, run, test, bench. Use ./dev."""
import argparse
import json
import os
import sys

from harness import background
from harness.huntd_stack import ROOT
from harness.process import ServerFailed


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or "." not in key:
        raise argparse.ArgumentTypeError(f"{text}: give SECTION.NAME=VALUE, such as worker.deadline_ms=100")
    return key, value


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0.01 <= minutes <= 1440:
        raise argparse.ArgumentTypeError("from 0.01 to 1440")
    return minutes


def _restarts(text: str) -> int:
    restarts = int(text)
    if not 1 <= restarts <= 1000:
        raise argparse.ArgumentTypeError("from 1 to 1000")
    return restarts


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 86400:
        raise argparse.ArgumentTypeError("from 1 to 86400")
    return seconds


def _turns(text: str) -> int:
    turns = int(text)
    if not 1 <= turns <= 100:
        raise argparse.ArgumentTypeError("from 1 to 100")
    return turns


def _up(options) -> int:
    state = background.up(kafka=options.kafka, cores=options.cores, settings=dict(options.set))
    if options.json:
        print(json.dumps(background.public(state)))
        return 0
    print("The stack was up already:" if state["was_up"] else "The stack is up:")
    background.describe(state)
    return 0


def _down(_options) -> int:
    if background.read_state() is None:
        print("Nothing was up.")
        return 0
    killed = background.down()
    print("The stack is down." if not killed else f"The stack is down; these had to be killed: {', '.join(killed)}")
    return 1 if killed else 0


def _run(options) -> int:
    from harness.showcase import showcase
    return showcase(once=options.once, kafka=options.kafka)


def _test(options) -> int:
    from harness.test_runner import run_suite
    return run_suite(options.suite, options.arguments, options.save_seconds)


def _needs(options) -> int:
    from harness.test_runner import print_needs
    return print_needs(options.suite)


def _bench(options) -> int:
    from bench.driver import run_benchmarks
    return run_benchmarks(options.name, as_json=options.json, record=options.record, revision=options.compare, turns=options.turns,
                          minutes=options.minutes, events=options.events, restarts=options.restarts, seconds=options.seconds)


def _parse(words: list[str]):
    parser = argparse.ArgumentParser(prog="./dev")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    up = commands.add_parser("up", help="the whole stack in the background")
    up.add_argument("--kafka", action="store_true", help="with Kafka; without it the outbox feeds the aggregator")
    up.add_argument("--cores", type=int, metavar="N", help="cores.count")
    up.add_argument("--set", type=_setting, action="append", default=[], metavar="KEY=VALUE", help="a config key")
    up.add_argument("--json", action="store_true", help="one JSON object")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stops what up started")
    down.set_defaults(run=_down)

    run = commands.add_parser("run", help="plays the sample hunt")
    run.add_argument("--once", action="store_true", help="stop everything at the end")
    run.add_argument("--kafka", action="store_true")
    run.set_defaults(run=_run)

    test = commands.add_parser("test", help="runs the tests")
    test.add_argument("--save-seconds", action="store_true", help="write tests/harness/suite_seconds.json")
    test.add_argument("suite", nargs="?", default="all")
    test.add_argument("arguments", nargs=argparse.REMAINDER, help="sim: --seed S, --seeds N, --seconds T, --jobs J")
    test.set_defaults(run=_test)

    needs = commands.add_parser("needs", help="what ./dev sets up and builds for a suite")
    needs.add_argument("suite", nargs="?", default="all")
    needs.set_defaults(run=_needs)

    bench = commands.add_parser("bench", help="runs the benchmarks")
    bench.add_argument("name", nargs="?", default="all")
    bench.add_argument("--json", action="store_true")
    bench.add_argument("--kafka", action="store_true")
    bench.add_argument("--record", action="store_true", help="append the figures to docs/lab/history.jsonl; the work tree has no changes")
    bench.add_argument("--compare", metavar="REV", help="this tree beside the commit REV, in turns")
    bench.add_argument("--turns", type=_turns, metavar="N", help="how many runs of each --compare does (5)")
    bench.add_argument("--minutes", type=_minutes, metavar="M", help="how long the fleet benches run (fleet: 20)")
    bench.add_argument("--events", type=int, metavar="N", help="how many events reconcile compares (1,000,000)")
    bench.add_argument("--restarts", type=_restarts, metavar="N", help="how often upgrade restarts huntd (10)")
    bench.add_argument("--seconds", type=_seconds, metavar="S", help="in which time upgrade does that (200)")
    bench.set_defaults(run=_bench)
    return parser.parse_args(words)


def main() -> int:
    if sys.argv[1:2] == ["test"] and sys.argv[2:3] in (["faults"], ["chaos"]):  # these have their own options
        from faults.__main__ import main as run_faults
        return run_faults(sys.argv[2:])
    options = _parse(sys.argv[1:])
    try:
        return options.run(options)
    except (ServerFailed, FileNotFoundError, TimeoutError) as failure:
        print(f"dev: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
