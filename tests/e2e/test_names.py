# SPDX-License-Identifier: Apache-2.0
"""Servers by name: a start does not depend on the resolver, each address is tried at each connect, and what failed is named
(docs/decisions/0039-names-and-addresses.md). Each test has a name server of its own."""
import pathlib
import signal
import subprocess

import pytest

from client import call, run_hunt
from harness import name_server
from harness.huntd_stack import build_folder, http_get
from harness.name_server import DOES_NOT_EXIST, FAILS, SILENT, NameServer
from harness.process import wait_until
from harness.redis_server import RedisServer

pytestmark = pytest.mark.skipif(bool(name_server.why_not()), reason=name_server.why_not() or "-")

NAME = "redis.test"
NOT_LISTENING = "nothing listens there (connect: Connection refused)"
# A resolver that never answers takes longer than any wait of these tests.
PATIENT_RESOLVER = "timeout:30 attempts:5"


@pytest.fixture
def make_names(tmp_path):
    """A function that makes a name server."""
    made = []

    def make(**wanted) -> NameServer:
        made.append(NameServer(tmp_path / f"names{len(made)}", **wanted))
        return made[-1]

    yield make
    for names in made:
        names.close()


@pytest.fixture
def stack_by_name(own_stack):
    """A function that makes a stack whose huntd and aggregator know Redis by name only. Its stores run, its programs do not."""
    def make(names: NameServer, *, at: str | None = None, **wanted):
        stack = own_stack(before_huntd=names.before, **wanted)
        if at:
            stack.redis.options = ("--bind", "127.0.0.1", at)
        stack.settings["redis.address"] = f"{NAME}:{stack.redis.port}"
        if stack.aggregator:
            command = stack.aggregator.command()
            stack.aggregator.command = lambda: [*names.before, *command]
        stack.start_stores()
        return stack

    return make


def reasons(stack) -> str:
    """What /readyz complains about; empty if it does not respond, or if huntd is ready."""
    try:
        status, body = http_get(stack.admin, "/readyz")
    except OSError:
        return ""
    return body if status == 503 else ""


def await_reason(stack, text: str) -> None:
    wait_until(lambda: text in reasons(stack), 60, f"the reason {text!r}")


def huntctl(names: NameServer, stack, *words) -> subprocess.CompletedProcess:
    return subprocess.run([*names.before, str(build_folder() / "huntctl"), "-c", str(stack.config), *words], capture_output=True, text=True,
                          timeout=60)


@pytest.mark.parametrize("answer, words", [(DOES_NOT_EXIST, "there is no such name"), (FAILS, "no name server answered"),
                                           ([], "the name has no address")])
def test_a_name_that_does_not_resolve_yet_is_a_reason_and_not_the_end(make_names, stack_by_name, answer, words):
    names = make_names()
    names.answers[NAME] = answer
    stack = stack_by_name(names)
    stack.huntd.launch()
    await_reason(stack, f"cannot resolve {NAME}: {words}")
    assert call(stack.http, "POST", "/v1/hunts/gold/hunters/early").problem == "redis-unavailable"
    shown = huntctl(names, stack, "status")
    assert shown.returncode == 1 and f"cannot resolve {NAME}: {words}" in shown.stdout
    assert f"cannot resolve {NAME}: {words}" in stack.huntd.log_text()
    names.answers[NAME] = ["127.0.0.1"]
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "late").status == 200


def test_a_name_server_that_starts_after_huntd_is_enough(make_names, stack_by_name):
    names = make_names(listens=False)
    names.answers[NAME] = ["127.0.0.1"]
    stack = stack_by_name(names)
    stack.huntd.launch()
    await_reason(stack, "no name server answered")
    names.listen()
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "late").status == 200


def test_a_check_of_the_config_asks_no_name_server(make_names, stack_by_name, huntd_program):
    names = make_names()
    stack = stack_by_name(names)
    done = subprocess.run([*names.before, huntd_program, "-t", "-c", str(stack.config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not names.asked


@pytest.mark.parametrize("alive", ["127.0.0.2", "127.0.0.3"])
@pytest.mark.parametrize("answer", [["127.0.0.2", "127.0.0.3"], ["127.0.0.3", "127.0.0.2"]])
def test_each_address_of_a_name_is_tried(make_names, stack_by_name, alive, answer):
    names = make_names()
    names.answers[NAME] = answer
    stack = stack_by_name(names, at=alive, aggregator=True)
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ada").status == 200
    assert f"address={alive}:{stack.redis.port}" in stack.huntd.log_text()
    stack.aggregator.start()  # its source is the outbox in Redis
    assert huntctl(names, stack, "hunt", "list").returncode == 0
    stack.aggregator.stop()
    stack.redis.kill()
    for address in answer:
        await_reason(stack, f"{address}:{stack.redis.port}: {NOT_LISTENING}")
    await_reason(stack, f"{NAME} is ")
    failed = huntctl(names, stack, "hunt", "list")
    assert failed.returncode == 3
    for address in answer:
        assert f"({address}:{stack.redis.port}): Connection refused" in failed.stdout + failed.stderr


def test_a_replica_is_passed_over_for_the_next_address(make_names, stack_by_name, tmp_path):
    names = make_names()
    stack = stack_by_name(names, at="127.0.0.3", aggregator=True)
    # On the same port of another address, so it cannot listen on 127.0.0.1, which the harness asks.
    replica = RedisServer(tmp_path / "replica", port=stack.redis.port,
                          options=("--bind", "127.0.0.2", "--replicaof", "127.0.0.3", str(stack.redis.port)))
    replica.launch()
    try:
        names.answers[NAME] = ["127.0.0.2"]
        stack.huntd.launch()
        await_reason(stack, f"127.0.0.2:{stack.redis.port}: the server is a replica of 127.0.0.3")
        names.answers[NAME] = ["127.0.0.2", "127.0.0.3"]
        stack.huntd.await_ready()
        assert run_hunt(stack.http, "gold", "ada").status == 200
        stack.aggregator.start()  # its source is the outbox of the primary
    finally:
        replica.kill()


def test_a_name_that_moves_is_followed(make_names, stack_by_name, tmp_path):
    names = make_names()
    names.answers[NAME] = ["127.0.0.2"]
    stack = stack_by_name(names, at="127.0.0.2")
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ada").status == 200
    port = stack.redis.port
    stack.redis.kill()
    await_reason(stack, f"{NAME} is 127.0.0.2:{port}: {NOT_LISTENING}")
    with RedisServer(tmp_path / "moved", port=port, options=("--bind", "127.0.0.1", "127.0.0.3")):
        names.answers[NAME] = ["127.0.0.3"]
        stack.huntd.await_ready()
        assert run_hunt(stack.http, "gold", "ada").status == 200
        assert f"address=127.0.0.3:{port}" in stack.huntd.log_text()


def resolver_threads(stack) -> list[str]:
    return [str(task) for pid in stack.core_pids() for task in pathlib.Path(f"/proc/{pid}/task").iterdir()
            if (task / "comm").read_text().strip() == "huntd-resolver"]


def test_a_silent_name_server_holds_nothing_up(make_names, stack_by_name):
    names = make_names(options=PATIENT_RESOLVER)
    names.answers[NAME] = SILENT
    stack = stack_by_name(names, cores=2)
    stack.huntd.launch()
    await_reason(stack, f"{NAME} is being looked up")
    assert call(stack.http, "POST", "/v1/hunts/gold/hunters/ada").problem == "redis-unavailable"
    await_reason(stack, f"cannot resolve {NAME}: no reply within 5 s")
    # The look-up goes on, and no second one is started.
    assert len(resolver_threads(stack)) == 2
    assert http_get(stack.admin, "/healthz")[0] == 200 and http_get(stack.admin, "/livez")[0] == 200
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in stack.huntd.log_text(), 30, "the reload")
    assert len(resolver_threads(stack)) == 2
    pids = stack.core_pids()
    assert stack.huntd.stop() == 0  # the resolver would hang for longer than this waits
    assert "drain deadline" not in stack.huntd.log_text()
    assert not [pid for pid in pids if pathlib.Path(f"/proc/{pid}").exists()]


def test_an_answer_that_comes_late_is_used(make_names, stack_by_name):
    names = make_names(options="timeout:7 attempts:5")  # the resolver asks again after huntd has given up
    names.answers[NAME] = SILENT
    stack = stack_by_name(names, cores=1)
    stack.huntd.launch()
    await_reason(stack, f"cannot resolve {NAME}: no reply within 5 s")
    names.answers[NAME] = ["127.0.0.1"]
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "late").status == 200


def test_a_numeric_address_needs_no_thread_and_no_name_server(make_names, own_stack):
    names = make_names(options=PATIENT_RESOLVER)
    stack = own_stack(before_huntd=names.before).start()
    stack.redis.kill()
    await_reason(stack, f"{stack.redis.address}: {NOT_LISTENING}")
    assert not resolver_threads(stack)
    assert not names.asked


def test_the_aggregator_starts_without_a_resolver_and_tries_again(make_names, stack_by_name):
    names = make_names()
    names.answers[NAME] = FAILS
    stack = stack_by_name(names, aggregator=True)
    stack.aggregator.launch()

    def health() -> str:
        try:
            return http_get(stack.aggregator_address, "/readyz")[1]
        except OSError:
            return ""

    wait_until(lambda: f"cannot resolve {NAME}: no name server answered" in health(), 60, "the reason")
    names.answers[NAME] = ["127.0.0.1"]
    stack.aggregator.await_ready()


def test_a_silent_name_server_does_not_keep_the_aggregator_from_ending(make_names, stack_by_name):
    names = make_names(options=PATIENT_RESOLVER)
    names.answers[NAME] = SILENT
    stack = stack_by_name(names, aggregator=True)
    stack.aggregator.launch()
    wait_until(lambda: names.asked.get(NAME), 60, "the question")
    assert stack.aggregator.stop() == 0  # the resolver would hang for longer than this waits


def test_a_name_of_several_addresses_is_listened_on_at_each(make_names, own_stack):
    names = make_names(hosts={"hunts.test": ["127.0.0.2", "127.0.0.3", "203.0.113.77"]})
    stack = own_stack(before_huntd=names.before)
    port = stack.http.rpartition(":")[2]
    stack.settings |= {"http.listen": f"hunts.test:{port}", "auth.allow_unauthenticated": True}
    stack.start()
    for address in ("127.0.0.2", "127.0.0.3"):
        assert run_hunt(f"{address}:{port}", "gold", "ada").status == 200
        assert f"address={address}:{port} by=http.listen" in stack.huntd.log_text()
    with pytest.raises(ConnectionRefusedError):
        call(f"127.0.0.1:{port}", "GET", "/v1/core-map")
    assert f"address=203.0.113.77:{port} name=hunts.test" in stack.huntd.log_text()
