# SPDX-License-Identifier: Apache-2.0
"""The fault scenarios that the plain `./dev test` runs, shortened; all of them: `./dev test faults` (docs/faults.md)."""
import pytest

from faults.driver import DEFAULT_SEED, Skipped, run_scenario
from faults.scenario import all_scenarios

pytestmark = [pytest.mark.alone(reason="a recovery is timed from its fault's end"), pytest.mark.kafka]
SMOKE = [scenario for scenario in all_scenarios().values() if scenario.smoke]


@pytest.mark.parametrize("scenario", SMOKE, ids=lambda scenario: scenario.name)
def test_invariants_hold_during(scenario, tmp_path):
    try:
        report = run_scenario(scenario, DEFAULT_SEED, tmp_path, smoke=True)
    except Skipped as reason:
        pytest.skip(str(reason))
    assert not report.violations, "\n".join(report.violations)
