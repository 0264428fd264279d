"""What a scenario is: a function that injects one fault into a loaded stack and returns when the fault is over."""
import importlib
import pathlib
from dataclasses import dataclass, field
from typing import Callable

FAMILIES = ("processes", "redis", "kafka", "postgres", "clients", "machine")


class Skipped(Exception):
    """This machine can't show the fault; the text says why."""


@dataclass
class Scenario:
    """`may_see` names what clients may be told of the fault, beside 200 and 422; the default is nothing at all."""
    name: str
    family: str
    inject: Callable
    may_see: frozenset[str] = frozenset()
    settings: dict = field(default_factory=dict)  # on top of driver.SETTINGS
    stack: dict = field(default_factory=dict)     # arguments of FaultStack
    load: dict = field(default_factory=dict)      # arguments of Load
    smoke: bool = False     # runs in the plain `./dev test`
    # May be drawn on a living stack, again and again; with that stack's settings and load, so its own are wishes, no needs.
    chaos: bool = False
    loaded: bool = True     # False: it starts and checks everything by itself
    ends: frozenset[str] = frozenset()  # which of huntd's processes the fault ends, by invariants.ENDS

    @property
    def about(self) -> str:
        return " ".join((self.inject.__doc__ or "").split())


SCENARIOS: dict[str, Scenario] = {}


def scenario(*, may_see=(), ends=(), **options):
    """Registers the function under its own name."""
    def register(inject):
        family = inject.__module__.rsplit(".", 1)[1]
        assert inject.__doc__, f"{inject.__name__} must say what is expected, and from where that comes"
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
