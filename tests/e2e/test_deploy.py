# SPDX-License-Identifier: Apache-2.0
"""huntctl deploy, bundles and rollback: scripts go live all at once, the old ones stay if anything is wrong, and a restart serves what
was live."""
import array
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

import pytest

from client import run_hunt
from harness.huntd_stack import http_get
from harness.process import wait_until
from huntctl_runs import run
from swaps import descriptors_of, of_all, swap_under_load, write_version

NUMBER = "return function(hunt) return {n} end"
LOOP = "while true do end"
SEPARATOR = "\x1f"


def write(folder: pathlib.Path, **hunts) -> pathlib.Path:
    """A folder with these hunts, each of which returns its number, or is the script itself."""
    folder.mkdir(exist_ok=True)
    for name, what in hunts.items():
        (folder / f"{name}.lua").write_text(what if isinstance(what, str) else NUMBER.format(n=what))
    return folder


@pytest.fixture
def stack(own_stack, tmp_path):
    """hunts.dir has the hunts `play` and `old`, both of which return 1."""
    (tmp_path / "state").mkdir()
    made = own_stack(hunts=write(tmp_path / "hunts", play=1, old=1), settings={
        "hunts.state_dir": str(tmp_path / "state"), "worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20_000,
        "http.request_deadline_ms": 40_000})
    return made.start()


def number(stack, hunt: str = "play") -> int | None:
    got = run_hunt(stack.http, hunt, "ada")
    return got.json["result"] if got.status == 200 else None


def result(stack, *words, code: int = 0) -> dict:
    done = run(stack.config, *map(str, words), "--json")
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return json.loads(done.stdout)


def bundles(stack) -> dict:
    return json.loads(http_get(stack.admin, "/bundles.json")[1])


def live(stack) -> dict:
    return next(bundle for bundle in bundles(stack)["bundles"] if bundle["live"])


class Caller:
    """A program that calls the parent as huntctl does, without the checks of huntctl."""

    def __init__(self, stack):
        status = json.loads(http_get(stack.admin, "/status.json")[1])
        self.address = f"\0huntd-deploy.{status['pid']}.{status['start_ticks']}"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(120)
        self.socket.connect(self.address)

    def send(self, *fields: str, sources: bytes = b"") -> None:
        memory = os.memfd_create("sources")
        os.write(memory, sources)
        self.socket.sendmsg([SEPARATOR.join(["huntd deploy 1", *fields]).encode()],
                            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [memory]))])
        os.close(memory)

    def last_reply(self) -> list[str]:
        """The fields of the reply that ends the call."""
        while True:
            fields = self.socket.recv(10_000).decode().split(SEPARATOR)
            if fields[1] != "progress":
                return fields[1:]


def sources_of(**scripts: str) -> bytes:
    """A bundle without images (docs/formats/bundle.md)."""
    names = sorted(scripts)
    offset = 12 + sum(12 + len(name) for name in names)
    index, texts = b"huntb001" + len(names).to_bytes(4, "little"), b""
    for name in names:
        text = scripts[name].encode()
        index += len(name).to_bytes(4, "little") + name.encode() + offset.to_bytes(4, "little") + len(text).to_bytes(4, "little")
        offset += len(text)
        texts += text
    return index + texts


# --- what a deploy changes -----------------------------------------------------------------------------------------------

def test_a_deploy_shows_what_it_changes_and_is_live_on_every_core(stack, tmp_path):
    folder = write(tmp_path / "next", play=2, new=2)
    shown = result(stack, "deploy", folder, "--yes")
    assert (shown["result"], shown["added"], shown["changed"], shown["removed"]) == ("live", ["new"], ["play"], ["old"])
    got = run_hunt(stack.http, "play", "ada")
    assert got.json["result"] == 2 and got.headers["hunt-bundle"] == shown["bundle"] != shown["before"]
    assert all(run_hunt(stack.http, "new", f"h{i}").json["result"] == 2 for i in range(16))
    assert run_hunt(stack.http, "old", "ada").status == 404
    assert live(stack)["from"] == str(folder) and live(stack)["hunts"] == 2


def test_settings_and_modules_are_a_part_of_what_is_deployed(stack, tmp_path):
    def folder(name: str, module: int, setting: int):
        made = write(tmp_path / name, old=1, play=1)
        (made / "play.lua").write_text('local shared = require("shared")\n'
                                       "return function(hunt) return 10 * shared.number + hunt.config.number end\n")
        (made / "play.toml").write_text(f"[config]\nnumber = {setting}\n")
        (made / "lib").mkdir()
        (made / "lib" / "shared.lua").write_text(f"return {{ number = {module} }}\n")
        return made

    first = result(stack, "deploy", folder("first", 1, 1))
    assert (first["changed"], first["modules"]) == (["play"], ["shared"]) and number(stack) == 11
    second = result(stack, "deploy", folder("second", 1, 2))
    assert (second["changed"], second["modules"]) == (["play"], []) and number(stack) == 12
    third = result(stack, "deploy", folder("third", 2, 2))
    assert (third["changed"], third["modules"]) == ([], ["shared"]) and number(stack) == 22
    wrong = folder("wrong", 3, 3)
    (wrong / "play.toml").write_text("[confg]\n")
    done = run(stack.config, "deploy", str(wrong))
    assert done.returncode != 0 and "play.toml" in done.stderr and "nothing was deployed" in done.stderr, done.stderr
    assert result(stack, "rollback")["modules"] == ["shared"] and number(stack) == 12


def test_hunts_are_removed_only_with_consent(stack, tmp_path):
    folder = write(tmp_path / "next", play=2)
    done = run(stack.config, "deploy", str(folder))
    assert done.returncode == 2 and "removed  old" in done.stderr and "--yes" in done.stderr
    assert number(stack, "old") == 1
    dry = result(stack, "deploy", folder, "--dry-run")
    assert dry["result"] == "unchanged" and dry["removed"] == ["old"] and number(stack) == 1


def test_the_text_names_the_bundle_and_the_one_before(stack, tmp_path):
    before = live(stack)["bundle"]
    shown = run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1))).stdout
    assert re.fullmatch(rf"changed  play\nlive: bundle [0-9a-f]{{32}}, 2 hunts; before: {before}\n", shown), shown


def test_a_script_with_a_mistake_is_not_sent(stack, tmp_path):
    before = live(stack)
    done = run(stack.config, "deploy", str(write(tmp_path / "next", play="return function(hunt) hunt.awrd('x') end", old=1)))
    assert done.returncode == 1 and "nothing was deployed" in done.stderr and "hunt.award" in done.stderr
    assert live(stack) == before


def test_simulate_plays_what_changed_and_stops_a_script_that_fails(stack, tmp_path):
    rare = "return function(hunt) if hunt.random(1, 100) == 1 then error('rare') end hunt.award('coin') end"
    done = run(stack.config, "deploy", str(write(tmp_path / "next", play=rare, old=1)), "--simulate")
    assert done.returncode == 1 and "play: " in done.stderr and "failed in the simulation" in done.stderr
    assert number(stack) == 1
    done = run(stack.config, "deploy", str(write(tmp_path / "next", play=rare.replace("error('rare')", ""), old=1)), "--simulate")
    assert done.returncode == 0 and "coin" in done.stderr, done.stderr


def test_with_hunts_dir_nothing_is_only_shown(stack, tmp_path):
    write(tmp_path / "hunts", play=7)
    for option in ("--dry-run", "--simulate"):
        done = run(stack.config, "deploy", "--hunts-dir", option)
        assert done.returncode == 2 and "neither --dry-run nor --simulate" in done.stderr and number(stack) == 1


def test_a_core_that_takes_no_message_is_named(stack, tmp_path):
    stopped = stack.core_pids()[1]
    os.kill(stopped, signal.SIGSTOP)
    try:
        shown = result(stack, "deploy", write(tmp_path / "next", play=2, old=1), code=1)
    finally:
        os.kill(stopped, signal.SIGCONT)
    assert shown["result"] == "partly" and "do not have it yet: core 1;" in shown["error"], shown
    wait_until(lambda: {core["bundle"] for core in json.loads(http_get(stack.admin, "/status.json")[1])["cores"]} == {shown["bundle"]}, 30,
               "the core to have it")
    assert result(stack, "rollback")["result"] == "live"


# --- what huntd rejects --------------------------------------------------------------------------------------------------

def test_a_deploy_that_huntd_rejects_keeps_the_old_scripts_and_says_so_everywhere(stack):
    before = live(stack)
    caller = Caller(stack)
    caller.send("deploy", "mallory", "/nowhere", "", "", sources=sources_of(play=LOOP))
    kind, bundle, why = caller.last_reply()
    assert (kind, bundle) == ("rejected", before["bundle"]) and "/nowhere/play.lua: its top-level code exceeded" in why
    assert live(stack) == before and number(stack) == 1
    status = json.loads(http_get(stack.admin, "/status.json")[1])["reload"]
    assert status["result"] == "rejected" and "/nowhere/play.lua" in status["error"]
    assert stack.metric("huntd_reload_rejected") == 1
    assert "a change of the scripts was rejected" in stack.huntd.log_text()


def test_of_two_operators_one_has_to_wait(stack, tmp_path):
    caller = Caller(stack)
    caller.send("deploy", "mallory", "/nowhere", "", "", sources=sources_of(play=LOOP))
    wait_until(lambda: json.loads(http_get(stack.admin, "/status.json")[1])["reload"]["started"] == 1, 30, "the check")
    done = run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1)))
    assert done.returncode == 1 and "a deploy of /nowhere by mallory is being checked" in done.stderr
    assert caller.last_reply()[0] == "rejected"
    assert run(stack.config, "deploy", str(tmp_path / "next")).returncode == 0 and number(stack) == 2


def test_who_has_looked_at_another_bundle_is_rejected(stack, tmp_path):
    seen = live(stack)["bundle"]
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1))).returncode == 0
    caller = Caller(stack)
    caller.send("deploy", "bob", "/bob", "", seen, sources=sources_of(play=NUMBER.format(n=3)))
    kind, _, why = caller.last_reply()
    assert kind == "rejected" and why.startswith("other scripts went live meanwhile: bundle ") and number(stack) == 2


@pytest.mark.parametrize("sources", [b"", b"nonsense", sources_of(play="return 1")[:-1]])
def test_what_is_no_bundle_is_rejected(stack, sources):
    caller = Caller(stack)
    caller.send("deploy", "mallory", "/nowhere", "", "", sources=sources)
    assert caller.last_reply()[0] == "rejected" and number(stack) == 1


def test_packets_of_another_version_and_silent_clients_change_nothing(stack):
    silent = [Caller(stack) for _ in range(12)]
    for packet in (b"GET / HTTP/1.1", b"huntd deploy 2\x1flook", b"\x00" * 9000):
        caller = Caller(stack)
        caller.socket.send(packet)
        assert caller.last_reply()[0] == "rejected"
    assert number(stack) == 1
    assert len(silent) == 12 and run(stack.config, "rollback").returncode == 1


def test_another_user_is_rejected(stack):
    caller = Caller(stack)
    program = ("import socket,sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.connect('\\0' + sys.argv[1]); "
               "print(s.recv(9000).decode())")
    if os.geteuid() != 0:
        pytest.skip("only root can start a program of another user")
    shown = subprocess.run([sys.executable, "-I", "-c", program, caller.address[1:]], user=65534, capture_output=True, text=True,
                           timeout=60, cwd="/")
    assert "run the command as root or as huntd's user" in shown.stdout, shown


def test_without_a_state_folder_nothing_can_be_deployed(own_stack, tmp_path):
    stack = own_stack(hunts=write(tmp_path / "hunts", play=1)).start()
    done = run(stack.config, "deploy", str(write(tmp_path / "next", play=2)))
    assert done.returncode == 1 and "hunts.state_dir is empty" in done.stderr and number(stack) == 1


def test_a_full_disk_rejects_a_deploy(own_stack, tmp_path):
    state = tmp_path / "state"
    state.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(state)], capture_output=True).returncode != 0:
        pytest.skip("a small file system can only be mounted by root")
    try:
        stack = own_stack(hunts=write(tmp_path / "hunts", play=1), settings={"hunts.state_dir": str(state)}).start()
        wait_until(lambda: (state / "bundles" / "history").exists(), 30, "the first bundle to be kept")
        done = run(stack.config, "deploy", str(write(tmp_path / "next", play=NUMBER.format(n=2) + "-" * 2 + "x" * 60_000)))
        assert done.returncode == 1 and "No space left on device" in done.stderr, done.stderr
        assert number(stack) == 1
        assert run(stack.config, "deploy", str(write(tmp_path / "next", play=3))).returncode == 0 and number(stack) == 3
        stack.huntd.stop()
    finally:
        subprocess.run(["umount", "-l", str(state)], check=True)


# --- what stays --------------------------------------------------------------------------------------------------------

def test_a_restart_and_a_reload_serve_the_deployed_bundle_and_not_hunts_dir(stack, tmp_path):
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1))).returncode == 0
    deployed = live(stack)["bundle"]
    write(tmp_path / "hunts", play=7)
    reloaded = run(stack.config, "reload")
    assert reloaded.returncode == 0 and number(stack) == 2 and "hunts.dir was not read" in reloaded.stderr, reloaded
    stack.huntd.restart()
    assert number(stack) == 2 and live(stack)["bundle"] == deployed and bundles(stack)["deployed"]
    assert "huntd serves a deployed bundle, not hunts.dir" in stack.huntd.log_text()
    shown = result(stack, "deploy", "--hunts-dir")
    assert shown["changed"] == ["play"] and number(stack) == 7 and not bundles(stack)["deployed"]
    write(tmp_path / "hunts", play=8)
    assert run(stack.config, "reload").returncode == 0 and number(stack) == 8
    stack.huntd.restart()
    assert number(stack) == 8


def test_a_deployed_bundle_that_is_damaged_is_served_from_the_saved_scripts(stack, tmp_path):
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1))).returncode == 0
    stack.huntd.stop()
    for path in (tmp_path / "state" / "bundles").glob("*.bundle"):
        path.write_text("damaged")
    stack.huntd.start()
    assert number(stack) == 2, "never those of hunts.dir"
    assert "is corrupt" in json.loads(http_get(stack.admin, "/status.json")[1])["reload"]["error"]


@pytest.mark.parametrize("text", ["garbled", "huntd bundles 2\n"])
def test_a_history_that_cannot_be_read_changes_nothing_until_an_operator_deploys(stack, tmp_path, text):
    for version in (2, 3):
        assert run(stack.config, "deploy", str(write(tmp_path / "next", play=version, old=1))).returncode == 0
    folder = tmp_path / "state" / "bundles"
    kept = sorted(folder.glob("*.bundle"))
    stack.huntd.stop()
    (folder / "history").write_text(text)
    stack.huntd.start()
    assert number(stack) == 3, "never those of hunts.dir"
    error = json.loads(http_get(stack.admin, "/status.json")[1])["reload"]["error"]
    assert f"{folder}/history: line 1 is not one of a history" in error and "delete" not in error
    assert run(stack.config, "reload").returncode == 0 and number(stack) == 3 and bundles(stack)["deployed"]
    assert "no earlier bundle is kept" in run(stack.config, "rollback").stderr
    stack.huntd.restart()
    assert number(stack) == 3 and (folder / "history").read_text() == text and sorted(folder.glob("*.bundle")) == kept
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=4, old=1))).returncode == 0 and number(stack) == 4
    stack.huntd.restart()
    assert number(stack) == 4 and len(bundles(stack)["bundles"]) == 2


def test_a_kept_bundle_that_is_another_one_is_not_rolled_back_to(stack, tmp_path):
    before = live(stack)["bundle"]
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1))).returncode == 0
    deployed = live(stack)["bundle"]
    folder = tmp_path / "state" / "bundles"
    # A third bundle, which no record names.
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=3, old=1))).returncode == 0
    third = folder / f"{live(stack)['bundle']}.bundle"
    content = third.read_bytes()
    assert run(stack.config, "rollback", deployed).returncode == 0
    (folder / f"{before}.bundle").write_bytes(content)
    done = run(stack.config, "rollback", before)
    assert done.returncode == 1 and "is corrupt: it has the content of" in done.stderr and number(stack) == 2


def test_rollback_goes_back_step_by_step_and_to_a_named_bundle(stack, tmp_path):
    names = [live(stack)["bundle"]]
    for version in (2, 3):
        assert run(stack.config, "deploy", str(write(tmp_path / "next", play=version, old=1))).returncode == 0
        names.append(live(stack)["bundle"])
    assert result(stack, "rollback")["changed"] == ["play"] and number(stack) == 2
    assert result(stack, "rollback")["bundle"] == names[0] and number(stack) == 1
    done = run(stack.config, "rollback")
    assert done.returncode == 1 and "no earlier bundle is kept" in done.stderr
    assert result(stack, "rollback", names[2][:8])["bundle"] == names[2] and number(stack) == 3
    assert "is live" in run(stack.config, "rollback", names[2]).stderr
    assert "no bundle 0123 is kept" in run(stack.config, "rollback", "0123").stderr
    stack.huntd.restart()
    assert number(stack) == 3
    assert [bundle["bundle"] for bundle in bundles(stack)["bundles"]] == names[::-1]


def test_bundles_show_who_when_and_how_much_they_served(stack, tmp_path):
    for _ in range(3):
        assert number(stack) == 1
    assert run(stack.config, "deploy", str(write(tmp_path / "next", play=2, old=1))).returncode == 0
    for _ in range(2):
        assert number(stack) == 2
    wait_until(lambda: live(stack)["served"] == 2, 20, "the hunts to be counted")
    new, old = bundles(stack)["bundles"]
    assert (old["by"], old["from"], old["served"], old["hunts"], old["live"]) == ("start", str(tmp_path / "hunts"), 3, 2, False)
    assert new["by"] and new["from"] == str(tmp_path / "next")
    stack.huntd.restart()
    assert [bundle["served"] for bundle in bundles(stack)["bundles"]] == [2, 3]
    shown = run(stack.config, "bundles").stdout
    assert re.search(rf"{new['bundle'][:12]}  live +20\d\d-\d\d-\d\d .* UTC  {re.escape(new['by'])} ", shown), shown
    assert "reloads and starts serve the live bundle" in shown


def test_a_core_that_starts_during_a_check_keeps_nothing_of_it(stack):
    caller = Caller(stack)
    caller.send("deploy", "mallory", "/nowhere", "", "", sources=sources_of(play=LOOP))
    wait_until(lambda: json.loads(http_get(stack.admin, "/status.json")[1])["reload"]["started"] == 1, 30, "the check")
    killed = stack.core_pids()[0]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: stack.core_pids()[0] not in (0, killed) and stack.huntd.ready(), 30, "the core to be back")
    files = [os.readlink(file) for file in pathlib.Path(f"/proc/{stack.core_pids()[0]}/fd").iterdir() if file.is_symlink()]
    assert not [name for name in files if "sources" in name], files
    assert caller.last_reply()[0] == "rejected"


def test_a_stop_during_a_deploy_ends_it(stack):
    caller = Caller(stack)
    caller.send("deploy", "mallory", "/nowhere", "", "", sources=sources_of(play=LOOP))
    wait_until(lambda: json.loads(http_get(stack.admin, "/status.json")[1])["reload"]["started"] == 1, 30, "the check")
    stack.huntd.signal(signal.SIGTERM)
    with contextlib.suppress(ConnectionError):
        assert caller.last_reply()[0] == "rejected"
    assert stack.huntd.stop() == 0


def test_deploys_under_load_fail_no_hunt_and_leave_no_descriptor(stack, tmp_path):
    folders = [write_version(tmp_path / f"version-{number}", number) for number in range(3)]
    assert run(stack.config, "deploy", str(folders[0]), "--yes").returncode == 0
    assert set(swap_under_load(stack, folders, 3)) == {200}
    before = of_all(stack, descriptors_of)
    assert set(swap_under_load(stack, folders, 6)) == {200}
    wait_until(lambda: all(now <= then + 2 for now, then in zip(of_all(stack, descriptors_of), before)), 20, "descriptors to be closed")
