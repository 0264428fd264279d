"""The fault scenarios that the plain `./dev test` runs, shortened; all of them: `./dev test faults` (docs/faults.md)."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from faults.driver import DEFAULT_SEED, Skipped, run_scenario  # noqa: E402
from faults.scenario import all_scenarios  # noqa: E402

ALONE = "a recovery is timed from its fault's end"
SMOKE = [scenario for scenario in all_scenarios().values() if scenario.smoke]


@pytest.mark.parametrize("scenario", SMOKE, ids=lambda scenario: scenario.name)
def test_nothing_is_lost_given_twice_or_invented_though(scenario, tmp_path):
    try:
        verdict = run_scenario(scenario, DEFAULT_SEED, tmp_path, smoke=True)
    except Skipped as reason:
        pytest.skip(str(reason))
    assert not verdict.violations, "\n".join(verdict.violations)
