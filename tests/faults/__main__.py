# SPDX-License-Identifier: Apache-2.0
"""`./dev test faults [NAME] [--seed S]` and `./dev test chaos [--minutes N] [--seed S]`."""
import argparse
import sys


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./dev test")
    commands = parser.add_subparsers(required=True, metavar="faults|chaos")
    faults = commands.add_parser("faults", help="every scenario, a family, or one by its name")
    faults.add_argument("name", nargs="?")
    faults.add_argument("--seed", type=int)
    faults.add_argument("--smoke", action="store_true", help="only what the plain `./dev test` runs, shortened")
    faults.add_argument("--list", action="store_true", help="names and what is expected")
    faults.set_defaults(run=_faults)
    chaos = commands.add_parser("chaos", help="faults drawn every 10 to 60 s on one living stack")
    chaos.add_argument("--minutes", type=float, default=10)
    chaos.add_argument("--seed", type=int)
    chaos.set_defaults(run=_chaos)
    options = parser.parse_args(words)
    return options.run(options)


def _faults(options) -> int:
    from faults.driver import run_faults
    from faults.scenario import all_scenarios
    if options.list:
        for scenario in all_scenarios().values():
            print(f"{scenario.family}/{scenario.name}\n    {scenario.about}")
        return 0
    return run_faults(options.name, options.seed, smoke=options.smoke)


def _chaos(options) -> int:
    from faults.chaos import run_chaos
    return run_chaos(options.minutes, options.seed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
