# SPDX-License-Identifier: Apache-2.0
"""Kafka with TLS and SCRAM: every program logs in; if it cannot, it says why, and nothing is lost."""
import json
import re
import subprocess

import pytest

from aggregator_pipeline import huntctl_program
from client import run_hunt
from harness.certificates import Authority
from harness.huntd_stack import http_get
from harness.kafka_server import KafkaServer
from harness.process import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.long(reason="a Kafka of its own for each certificate: two minutes")]
STACK = {"kafka": {"partitions": 2, "users": {"huntd": "tide and moon"}}, "aggregator": True, "append_only": True,
         "settings": {"worker.deadline_ms": 5000, "worker.queue_deadline_ms": 20000, "http.request_deadline_ms": 40000,
                      "kafka.sweep_after_s": 1, "kafka.delivery_timeout_ms": 2000}}
PATIENCE_S = 90


@pytest.fixture
def secure(stack):
    if not isinstance(stack.kafka, KafkaServer):
        pytest.skip(f"needs a broker with TLS: {stack.kafka.why}")
    return stack


def rows(stack, hunter: str) -> dict[str, int]:
    found = stack.postgres.sql(f"select loot from hunt_session where hunter_id = '{hunter}' and hunt_id = 'gold'")
    return json.loads(found[0][0]) if found else {}


def huntctl(stack, *words: str) -> subprocess.CompletedProcess:
    return subprocess.run([huntctl_program(), "-c", str(stack.config), *words], capture_output=True, text=True, timeout=120)


def restart_programs(stack) -> None:
    """With the present config. The aggregator may be not well."""
    stack.aggregator.stop()
    stack.huntd.restart()
    stack.aggregator.launch()


def await_agreement(stack, hunter: str, count: int) -> None:
    wait_until(lambda: rows(stack, hunter) == {"gold": count}, PATIENCE_S, f"{count} awards of {hunter} in the table", poll_s=0.2)
    wait_until(lambda: stack.outbox_length() == 0, PATIENCE_S, "the outbox to empty", poll_s=0.2)
    done = huntctl(stack, "reconcile", "--wait", "60")
    assert done.returncode == 0, done.stdout + done.stderr


def check_that_all_say(stack, hunter: str, words: str) -> None:
    """Hunts go on; each program says `words`; the aggregator is not well, and what is awarded waits in the outbox."""
    huntd_before, aggregator_before = len(stack.huntd.log_text()), len(stack.aggregator.log_text())
    restart_programs(stack)
    for _ in range(5):
        assert run_hunt(stack.http, "gold", hunter).status == 200
    logged = re.compile(words)
    wait_until(lambda: logged.search(stack.huntd.log_text()[huntd_before:]), PATIENCE_S, f"huntd to log {words}", poll_s=0.2)
    wait_until(lambda: logged.search(stack.aggregator.log_text()[aggregator_before:]), PATIENCE_S,
               f"hunt-aggregator to log {words}", poll_s=0.2)

    def unwell() -> bool:
        try:
            status, text = http_get(stack.aggregator_address, "/healthz")
        except OSError:
            return False
        return status == 503 and logged.search(text) is not None
    wait_until(unwell, PATIENCE_S, f"/healthz of hunt-aggregator to say {words}", poll_s=0.2)
    for command in (("reconcile",), ("dead", "list")):
        done = huntctl(stack, *command)
        assert done.returncode != 0 and logged.search(done.stdout + done.stderr), done
    wait_until(lambda: stack.metric("huntd_kafka_failed_total") > 0, PATIENCE_S, "the events to be given up", poll_s=0.2)
    assert stack.outbox_length() >= 5
    assert http_get(stack.admin, "/readyz")[0] == 200  # hunters are served
    assert "tide and moon" not in stack.huntd.log_text() + stack.aggregator.log_text()


def test_every_program_works_with_a_user_over_tls(secure):
    for _ in range(5):
        assert run_hunt(secure.http, "gold", "eve").status == 200
    await_agreement(secure, "eve", 5)
    done = huntctl(secure, "dead", "list")
    assert done.returncode == 0 and "0 dead letters" in done.stdout, done


@pytest.mark.parametrize("hunter, setting, value, words", [
    ("wrong-password", "sasl.password_file", "{folder}/wrong-password", r"(?i)authentication failed|invalid credentials"),
    ("unknown-user", "sasl.username", "stranger", r"(?i)authentication failed|invalid credentials"),
    ("wrong-ca", "ssl.ca.location", "{folder}/other/ca.pem", r"no CA in ssl\.ca\.location has issued it|signed by itself"),
    ("wrong-host", "bootstrap", "127.0.0.1:{port}", r"another (host name|IP address)")])
def test_a_program_that_cannot_log_in_says_why_and_nothing_is_lost(secure, tmp_path, hunter, setting, value, words):
    (tmp_path / "wrong-password").write_text("sun and sand\n")
    (tmp_path / "wrong-password").chmod(0o600)
    if "other" in value:
        Authority(tmp_path / "other", name="another CA")
    key = "kafka.bootstrap" if setting == "bootstrap" else f"kafka.properties.{setting}"
    good = secure.settings[key]
    try:
        secure.set(**{key: value.format(folder=tmp_path, port=secure.kafka.secure_port)})
        check_that_all_say(secure, hunter, words)
    finally:
        secure.set(**{key: good})
        restart_programs(secure)
    await_agreement(secure, hunter, 5)


def test_an_expired_certificate_is_named_and_nothing_is_lost(secure):
    authority = secure.kafka.authority
    try:
        secure.kafka.use_certificate(authority.issue("localhost", name="old", expired=True))
        secure.kafka.restart()
        check_that_all_say(secure, "expired", "it has expired")
    finally:
        secure.kafka.use_certificate(authority.issue("localhost", name="new"))
        secure.kafka.restart()
    await_agreement(secure, "expired", 5)  # nothing of ours was started again


def test_a_password_that_was_changed_is_taken_from_the_file_at_the_restart(secure):
    secret = secure.kafka.directory / "password"
    secure.kafka.set_password("huntd", "sun and sand")
    secure.kafka.restart()  # ends the connections that are logged in
    for _ in range(5):
        assert run_hunt(secure.http, "gold", "rotated").status == 200
    wait_until(lambda: re.search("(?i)authentication", secure.huntd.log_tail(30)), PATIENCE_S, "huntd to log it", poll_s=0.2)
    secret.write_text("sun and sand\n")
    restart_programs(secure)
    await_agreement(secure, "rotated", 5)
