# SPDX-License-Identifier: Apache-2.0
"""A scenario is a function that injects one fault into a stack under load and returns when the fault is over."""
import importlib
import pathlib
from dataclasses import dataclass, field
from typing import Callable

FAMILIES = ("processes", "redis", "kafka", "postgres", "clients", "machine", "losses", "seasons", "cluster")


class Skipped(Exception):
    """This machine cannot produce the fault; the text is the reason."""


@dataclass
class Scenario:
    """`may_see`: the errors that clients may see because of the fault, beside 200 and 422; by default none."""
    name: str
    family: str
    inject: Callable
    may_see: frozenset[str] = frozenset()
    settings: dict = field(default_factory=dict)  # on top of driver.SETTINGS
    stack: dict = field(default_factory=dict)     # arguments of FaultStack
    load: dict = field(default_factory=dict)      # arguments of Load
    smoke: bool = False     # runs in the plain `./dev test`
    # Chaos may run it, repeatedly, on its own stack: with that stack's settings and load, not this scenario's.
    chaos: bool = False
    loaded: bool = True     # False: it starts and checks everything itself
    ends: frozenset[str] = frozenset()  # which of huntd's processes the fault ends, by invariants.ENDS

    @property
    def about(self) -> str:
        return " ".join((self.inject.__doc__ or "").split())


SCENARIOS: dict[str, Scenario] = {}


def scenario(*, may_see=(), ends=(), **options):
    """Registers the function under its own name."""
    def register(inject):
        family = inject.__module__.rsplit(".", 1)[1]
        assert inject.__doc__, f"{inject.__name__} must say what is expected, and which document says so"
        assert inject.__name__ not in SCENARIOS
        assert not (options.get("chaos") and options.get("stack")), f"{inject.__name__}: chaos has a stack of its own"
        SCENARIOS[inject.__name__] = Scenario(inject.__name__, family, inject, frozenset(may_see), ends=frozenset(ends), **options)
        return inject
    return register


def all_scenarios() -> dict[str, Scenario]:
    folder = pathlib.Path(__file__).with_name("scenarios")
    for family in FAMILIES:
        if (folder / f"{family}.py").exists():
            importlib.import_module(f"faults.scenarios.{family}")
    return SCENARIOS
