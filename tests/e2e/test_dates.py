# SPDX-License-Identifier: Apache-2.0
"""hunt.date: the date by the clocks of a time zone (decision 61), compared with Python's zoneinfo."""
import json
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

import pytest

from client import run_hunt
from conftest import PATIENT
from harness.huntd_stack import write_config
from huntctl_runs import run

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Nuuk", "Pacific/Apia", "Europe/Dublin",
         "Africa/Casablanca", "Etc/GMT+12", "UTC"]
SCRIPT = """return function(hunt)
  local dates = {}
  for i, at in ipairs(hunt.input.times) do dates[i] = hunt.date(hunt.input.zone, at) end
  return dates
end
"""
NOW = "return function(hunt) return { now = hunt.now, date = hunt.date() } end\n"


def expected(zone: str, ms: int) -> dict:
    local = datetime.fromtimestamp(ms // 1000, timezone.utc).astimezone(ZoneInfo(zone))
    return {"year": local.year, "month": local.month, "day": local.day, "hour": local.hour, "minute": local.minute, "second": local.second,
            "weekday": local.isoweekday(), "year_day": local.timetuple().tm_yday, "date": local.date().isoformat(),
            "day_number": local.date().toordinal() - datetime(1970, 1, 1).toordinal(), "offset": int(local.utcoffset().total_seconds())}


def times_of(zone: str) -> list[int]:
    """Around each change of ten years, on leap days and at the ends of the table."""
    times = [0, 951_782_400_000, 4_102_444_799_999, 1_798_131_600_250]
    info = ZoneInfo(zone)
    before = None
    for hour in range(24 * 365 * 10):
        at_s = 1_767_225_600 + 3600 * hour
        offset = datetime.fromtimestamp(at_s, timezone.utc).astimezone(info).utcoffset()
        if before is not None and offset != before:
            times += [(at_s - 3600) * 1000, at_s * 1000 - 1, at_s * 1000]
        before = offset
    return times


@pytest.mark.parametrize("isolation", ["process", "fork", "task", "batch"])
def test_each_zone_has_the_dates_of_zoneinfo(own_stack, tmp_path, isolation):
    (tmp_path / "hunts").mkdir()
    (tmp_path / "hunts" / "day.lua").write_text(SCRIPT)
    stack = own_stack(hunts=tmp_path / "hunts", settings={"worker.isolation": isolation, **PATIENT}).start()
    for zone in ZONES:
        times = times_of(zone)
        answer = run_hunt(stack.http, "day", "ada", input={"zone": zone, "times": times})
        assert answer.status == 200, answer
        assert answer.json["result"] == [expected(zone, ms) for ms in times], zone
    for hunter in ("ben", "cy"):
        wrong = run_hunt(stack.http, "day", hunter, input={"zone": "Mars/Base", "times": [0]})
        assert wrong.status == 500 and "day.lua:3: hunt.date: there is no time zone \"Mars/Base\"" in wrong.json["detail"]


@pytest.fixture
def hunts(tmp_path):
    write_config(tmp_path / "huntd.toml", {"hunts.dir": str(tmp_path), **PATIENT})
    return tmp_path


def huntctl(folder, *words):
    return run(folder / "huntd.toml", *map(str, words))


def test_without_a_zone_it_is_that_of_the_settings(hunts):
    (hunts / "day.lua").write_text(NOW)
    (hunts / "day.toml").write_text('zone = "Europe/Berlin"\n')
    assert huntctl(hunts, "check").returncode == 0
    for text, date in (("2026-12-24T22:59:59Z", "2026-12-24"), ("2026-12-24T23:00:00Z", "2026-12-25"), ("2026-07-01T22:00Z", "2026-07-02")):
        result = json.loads(huntctl(hunts, "try", "day", "--now", text, "--json").stdout)["result"]
        assert result["date"]["date"] == date and result["date"] == expected("Europe/Berlin", result["now"])


def test_check_finds_wrong_zones_and_arguments(hunts):
    (hunts / "day.lua").write_text('return function(hunt)\n  local a = hunt.date("Europe/Berln")\n  local b = hunt.date()\n'
                                   '  return { a.day, b.day, hunt.date(3).day }\nend\n')
    done = huntctl(hunts, "check")
    assert done.returncode == 1
    assert 'day.lua:2:23: error: there is no time zone "Europe/Berln"' in done.stdout and "help: did you mean Europe/Berlin?" in done.stdout
    assert "day.lua:3:22: error: hunt.date does not say in which time zone" in done.stdout
    assert "day.lua:4:36: error: a time zone is a text, not a number" in done.stdout


def test_a_wrong_use_says_what_to_do(hunts):
    def reason(call: str) -> str:
        (hunts / "day.lua").write_text(f"return function(hunt)\n  local day = {call}\nend\n")
        return json.loads(huntctl(hunts, "try", "day", "--json").stdout)["reason"]
    assert reason("hunt.date()").startswith('day.lua:2: hunt.date: name the time zone, as in hunt.date("Europe/Berlin")')
    assert "a number of milliseconds" in reason('hunt.date("UTC", "now")')
    assert "from 1970 to 2099" in reason('hunt.date("UTC", -1)')
    assert "from 1970 to 2099" in reason('hunt.date("UTC", 0/0)')
    assert "use hunt.date(zone)" in reason('hunt.date("UTC", 1, 2)')
