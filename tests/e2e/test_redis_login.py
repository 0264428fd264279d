# SPDX-License-Identifier: Apache-2.0
"""Redis' users: a rotated password is followed without a restart, and the documented ACL rule has the rights that are needed."""
import json
import pathlib
import re
import subprocess

import pytest

from aggregator_pipeline import Pipeline, wait_for
from client import held, run_hunt
from harness.huntd_stack import ROOT, http_get
from harness.process import wait_until
from huntctl_runs import SHORT, done, run
from loot_events import expected_rows, make_events


def write_secret(path: pathlib.Path, text: str) -> str:
    """Replaces the file in one step, as a tool that rotates secrets does."""
    new = path.with_suffix(".new")
    new.touch(0o600)
    new.write_text(text + "\n")
    new.rename(path)
    return str(path)


def documented_rules() -> tuple[list[str], list[str], list[str]]:
    """The rights in docs/operations.md of huntd, and what hunt-aggregator and huntctl need beside."""
    document = (ROOT / "docs" / "operations.md").read_text()
    [rules] = re.findall(r"^ACL SETUSER huntd reset resetchannels on >PASSWORD (.+)$", document, re.M)
    [of_aggregator] = re.findall(r"hunt-aggregator without Kafka needs also `([^`]+)`", document)
    [of_huntctl] = re.findall(r"huntctl needs also `([^`]+)`", document)
    return rules.split(), of_aggregator.split(), of_huntctl.split()


def set_user(redis, name: str, password: str, *more: str) -> None:
    rules, of_aggregator, of_huntctl = documented_rules()
    redis.call("ACL", "SETUSER", name, "reset", "resetchannels", "on", f">{password}", *rules, *of_aggregator, *of_huntctl, *more)


def users_of_huntd(stack, cores: int = 2) -> set[str] | None:
    """As whom the cores are connected; nothing unless each is."""
    users = [words["user"] for line in stack.redis.call("CLIENT", "LIST").splitlines()
             if (words := dict(word.split("=", 1) for word in line.split()))["user"] != "default"]
    return set(users) if len(users) == cores else None


def end_connections(stack, user: str) -> None:
    stack.redis.call("CLIENT", "KILL", "USER", user)


def reloads(stack) -> dict:
    return json.loads(http_get(stack.admin, "/status.json")[1])["reload"]


def reload(stack) -> None:
    result = json.loads(done(stack.config, "reload", "--admin", stack.admin, "--json"))
    assert result["result"] == "applied", result


def ready_reason(stack) -> str:
    try:
        return http_get(stack.admin, "/readyz")[1]
    except OSError:
        return ""


@pytest.fixture
def logged_in(own_stack, tmp_path):
    """A stack whose huntd is the user `huntd` of Redis; the second value is its password file."""
    secret = tmp_path / "redis-password"
    stack = own_stack(settings={"redis.user": "huntd", "redis.password_file": write_secret(secret, "first")})
    stack.redis.start()
    set_user(stack.redis, "huntd", "first")
    stack.set()
    stack.huntd.start()
    return stack, secret


def test_huntd_is_the_user_of_the_config(logged_in):
    stack, _ = logged_in
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 200
    assert users_of_huntd(stack) == {"huntd"}


def test_a_rotated_password_is_followed_without_a_reload(logged_in):
    stack, secret = logged_in
    pids = stack.core_pids()
    stack.redis.call("ACL", "SETUSER", "huntd", ">second", "<first")
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200, "a connection that exists stays logged in"
    write_secret(secret, "second")
    end_connections(stack, "huntd")
    wait_until(lambda: users_of_huntd(stack), 30, "the cores to be connected again")
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="b").status == 200
    assert held(stack.http, "gold", "ann") == {"gold": 2}
    assert stack.core_pids() == pids
    assert "trying what redis.password_file has now" in stack.huntd.log_text()
    assert "second" not in re.sub(r"seconds?\b", "", stack.huntd.log_text().replace("second ", ""))


def test_a_password_that_is_written_after_the_rotation_is_found(logged_in):
    stack, secret = logged_in
    stack.redis.call("ACL", "SETUSER", "huntd", ">second", "<first")
    end_connections(stack, "huntd")
    wait_until(lambda: "wrong password" in ready_reason(stack), 60, "the reason")
    answer = run_hunt(stack.http, "gold", "ann", key="k")
    assert answer.status == 503 and answer.problem == "redis-unavailable"
    write_secret(secret, "second")
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 200


def test_a_password_file_that_others_may_read_is_not_used_again(logged_in):
    stack, secret = logged_in
    stack.redis.call("ACL", "SETUSER", "huntd", ">second", "<first")
    write_secret(secret, "second")
    secret.chmod(0o644)
    end_connections(stack, "huntd")
    wait_until(lambda: "world-readable" in ready_reason(stack), 60, "the reason")
    secret.chmod(0o600)
    stack.huntd.await_ready()


def test_a_reload_changes_the_user_of_later_connections(logged_in, tmp_path):
    stack, _ = logged_in
    set_user(stack.redis, "later", "another")
    stack.set(redis__user="later", redis__password_file=write_secret(tmp_path / "another", "another"))
    connections = stack.metric("huntd_redis_reconnects_total")
    reload(stack)
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200
    assert users_of_huntd(stack) == {"huntd"} and stack.metric("huntd_redis_reconnects_total") == connections
    assert "needs a restart" not in stack.huntd.log_text()
    stack.redis.call("ACL", "DELUSER", "huntd")  # ends its connections too
    wait_until(lambda: users_of_huntd(stack) == {"later"}, 30, "the cores to be connected as the other user")
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="a").json["replayed"] is True
    # A core that is started later has it too.
    pid = stack.core_pids()[0]
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    wait_until(lambda: stack.core_pids()[0] not in (pid, 0), 30, "the core to be replaced")
    wait_until(lambda: users_of_huntd(stack) == {"later"}, 30, "the new core to be connected")
    stack.huntd.await_ready()


def test_a_reload_reads_the_password_file_again(logged_in):
    stack, secret = logged_in
    write_secret(secret, "second")
    reload(stack)
    stack.redis.call("ACL", "SETUSER", "huntd", ">second", "<first")
    end_connections(stack, "huntd")
    wait_until(lambda: users_of_huntd(stack), 30, "the cores to be connected again")
    assert "redis rejected the password" not in stack.huntd.log_text()


def test_a_user_without_a_password_file_is_a_fault_of_the_config(own_stack, huntd_program):
    stack = own_stack(settings={"redis.user": "huntd"})
    stack.set()
    done = subprocess.run([huntd_program, "-t", "-c", str(stack.config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and "redis.user: needs redis.password_file" in done.stderr


def test_the_aggregator_and_huntctl_follow_a_rotated_password(tmp_path, postgres):
    pipeline = Pipeline(tmp_path, postgres)
    try:
        set_user(pipeline.redis, "huntd", "first")
        path, listen = pipeline.config()
        secret = pathlib.Path(write_secret(tmp_path / "redis-password", "first"))
        path.write_text(path.read_text().replace("[redis]\n", f'[redis]\nuser = "huntd"\npassword_file = "{secret}"\n'))
        pipeline.config = lambda: (path, listen)
        pipeline.start()
        events = make_events(31, 80)
        first, second = events[:40], events[40:]
        pipeline.put(first)
        wait_for(lambda: pipeline.outbox_length() == 0, "the first events to be merged")
        assert pipeline.rows() == expected_rows(first)
        pipeline.redis.call("ACL", "SETUSER", "huntd", ">second", "<first")
        rejected = run(path, "supplies")
        assert rejected.returncode != 0 and "WRONGPASS" in rejected.stderr
        write_secret(secret, "second")
        pipeline.redis.call("CLIENT", "KILL", "USER", "huntd")
        pipeline.put(second)
        wait_for(lambda: pipeline.rows() == expected_rows(events), "the rows after the rotation")
        assert "supplies" in json.loads(done(path, "supplies", "--json"))
    finally:
        pipeline.stop()


def test_the_documented_rights_are_enough_for_all_and_none_is_left_over(own_stack, tmp_path):
    """A whole hunt, the aggregator and huntctl as one user; Redis keeps in ACL LOG what it denied, and in commandstats what was called."""
    secret = tmp_path / "redis-password"
    stack = own_stack(aggregator=True, settings={**SHORT, "redis.user": "huntd", "redis.password_file": write_secret(secret, "word")})
    stack.redis.start()
    set_user(stack.redis, "huntd", "word")
    stack.redis.call("CONFIG", "RESETSTAT")
    stack.postgres.start()
    stack.set()
    stack.aggregator.launch()
    stack.huntd.start()
    stack.aggregator.await_ready()
    for hunter in ("ann", "bob"):
        for hunt in ("gold", "pair", "scarce"):
            first = run_hunt(stack.http, hunt, hunter, key="k")
            assert first.status == 200
            assert run_hunt(stack.http, hunt, hunter, key="k").json["replayed"] is True
    assert held(stack.http, "pair", "ann") == {"sword": 1, "shield": 1}
    wait_until(lambda: stack.outbox_length() == 0, 60, "the events to be merged", 0.1)
    assert stack.metric("hunt_aggregator_outbox_watched", stack.aggregator_address) == 1
    for words in (["supplies"], ["hunt", "list"], ["reconcile", "--wait", "30"], ["lag"], ["held", "ann", "pair"],
                  ["try", "gold", "ann"], ["hunt", "close", "gold"],
                  ["hunt", "purge", "gold", "--yes", "--wait", "60"], ["hunt", "open", "gold"],
                  ["forget", "bob", "--yes", "--wait", "60"]):
        shown = run(stack.config, *words)
        assert shown.returncode == 0, (words, shown.stdout, shown.stderr)
    stack.redis.call("DEL", *[key for key in stack.redis.client().keys("held:*")])
    done(stack.config, "restore", "--yes", "--wait", "30")
    denied = [entry for entry in stack.redis.call("ACL", "LOG")]
    assert denied == []
    calls = stack.redis.info("commandstats")
    granted = {rule[1:] for rules in documented_rules() for rule in rules if rule.startswith("+")}
    # Not called here: SELECT is for another redis.database, SREM for the supplies of an older huntd.
    assert {right for right in granted if f"cmdstat_{right}" not in calls} == {"select", "srem"}
