# SPDX-License-Identifier: Apache-2.0
"""huntctl simulate: many runs of a hunt on real workers against a pretended ledger."""
import json
import math
import os
import pathlib
import signal
import subprocess
import time
import xml.etree.ElementTree

import pytest

from aggregator_pipeline import huntctl_program
from harness.huntd_stack import build_folder, write_config
from harness.process import children_of
from harness.terminal import run_in_terminal

LUA = pathlib.Path(__file__).resolve().parents[2] / "lua"
HOSTILE = build_folder() / "hostile_worker"
# Far from what a run needs on a busy machine, and short enough for scripts that loop.
SETTINGS = {"worker.deadline_ms": 200}
COIN = """
return function(hunt)
  if hunt.random() < 0.25 then hunt.award("heads") else hunt.award("tails") end
end
"""
# What runs see of each other: what the hunter holds, and supplies.
TANGLED = """
return function(hunt)
  local held = hunt.held()
  local n = hunt.random(100)
  if n == 1 then hunt.reject("not today") end
  if n == 2 then error("bad luck of " .. hunt.hunter_id) end
  if n < 40 then
    local got = hunt.award("crown", {limit = 25})
    if got and n < 20 then error("after the draw") end
    if not got then hunt.award("consolation") end
  end
  if n % 2 == 0 then hunt.award("feather", {limit = 150}) end
  if (held.shell or 0) < 2 then hunt.award("shell") end
end
"""


@pytest.fixture
def script(tmp_path):
    """A function that writes a script; returns its path. The config is beside it."""
    write_config(tmp_path / "huntd.toml", SETTINGS)

    def write(name: str, text: str) -> pathlib.Path:
        path = tmp_path / f"{name}.lua"
        path.write_text(text)
        return path
    return write


def command(path, *words, settings: dict | None = None) -> list[str]:
    config = pathlib.Path(path).with_name("huntd.toml")
    if settings:
        write_config(config, {**SETTINGS, **settings})
    with_config = ["-c", str(config)] if config.exists() else []
    return [huntctl_program(), *with_config, "simulate", str(path), *map(str, words)]


def simulate(path, *words, **how) -> subprocess.CompletedProcess:
    return subprocess.run(command(path, *words, **how), capture_output=True, text=True, timeout=120)


def report(path, *words, code: int = 0, **how) -> dict:
    done = simulate(path, *words, "--json", **how)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def given(report: dict) -> dict[str, int]:
    return {loot["loot_id"]: loot["given"] for loot in report["loot"]}


def test_a_coin_with_known_odds_is_within_five_sigma(script):
    run = report(script("coin", COIN), "--hunters", 500, "--hunts", 20, "--seed", "five sigma")
    runs, share = 10_000, 0.25
    sigma = math.sqrt(runs * share * (1 - share))
    assert run["runs"] == run["runs_planned"] == runs and run["outcomes"]["ok"] == runs
    assert abs(given(run)["heads"] - runs * share) < 5 * sigma
    assert given(run)["heads"] + given(run)["tails"] == runs
    [heads] = [loot for loot in run["loot"] if loot["loot_id"] == "heads"]
    assert heads["share_of_runs"] == heads["given"] / runs and heads["per_hunter"] == heads["given"] / 500
    # A hunter without heads after 20 runs: 0.75 ^ 20 = 0.3 %.
    assert 480 <= heads["hunters"] <= 500
    assert run["full_set"] == {"loot": 2, "hunters": heads["hunters"]}
    assert run["hunters_by_different_loot"] == [0, 500 - heads["hunters"], heads["hunters"]]


def test_draws_of_one_hunter_and_of_one_round_are_independent(script):
    """Two runs draw the same only if hunter and hunt are the same."""
    path = script("many", 'return function(hunt) hunt.award("n-" .. hunt.random(1e6)) end')
    run = report(path, "--hunters", 30, "--hunts", 30, "--seed", 1)
    assert len(run["loot"]) > 890, "900 draws out of a million: a collision or two"


def test_a_seed_gives_the_same_report_with_any_number_of_workers(script):
    path = script("tangled", TANGLED)
    words = ("--hunters", 60, "--hunts", 30, "--seed", 7, "--now", "2026-12-24T18:00Z", "--no-times")
    one = simulate(path, *words, "--workers", 1)
    assert one.returncode == 1 and "after the draw" in one.stdout, one.stdout + one.stderr
    for workers in (2, 3, 9):
        assert simulate(path, *words, "--workers", workers).stdout == one.stdout
    in_json = simulate(path, *words, "--workers", 1, "--json").stdout
    assert simulate(path, *words, "--workers", 3, "--json").stdout == in_json
    other = [word if word != 7 else 8 for word in words]
    assert simulate(path, *other, "--json").stdout != in_json.replace('"seed":"7"', '"seed":"8"')


def test_runs_take_effect_one_after_the_other_in_rounds_of_all_hunters(script):
    """With three units, the first three hunters get them in their first hunt."""
    path = script("first", """
return function(hunt)
  if hunt.award("cup", {limit = 3}) then hunt.award("winner-" .. hunt.hunter_id) end
end""")
    run = report(path, "--hunters", 40, "--hunts", 2, "--workers", 4)
    assert given(run) == {"cup": 3, "winner-hunter-1": 1, "winner-hunter-2": 1, "winner-hunter-3": 1}
    [cup] = run["supplies"]
    assert (cup["limit"], cup["given"], cup["gone"], cup["used_up_after_runs"]) == (3, 3, 77, 3)
    assert cup["given_over_time"] == [3] + 19 * [0]


@pytest.mark.parametrize("limit", [1, 100, 5000])
def test_a_supply_is_given_out_exactly(script, limit):
    """Also if some runs that have drawn a unit fail: these units go back."""
    path = script("scarce", f"""
return function(hunt)
  for _ = 1, hunt.random(3) do hunt.award("ticket", {{limit = {limit}}}) end
  if hunt.random(10) == 1 then hunt.reject("no luck") end
end""")
    run = report(path, "--hunters", 300, "--hunts", 10, "--workers", 3, "--seed", 3)
    [ticket] = run["supplies"]
    drawn = ticket["given"]
    assert given(run) == {"ticket": drawn} and ticket["given_over_time"] and sum(ticket["given_over_time"]) == drawn
    if limit == 5000:  # 3,000 runs of two units each, nine of ten
        assert 4900 < drawn <= limit
    else:
        assert drawn == limit and ticket["used_up_after_runs"]
        assert ticket["used_up_after_share"] == pytest.approx(ticket["used_up_after_runs"] / 3000, rel=1e-4)


def test_a_hunter_sees_what_its_own_earlier_runs_gave(script):
    path = script("count", """
return function(hunt)
  local held = hunt.held()
  local n = 0
  for _, count in pairs(held) do n = n + count end
  if n > 4 then hunt.reject("has " .. n) end
  hunt.award("step-" .. n)
end""")
    run = report(path, "--hunters", 7, "--hunts", 8, "--workers", 4)
    assert given(run) == {f"step-{n}": 7 for n in range(5)}
    assert run["full_set"] == {"loot": 5, "hunters": 7} and run["hunters_by_different_loot"] == [0, 0, 0, 0, 0, 7]
    [reason] = run["reasons"]
    assert (reason["end"], reason["text"], reason["runs"]) == ("rejected", "has 5", 21)


def test_time_passes_between_the_hunts_of_a_hunter(script):
    run = report(LUA / "campfire.lua", "--hunters", 3, "--hunts", 14, "--every", "1d", "--now", "2026-12-01T08:00Z")
    assert given(run)["ember"] == 42 and given(run)["feast"] == 6
    at_once = report(LUA / "campfire.lua", "--hunters", 3, "--hunts", 14)
    assert given(at_once)["ember"] == 3


def test_the_input_is_that_of_each_request(script):
    path = script("echo", "return function(hunt) hunt.award(hunt.input.loot) end")
    assert given(report(path, "--hunters", 5, "--hunts", 2, "--input", '{"loot": "acorn"}')) == {"acorn": 10}


def test_a_script_that_loops_ends_only_its_run(script):
    path = script("loop", """
return function(hunt)
  if hunt.random(40) == 1 then while true do pcall(function() end) end end
  hunt.award("crumb")
end""")
    run = report(path, "--hunters", 20, "--hunts", 10, "--seed", 1, code=1)
    late = run["outcomes"]["deadline-passed"]
    assert late > 0 and run["outcomes"]["ok"] == 200 - late and given(run) == {"crumb": 200 - late}
    [reason] = run["reasons"]
    assert reason["end"] == "deadline-passed" and reason["runs"] == late
    assert f"{late} runs of 200 failed" in run["error"] or late == 1


def test_a_script_that_asks_for_ever_is_ended_too(script):
    path = script("ask", """
return function(hunt)
  if hunt.random(20) == 1 then while true do hunt.award("none", {limit = 0}) end end
end""")
    run = report(path, "--hunters", 10, "--hunts", 4, "--seed", 1, code=1)
    assert run["outcomes"]["deadline-passed"] > 0
    assert run["outcomes"]["ok"] + run["outcomes"]["deadline-passed"] == 40


def test_a_run_has_a_bound_for_units_that_its_deadline_does_not_give(script):
    path = script("ask", "return function(hunt) while true do hunt.award('none', {limit = 0}) end end")
    run = report(path, "--hunters", 2, "--hunts", 1, code=1, settings={"worker.deadline_ms": 4000, "http.request_deadline_ms": 9000})
    [reason] = run["reasons"]
    assert (reason["end"], reason["runs"]) == ("deadline-passed", 2) and "10000 times" in reason["text"]


def test_a_rejection_without_a_reason_is_not_one_of_many_others(script):
    path = script("no", "return function(hunt) hunt.reject('') end")
    run = report(path, "--hunters", 2, "--hunts", 1)
    assert [reason["text"] for reason in run["reasons"]] == ["without a reason"]
    assert "other reasons" not in simulate(path, "--hunters", 2, "--hunts", 1).stdout


def test_a_reason_cannot_control_a_terminal_nor_a_path_a_shell(tmp_path):
    folder = tmp_path / "it's"
    folder.mkdir()
    path = folder / "red.lua"
    path.write_text("return function(hunt) error('\\27[31mred') end")
    text = simulate(path, "--hunters", 2, "--hunts", 1).stdout
    assert "[31mred" in text and "\x1b" not in text
    assert "it'\\''s/red.lua'" in text


def test_a_script_that_needs_too_much_memory_ends_only_its_run(script):
    path = script("large", """
return function(hunt)
  if hunt.random(20) == 1 then local text = "x" while true do text = text .. text end end
  hunt.award("crumb")
end""")
    run = report(path, "--hunters", 20, "--hunts", 5, "--seed", 1, code=1)
    large = run["outcomes"]["out-of-memory"]
    assert large > 0 and given(run) == {"crumb": 100 - large} and run["memory_bytes"] == 32 * 1024 * 1024


@pytest.mark.skipif(not HOSTILE.exists(), reason="hostile_worker is not built")
@pytest.mark.parametrize("attack, words", [
    ("hunt.syscall(57)", "the worker tried a forbidden system call"),  # fork
    ('hunt.send("?")', "the worker sent a frame of an unknown type"),
])
def test_a_worker_that_crashes_ends_only_its_run(script, attack, words):
    path = script("crash", f"""
return function(hunt)
  hunt.award("unit", {{limit = 1000}})
  if hunt.random(20) == 1 then {attack} end
end""")
    run = report(path, "--hunters", 20, "--hunts", 5, "--seed", 1, code=1, settings={"worker.binary": str(HOSTILE)})
    failed = run["outcomes"]["worker-failed"]
    assert failed > 0 and given(run) == {"unit": 100 - failed}
    [reason] = run["reasons"]
    assert (reason["end"], reason["text"], reason["runs"]) == ("worker-failed", words, failed)


def test_errors_are_counted_by_line_and_the_first_is_repeated_by_try(script):
    path = script("tangled", TANGLED)
    run = report(path, "--hunters", 60, "--hunts", 30, "--seed", 7, code=1)
    counts = {reason["text"]: reason for reason in run["reasons"]}
    assert set(counts) == {"tangled.lua:6", "tangled.lua:9", "not today"}
    assert run["outcomes"]["script-error"] == counts["tangled.lua:6"]["runs"] + counts["tangled.lua:9"]["runs"]
    assert run["outcomes"]["rejected"] == counts["not today"]["runs"]
    first = counts["tangled.lua:6"]["first"]
    assert first["reason"] == f"tangled.lua:6: bad luck of {first['hunter_id']}"
    again = next(line for line in simulate(path, "--hunters", 60, "--hunts", 30, "--seed", 7).stdout.splitlines()
                 if "again" in line and first["seed"] in line)
    config = ["-c", str(path.with_name("huntd.toml"))]
    tried = subprocess.run([huntctl_program(), *config, *again.split()[2:], "--json"], capture_output=True, text=True, timeout=60)
    assert tried.returncode == 1 and json.loads(tried.stdout)["reason"] == first["reason"], tried.stdout + tried.stderr


def test_bounds_of_a_ledger_hold_in_a_simulation_too(script):
    full = report(script("full", """
return function(hunt)
  local held = 0
  for _ in pairs(hunt.held()) do held = held + 1 end
  for i = 1, 32 do hunt.award("n-" .. held + i) end
end"""), "--hunters", 2, "--hunts", 34, code=1)
    assert full["outcomes"]["held-full"] == 4 and full["outcomes"]["ok"] == 64
    assert full["hunters_by_different_loot"][1024] == 2
    supplies = report(script("supplies", """
return function(hunt)
  for i = 1, 300 do hunt.award("code-" .. math.floor(hunt.now / 1000) % 7 .. "-" .. i, {limit = 0}) end
end"""), "--hunters", 3, "--hunts", 5, "--every", 1, "--now", 7000, code=1)
    assert supplies["outcomes"]["supplies-full"] == 6 and len(supplies["supplies"]) == 1000


@pytest.mark.parametrize("name", sorted(path.stem for path in LUA.glob("*.lua") if not path.stem.endswith("_test")))
def test_the_sample_hunts_run(name):
    run = report(LUA / f"{name}.lua", "--hunters", 120, "--hunts", 5, "--seed", 1)
    assert run["outcomes"]["ok"] + run["outcomes"]["rejected"] == run["runs"] == 600
    if name == "golden-ticket":
        assert given(run) == {"golden-ticket": 100, "chocolate-bar": 20}


def test_pictures_and_pages_are_whole_files_of_their_own(script, tmp_path):
    path = script("tangled", TANGLED.replace("bad luck", "<bad> & \\\"worse\\\" \\1 luck"))
    svg, html = tmp_path / "odds.svg", tmp_path / "odds.html"
    done = simulate(path, "--hunters", 30, "--hunts", 30, "--seed", 7, "--svg", svg, "--html", html)
    assert done.returncode == 1
    picture = xml.etree.ElementTree.parse(svg).getroot()
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    words = " ".join(text.text or "" for text in picture.iter("{http://www.w3.org/2000/svg}text"))
    assert "tangled: 30 hunters with 30 hunts each, 900 runs" in words and "crown" in words
    page = xml.etree.ElementTree.fromstring(html.read_text())
    cells = [cell.text for cell in page.iter("td")]
    assert "crown" in cells and any("<bad> &" in (cell or "") for cell in cells)
    for text in (svg.read_text(), html.read_text()):
        assert "href" not in text and "src=" not in text and "url(" not in text


def test_times_are_apart_and_can_be_left_out(script):
    path = script("coin", COIN)
    words = (path, "--hunters", 10, "--hunts", 10, "--seed", 1)
    times = report(*words)["times"]
    assert 0 < times["script_us"]["p50"] <= times["script_us"]["p90"] <= times["script_us"]["p99"] <= times["script_us"]["max"]
    assert "times" not in report(*words, "--no-times")
    assert "script time  p50" in simulate(*words).stdout
    assert "script time" not in simulate(*words, "--no-times").stdout


def test_a_pipe_gets_plain_lines_and_a_terminal_bars(script):
    path = script("coin", COIN)
    plain = simulate(path, "--hunters", 10, "--hunts", 10).stdout
    assert "█" not in plain and "\x1b" not in plain
    code, seen = run_in_terminal(command(path, "--hunters", 10, "--hunts", 10))
    assert code == 0 and "█" in seen.decode()


def test_ctrl_c_prints_the_report_until_then_and_leaves_no_worker(script):
    path = script("slow", """
return function(hunt)
  local n = 0
  for i = 1, 2e5 do n = n + i % 7 end
  hunt.award("grain")
end""")
    running = subprocess.Popen(command(path, "--hunters", 1000, "--hunts", 1000, "--json", "--workers", 3), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    end = time.monotonic() + 60
    while len(workers := children_of(running.pid)) < 3 and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err
    run = json.loads(out)
    assert 0 < run["runs"] < run["runs_planned"] == 1_000_000
    assert given(run) == {"grain": run["runs"]} and run["outcomes"]["ok"] == run["runs"]
    assert len(workers) == 3 and not any(pathlib.Path(f"/proc/{pid}").exists() for pid in workers)


@pytest.mark.parametrize("words, error", [
    (("no/such.lua",), "cannot read no/such.lua"),
    (("SCRIPT", "--hunters", "0"), "--hunters"),
    (("SCRIPT", "--hunters", "1000001"), "--hunters"),
    (("SCRIPT", "--hunts", "10001"), "--hunts"),
    (("SCRIPT", "--hunters", "1000000", "--hunts", "101"), "more than 100000000 runs"),
    (("SCRIPT", "--workers", "65"), "--workers"),
    (("SCRIPT", "--seed", "x" * 65), "--seed: a text of at most 64 bytes"),
    (("SCRIPT", "--input", "{"), "--input: "),
    (("SCRIPT", "--now", "yesterday"), "--now takes"),
    (("SCRIPT", "--every", "1w"), "--every"),
    (("SCRIPT", "--now", "9223372036854775807", "--every", "366d"), "--now is too late"),
])
def test_wrong_usage_says_what_is_wrong(script, words, error):
    path = str(script("coin", COIN))
    done = simulate(*[path if word == "SCRIPT" else word for word in words])
    assert done.returncode == 2 and error in done.stderr, done.stderr


def test_a_script_that_does_not_compile_names_file_and_line(script):
    done = simulate(script("bad", "return function(hunt)\n  if x then\nend\n"))
    assert done.returncode == 1 and "bad.lua:" in done.stderr


def test_a_file_that_cannot_be_written_is_an_error(script):
    done = simulate(script("coin", COIN), "--hunters", 2, "--hunts", 2, "--svg", "/no/such/odds.svg")
    assert done.returncode == 1 and "cannot write /no/such/odds.svg" in done.stderr
