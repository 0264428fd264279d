# SPDX-License-Identifier: Apache-2.0
"""The page at / of the admin port, in headless Chromium: what it shows of a real huntd, and how it looks with the figures of a busy
one (page_samples.py). Its screenshots are in build/page/, for a person to look at."""
import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

from browser import Browser, require_browser
from client import call, run_hunt
from harness.huntd_stack import ROOT, http_get
from harness.process import wait_until
from page_samples import REDIS_DOWN, REJECTED, STAGES, BusyHost

PAGE = ROOT / "src" / "huntd" / "admin"
PICTURES = ROOT / "build" / "page"
AXE = "axe-core@4.14.1"
AXE_FOLDER = ROOT / "build" / "deps" / "node" / "axe"
PHONE, DESK = (390, 844), (1280, 900)
SHAPES = [(*size, scheme) for size in (PHONE, DESK) for scheme in ("light", "dark")]
SAMPLES = 70  # 140 s
GOOD = "return function(hunt) return { number = 1 } end"
NAME_OF_FOCUS = "const at = document.activeElement; return at.id || at.getAttribute('aria-label') || at.textContent.trim()"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    require_browser()
    with Browser(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core."""
    file = AXE_FOLDER / "node_modules" / "axe-core" / "axe.min.js"
    if not file.exists():
        if shutil.which("npm") is None:
            pytest.skip("no npm (Debian package npm)")
        AXE_FOLDER.mkdir(parents=True, exist_ok=True)
        install = subprocess.run(["npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(AXE_FOLDER), AXE],
                                 capture_output=True, text=True)
        if install.returncode != 0:
            pytest.skip(f"npm can't install {AXE}: {install.stderr.strip()[-400:]}")
    return file.read_text()


@pytest.fixture(scope="module")
def still_page() -> str:
    """The address of a copy of the page that asks no server: a test gives it the samples."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    file = PICTURES / "still.html"
    subprocess.run([sys.executable, str(PAGE / "embed_page.py"), str(PAGE / "page.html"), str(file)], check=True)
    file.write_text(file.read_text().replace("<script>", "<script>window.fetch = () => new Promise(() => {});</script>\n<script>", 1))
    return file.as_uri()


@pytest.fixture(scope="module")
def sampled():
    """A function: the samples of a host as one JSON text. A host is the same each time, so it is computed once."""
    known: dict[str, str] = {}

    def of(samples: int = SAMPLES, **wanted) -> str:
        key = repr((samples, wanted))
        if key not in known:
            host, taken = BusyHost(**wanted), []
            for turn in range(samples):
                host.pass_time(turn)
                taken.append(host.sample())
            known[key] = json.dumps(taken)
        return known[key]

    return of


def show(browser: Browser, address: str, samples: str, shape=(*DESK, "light")) -> None:
    browser.shape(*shape)
    browser.open(address)
    browser.run("for (const taken of JSON.parse(arguments[0])) take(taken)", samples)


def text_of(browser: Browser, selector: str) -> str:
    return browser.run("return document.querySelector(arguments[0]).innerText", selector)


def rows_of(browser: Browser, table: str) -> list[list[str]]:
    return browser.run("return [...document.querySelector(arguments[0]).tBodies[0].rows].map(row => [...row.cells].map(c => c.innerText))", table)


def violations(browser: Browser, axe: str) -> list:
    browser.run("const made = document.createElement('script'); made.textContent = arguments[0]; document.head.append(made)", axe)
    return browser.run("return axe.run().then(found => found.violations.map(rule => [rule.id, rule.nodes.map(node => node.failureSummary)]))")


# --- how it looks -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("state", ["fine", "fails"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}-{shape[2]}")
def test_pictures_for_a_person_and_no_horizontal_scroll(browser, still_page, sampled, state, shape):
    show(browser, still_page, sampled(fails=state == "fails"), shape)
    browser.screenshot(PICTURES / f"{state}-{shape[0]}-{shape[2]}.png")
    assert browser.run("return document.documentElement.scrollWidth") == shape[0]
    assert browser.run("return getComputedStyle(document.body).colorScheme") in ("light dark", "normal")
    dark = browser.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number).reduce((a, b) => a + b) < 200")
    assert dark == (shape[2] == "dark")
    assert browser.console() == []


@pytest.mark.parametrize("state", ["fine", "fails"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape[0]}-{shape[2]}")
def test_axe_finds_no_violation(browser, still_page, sampled, axe, state, shape):
    show(browser, still_page, sampled(fails=state == "fails"), shape)
    assert violations(browser, axe) == []


def test_axe_finds_a_fault(browser, still_page, sampled, axe):
    show(browser, still_page, sampled())
    browser.run("document.documentElement.removeAttribute('lang'); document.querySelector('#about').style.color = '#ccc'")
    assert {"html-has-lang", "color-contrast"} <= {rule for rule, _ in violations(browser, axe)}


def test_a_phone_shows_the_rest_of_the_columns_on_request(browser, still_page, sampled, axe):
    show(browser, still_page, sampled(), (*PHONE, "light"))
    shown = "return [...document.querySelectorAll('#cores thead th')].filter(head => head.offsetParent).map(head => head.innerText)"
    few = browser.run(shown)
    assert few == ["core", "state", "busy", "hunts/s", "p99", "queue", "Redis"]
    browser.run("document.getElementById('all_columns').click()")
    assert set(few) < set(browser.run(shown))
    assert browser.run("return document.documentElement.scrollWidth") == PHONE[0]
    assert violations(browser, axe) == []


def test_many_cores_are_drawn_up_to_a_bound(browser, still_page, sampled):
    show(browser, still_page, sampled(3, cores=64))
    assert len(rows_of(browser, "#cores")) == 64
    browser.run("by_id('core').value = 'each'; redraw()")
    assert browser.run("return document.querySelectorAll('#maps canvas').length") == 64
    assert f"64 of {64 * len(STAGES)} maps" in text_of(browser, "#kept")
    browser.run("by_id('stage').value = 'script'; redraw()")
    assert text_of(browser, "#maps figure:nth-child(64) b") == "script, core 63"
    assert "maps" not in text_of(browser, "#kept")


def test_history_has_a_bound(browser, still_page, sampled):
    show(browser, still_page, sampled(2))
    kept = browser.run("""const column = columns[0];
        for (let i = 1; i <= 2000; ++i) keep({...column, from_ms: column.from_ms + 100 * i, to_ms: column.from_ms + 100 * (i + 1),
          sources: column.sources.map(stages => stages.map(() => null))}, {});
        return columns.length""")
    assert kept == browser.run("return columns_max")


# --- what it shows ----------------------------------------------------------------------------------------------------

def test_figures_are_those_of_the_last_refresh(browser, still_page, sampled):
    show(browser, still_page, sampled())
    before, now = json.loads(sampled())[-2:]
    ok = 'huntd_hunts_total{outcome="ok"}'
    grown = sum(core["counters"][ok] for core in now["status"]["cores"]) - sum(core["counters"][ok] for core in before["status"]["cores"])
    assert ["ok", f"{grown / 2:.1f}"] in [row[:2] for row in rows_of(browser, "#outcomes")]
    stages = rows_of(browser, "#stages")
    assert [row[0].replace(" ", "_") for row in stages] == list(STAGES)
    counts = [sample["latency"]["all"]["stages"]["script"]["count"] for sample in (before, now)]
    assert stages[list(STAGES).index("script")][1] == f"{(counts[1] - counts[0]) / 2:.1f}"
    assert len(rows_of(browser, "#cores")) == 2
    assert [row[0] for row in rows_of(browser, "#hunts")] == ["calendar", "goblin-hoard", "treasure-map", "daily-wheel", "riddle",
                                                              "golden-ticket", "all others"]
    assert not browser.run("return document.getElementById('attention').offsetParent")


def test_an_interval_is_computed_as_huntctl_top_does(browser, still_page):
    browser.open(still_page)
    before = {"count": 2, "max_us": 90, "distribution": [[1, 1], [100, 1]]}
    now = {"count": 14, "max_us": 90, "distribution": [[1, 3], [100, 11]]}
    stage = browser.run("return stage_between(arguments[0], arguments[1])", before, now)
    # 2 values up to 1 µs, 10 between 79.4 and 100 µs: rank 6 of 12 is the fourth of these ten, 0.4 of the cell's width.
    assert stage["count"] == 12
    assert stage["p50_us"] == pytest.approx(100 * 10 ** (-0.06))
    assert stage["p99_us"] == stage["max_us"] == 90
    assert stage["mean_us"] == pytest.approx((2 * 0.5 + 10 * (100 / 10 ** 0.1 + 100) / 2) / 12)
    assert browser.run("return stage_between(arguments[0], arguments[0])", now) is None
    restarted = browser.run("""return activity_between({started_at_ms: 1, taken_at_ms: 5000, cores: []},
        {started_at_ms: 6000, taken_at_ms: 8000, cores: [{core: 0, counters: {a: 10}}]})""")
    assert restarted == {"seconds": 2, "cores": [{"a": 5}], "all": {"a": 5}}


def test_the_rate_of_a_hunt_that_came_from_the_others_is_unknown(browser, still_page):
    browser.open(still_page)

    def rates(before: dict[str, int], now: dict[str, int], hunts_max: int, restarted: bool = False) -> dict:
        def sample(runs: dict[str, int], started_at_ms: int, taken_at_ms: int) -> dict:
            hunts = [{"hunt": name or None, "other": not name, "runs": count} for name, count in runs.items()]
            return {"status": {"started_at_ms": started_at_ms, "taken_at_ms": taken_at_ms}, "hunts": hunts, "hunts_max": hunts_max}

        rows = browser.run("return hottest(arguments[0], arguments[1])", sample(before, 0, 1000), sample(now, 1000 * restarted, 3000))
        return {row["hunt"] or "": row["per_s"] for row in rows}

    assert rates({"a": 10, "": 0}, {"a": 14, "b": 6, "": 0}, 2) == {"b": 3, "a": 2}
    assert rates({"a": 10, "": 50}, {"b": 40, "": 20}, 1) == {"b": None, "": 0}
    assert rates({"a": 10, "": 0}, {"a": 8, "": 0}, 2, restarted=True) == {"a": 4}


def test_a_map_has_time_to_the_right_and_the_slow_moments_higher(browser, still_page, sampled):
    show(browser, still_page, sampled())  # from the 40th to the 50th refresh Redis is slow
    browser.run("by_id('stage').value = 'redis_commit'; redraw()")
    highest = browser.run("""
        const canvas = document.querySelector('#maps canvas'), scale = devicePixelRatio, pen = canvas.getContext('2d');
        const left = axis_px + strip_px, width = canvas.clientWidth - 1 - left;
        return [0.3, 45 / 69].map(part => {
          const x = Math.round((left + width * part) * scale), data = pen.getImageData(x, 0, 1, canvas.height).data;
          for (let y = 0; y < canvas.height; ++y)
            if (data[4 * y] > data[4 * y + 1] + 60 && data[4 * y] > data[4 * y + 2] + 60) return y;  // the red line of p99
          return -1;
        })""")
    assert 0 < highest[1] < highest[0] - 20, highest


def test_a_server_that_fails_has_its_address_and_reason(browser, still_page, sampled):
    show(browser, still_page, sampled(fails=True))
    assert f"core 0: can't use Redis: {REDIS_DOWN}" in text_of(browser, "#problems")
    assert "Kafka at kafka-1.example:9092, kafka-2.example:9092 takes no events: 2/2 brokers are down" in text_of(browser, "#problems")
    servers = rows_of(browser, "#servers")
    assert [row[:2] for row in servers] == [["Redis", "down"], ["Redis", "up"], ["Kafka", "down"], ["Kafka", "up"]]
    assert servers[0][2] == "10.1.2.3:6379" and servers[0][5] == REDIS_DOWN
    assert text_of(browser, "#rejected_error") == REJECTED
    assert browser.run("return document.querySelector('#rejected_error').children.length") == 0  # a text never becomes markup
    assert text_of(browser, "#announced") == "healthy, not ready, Kafka takes no events, the newest reload was rejected"
    assert browser.run("return document.title") == "(4) huntd"


def test_errors_of_scripts_and_bundles_are_shown(browser, still_page, sampled):
    show(browser, still_page, sampled())
    assert rows_of(browser, "#errors") == [
        ["riddle", "12", "214", "3 s ago", "script_error", "riddle.lua:12: attempt to index local 'wish' <b>(a nil value)</b>"],
        ["calendar", "–", "1", "1 min ago", "deadline", "the deadline of a hunt is 50 ms"]]
    assert [row[1:2] + row[3:6] for row in rows_of(browser, "#bundles")] == [
        ["", "alice (sudo)", "6", "3\u202f000"], ["live", "alice (sudo)", "6", "2\u202f000"], ["", "alice (sudo)", "6", "1\u202f000"]]


def test_loot_is_beside_its_odds_and_supplies_have_what_is_left(browser, still_page, sampled):
    show(browser, still_page, sampled())
    rows = rows_of(browser, "#loot")
    assert [row[:2] for row in rows] == [["goblin-hoard", "copper-coin"], ["goblin-hoard", "silver-ring"], ["goblin-hoard", "goblin-crown"],
                                         ["golden-ticket", "golden-ticket"], ["golden-ticket", "chocolate-bar"], ["riddle", "feather"]]
    assert [row[4:] for row in rows] == [["90.0 %", "60.0 %", "–"], ["9.98 %", "37.0 %", "–"], ["0.00 %", "3.00 %", "–"],
                                         ["–", "–", "0 of 100"], ["–", "–", "4\u202f988 of 5\u202f000"], ["–", "–", "? of 60"]]
    warned = browser.run("return [...document.querySelectorAll('#loot .warn')].map(cell => cell.innerText)")
    assert warned == ["90.0 %", "9.98 %", "0.00 %", "0 of 100"]


def test_loot_that_is_private_is_not_there_and_the_page_says_so(browser, still_page, sampled, axe):
    show(browser, still_page, sampled())
    assert not text_of(browser, "#loot_section").count("not shown")
    browser.run("take({...now, loot: [], tables: [], loot_shown: false})")
    assert text_of(browser, "#loot_section") == ("Loot is not shown: other hosts can reach this port, and names of loot can be codes. "
                                                 "huntd shows it if admin.listen is a loopback address or a unix socket.")
    assert violations(browser, axe) == []
    browser.run("take({...now, loot: [], tables: [], loot_shown: true})")
    assert not browser.run("return by_id('loot_section').offsetParent")


def test_odds_that_chance_explains_are_not_marked(browser, still_page):
    browser.open(still_page)

    def far(awards: list[int]) -> list[bool]:
        loot = [{"hunt": "a", "loot": name, "awards": n, "units": n, "limit": None, "left": None} for name, n in zip("xy", awards)]
        tables = [{"hunt": "a", "lines": [{"loot": "x", "share": 0.25}, {"loot": "y", "share": 0.75}]}]
        status = {"started_at_ms": 0, "taken_at_ms": 1000}
        rows = browser.run("return loot_rows(null, arguments[0])", {"loot": loot, "tables": tables, "status": status})
        return [row["far"] for row in sorted(rows, key=lambda row: row["loot"])]

    assert far([28, 72]) == far([265, 735]) == far([9, 0]) == [False, False]
    assert far([320, 680]) == [True, True]


def test_without_kafka_and_hunts_json_their_parts_are_absent(browser, still_page, sampled):
    show(browser, still_page, sampled(kafka=False, hunts=False))
    assert not browser.run("return document.getElementById('hunts_section').offsetParent")
    assert ["Kafka", "not configured"] in [row[:2] for row in rows_of(browser, "#servers")]
    assert "Kafka" not in text_of(browser, "#tiles")
    assert text_of(browser, "#maps figure:last-child") == "kafka ack\nno values since the start"


def test_the_keyboard_reaches_every_control(browser, still_page, sampled):
    show(browser, still_page, sampled())
    reached = []
    for _ in range(5):
        browser.press("Tab")
        reached.append(browser.run(NAME_OF_FOCUS))
    assert reached == ["refresh", "pause", "core", "stage", "moment"]
    assert text_of(browser, "#moment_text") == "newest"
    browser.press("ArrowLeft")
    chosen = text_of(browser, "#moment_text")
    assert re.fullmatch(r"\d\d:\d\d:\d\d", chosen)
    assert "Chosen moment" in browser.run("return document.querySelector('#maps canvas').getAttribute('aria-label')")
    browser.press("ArrowRight")
    assert text_of(browser, "#moment_text") == "newest"


def test_the_page_goes_on_after_no_response_and_asks_once_for_what_is_not_there(browser, still_page, sampled):
    browser.shape(*DESK)
    browser.open(still_page)
    browser.run("""
        const samples = JSON.parse(arguments[0]);
        window.asked = {};
        window.silent = false;
        let at = 0;
        window.fetch = async (path) => {
          window.asked[path] = (window.asked[path] ?? 0) + 1;
          if (window.silent) throw new TypeError("Failed to fetch");
          if (["/hunts.json", "/loot.json", "/errors.json", "/bundles.json"].includes(path)) return new Response("{}", {status: 404});
          if (path === "/status.json") at = Math.min(at + 1, samples.length - 1);
          const {health, ready, status, latency} = samples[at];
          return new Response(JSON.stringify({"/healthz": health, "/readyz": ready, "/status.json": status, "/latency.json": latency}[path]));
        };
        by_id("refresh").options[0].value = "20";
        by_id("refresh").value = "20";
        refresh();""", sampled(kafka=False, hunts=False))
    browser.wait_for("return columns.length > 5", "five refreshes")
    assert browser.run("return ['/hunts.json', '/loot.json', '/errors.json', '/bundles.json'].map(path => asked[path])") == [1, 1, 1, 1]
    browser.run("window.silent = true")
    await_text(browser, "#problems", "no new figures since", "Failed to fetch")
    assert text_of(browser, "#healthy") == "no response"
    assert text_of(browser, "#announced") == "no new figures"
    browser.run("window.silent = false")
    wait_until(lambda: text_of(browser, "#healthy") == "healthy", 60, "figures again", 0.1)
    browser.run("by_id('pause').click()")
    assert text_of(browser, "#pause") == "Resume"
    asked = browser.run("return new Promise(done => setTimeout(() => done(asked['/status.json']), 500))")  # what was on its way
    assert browser.run("return new Promise(done => setTimeout(() => done(asked['/status.json']), 500))") == asked
    browser.run("by_id('pause').click()")
    wait_until(lambda: browser.run("return asked['/status.json']") > asked, 60, "refreshes again", 0.1)


def test_reduced_motion_refreshes_slowly(browser, still_page):
    for motion, refresh in (("no-preference", "2000"), ("reduce", "10000")):
        browser.shape(*DESK, motion=motion)
        browser.open(still_page)
        assert browser.run("return by_id('refresh').value") == refresh


# --- of a real huntd --------------------------------------------------------------------------------------------------

@pytest.fixture
def stack(own_stack, tmp_path):
    hunts = tmp_path / "hunts"
    hunts.mkdir()
    (hunts / "play.lua").write_text(GOOD)
    return own_stack(hunts=hunts).start()


def open_page(browser: Browser, stack) -> None:
    browser.shape(*DESK)
    browser.console()
    browser.open(f"http://{stack.admin}/")
    browser.wait_for("return now !== null", "the first figures")
    browser.run("by_id('refresh').value = '1000'; refresh()")


def await_text(browser: Browser, selector: str, *words: str) -> str:
    return wait_until(lambda: (lambda text: text if all(word in text for word in words) else "")(text_of(browser, selector)), 60,
                      f"{selector} to have {words}; it has {text_of(browser, selector)!r}", 0.1)


def test_the_page_of_a_real_huntd_is_live(browser, stack):
    page = call(stack.admin, "GET", "/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert not re.search(r"(?:src|href)=\"(?!/)|@import|url\(", page.body.decode()), "the page needs another address"
    open_page(browser, stack)
    seen = browser.run("return columns.length")

    def hunts_shown():
        assert run_hunt(stack.http, "play", "ada").status == 200
        return [row for row in rows_of(browser, "#outcomes") if row[0] == "ok" and row[1] not in ("0.0", "–")]

    wait_until(hunts_shown, 60, "a rate of the outcome ok", 0.05)
    assert browser.run("return columns.length") > seen
    assert [row[1] for row in rows_of(browser, "#cores")] == ["ready", "ready"]
    redis = next(row for row in rows_of(browser, "#servers") if row[0] == "Redis")
    assert redis[1:3] == ["up", stack.redis.address] and redis[4].startswith("Redis ")
    hunts = http_get(stack.admin, "/hunts.json")[0] == 200
    assert bool(browser.run("return document.getElementById('hunts_section').offsetParent")) == hunts
    browser.screenshot(PICTURES / "real.png")
    assert [line for line in browser.console() if "/hunts.json" not in line] == []


def test_the_loot_of_a_real_huntd_has_its_odds_and_what_is_left(browser, stack):
    (stack.hunts / "dip.lua").write_text('''
local things = { { loot_id = "shell", weight = 3 }, { loot_id = "pearl", weight = 1 } }
return function(hunt)
  hunt.award(hunt.pick(things).loot_id)
  hunt.award("ticket", { limit = 50 })
  hunt.award("coin", { count = 5 })
end''')
    stack.huntd.signal(signal.SIGHUP)
    open_page(browser, stack)
    await_text(browser, "#scripts", "reloads: 1 applied")
    for number in range(20):
        assert run_hunt(stack.http, "dip", f"hunter-{number}").status == 200
    rows = wait_until(lambda: (found := {row[1]: row for row in rows_of(browser, "#loot")}).get("ticket", [""])[-1] == "30 of 50" and found, 60,
                      "what is left", 0.2)
    assert rows["coin"][2] == "100" and rows["coin"][4:] == ["–", "–", "–"]
    assert rows["shell"][5:6] + rows["pearl"][5:6] == ["75.0 %", "25.0 %"]
    shells, pearls = (int(rows[loot][2]) for loot in ("shell", "pearl"))
    assert shells + pearls == 20 and float(rows["shell"][4].removesuffix(" %")) == shells * 5


def test_the_loot_of_a_real_huntd_that_other_hosts_reach_is_not_shown(browser, stack):
    stack.stop()
    stack.settings["admin.listen"] = f"0.0.0.0:{stack.admin.rsplit(':', 1)[1]}"
    stack.start()
    open_page(browser, stack)
    await_text(browser, "#loot_section", "Loot is not shown: other hosts can reach this port")


def test_a_rejected_reload_is_shown_with_file_and_line_and_goes(browser, stack):
    open_page(browser, stack)
    (stack.hunts / "play.lua").write_text("return function(hunt)\n  retur 1\nend")
    stack.huntd.signal(signal.SIGHUP)
    await_text(browser, "#attention", "The newest reload was rejected", "the previous scripts", "play.lua:2")
    (stack.hunts / "play.lua").write_text(GOOD)
    stack.huntd.signal(signal.SIGHUP)
    await_text(browser, "#scripts", "reloaded", "reloads: 1 applied, 1 rejected")
    assert not browser.run("return document.getElementById('attention').offsetParent")


def test_an_unreachable_redis_is_shown_with_address_and_reason(browser, stack):
    open_page(browser, stack)
    stack.redis.kill()
    await_text(browser, "#problems", "can't use Redis", stack.redis.address)
    assert text_of(browser, "#ready") == "not ready"
    row = wait_until(lambda: next((row for row in rows_of(browser, "#servers") if row[0] == "Redis" and row[1] == "down"), None), 60,
                     "Redis to be down", 0.1)
    assert row[2] == stack.redis.address and len(row[5]) > 5
    stack.redis.start()
    wait_until(lambda: text_of(browser, "#ready") == "ready", 60, "the page to be ready again", 0.1)


def test_a_huntd_that_does_not_respond_is_shown(browser, stack):
    open_page(browser, stack)
    stack.huntd.kill()
    await_text(browser, "#problems", "no new figures since")
    assert text_of(browser, "#healthy") == "no response"
    stack.huntd.start()
    wait_until(lambda: text_of(browser, "#healthy") == "healthy", 60, "the page to have figures again", 0.1)
