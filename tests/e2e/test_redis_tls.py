# SPDX-License-Identifier: Apache-2.0
"""Redis by TLS (redis.tls): who is trusted, the reasons if a server is not, and certificates that are renewed."""
import concurrent.futures
import shutil
import subprocess

import pytest

from aggregator_pipeline import PATIENCE_S
from client import held, run_hunt
from harness.certificates import Authority
from harness.huntd_stack import build_folder
from harness.ports import reserve_port
from harness.process import wait_until
from harness.redis_server import RedisServer
from harness.redis_tls import HOST, tls_options, use_tls
from harness.sentinel_server import PRIMARY, SentinelServer, await_primary
from huntctl_runs import done, run
from test_redis_sentinel import await_reason

ADDRESS = "127.0.0.1"


class Secured:
    """A stack with a Redis that serves TLS on a port of its own; huntd is not started."""

    def __init__(self, own_stack, directory, *, settings: dict | None = None, aggregator: bool = False, **options):
        self.stack = own_stack(settings=settings or {}, aggregator=aggregator)
        self.authority, self.port = use_tls(self.stack, directory / "tls", **options)
        self.stack.redis.start()
        self.stack.set()

    def identity(self, name: str, **options) -> dict:
        """Settings of a client with a certificate."""
        self.authority.issue("huntd", name=name, **options)
        return {"redis.tls_cert_file": str(self.authority.directory / f"{name}.crt"),
                "redis.tls_key_file": str(self.authority.directory / f"{name}.key")}

    def renew(self, host: str = HOST) -> None:
        """Redis reads its certificate again when it is set."""
        self.authority.issue(host)
        self.stack.redis.call("CONFIG", "SET", "tls-cert-file", self.authority.directory / "server.crt", "tls-key-file",
                              self.authority.directory / "server.key")

    def ports_of_clients(self) -> set[int]:
        """Those of Redis to which the clients beside us are connected."""
        lines = [dict(word.split("=", 1) for word in line.split()) for line in self.stack.redis.call("CLIENT", "LIST").splitlines()]
        return {int(words["laddr"].rsplit(":", 1)[1]) for words in lines if words["cmd"] != "client|list"}


def test_hunts_and_events_go_by_tls_alone(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, aggregator=True)
    stack = secured.stack
    stack.redis.stop()
    stack.start()
    with concurrent.futures.ThreadPoolExecutor(64) as pool:  # more in a tick than one record of TLS holds
        runs = list(pool.map(lambda number: run_hunt(stack.http, "gold", f"hunter-{number}", key=f"k{number}"), range(512)))
    assert {one.status for one in runs} <= {200, 503}
    served = [number for number, one in enumerate(runs) if one.status == 200]
    assert served and held(stack.http, "gold", f"hunter-{served[0]}") == {"gold": 1}
    wait_until(lambda: stack.outbox_length() == 0, PATIENCE_S, "the aggregator to read the outbox by TLS")
    done(stack.config, "reconcile")
    assert secured.ports_of_clients() == {int(secured.port)}


def test_a_certificate_for_the_address_is_enough(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, host=ADDRESS)
    secured.stack.huntd.start()
    assert run_hunt(secured.stack.http, "gold", "ann", key="k").status == 200


def test_a_name_of_the_config_is_the_one_that_counts(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, settings={"redis.tls_server_name": "redis.example"})
    secured.stack.huntd.launch()
    await_reason(secured.stack, "the server's certificate is not for redis.example: set redis.tls_server_name")
    secured.renew("redis.example")
    secured.stack.huntd.await_ready()


@pytest.mark.parametrize("fault, words", [
    ("another authority", "no authority that is trusted has issued the server's certificate: see redis.tls_ca_file"),
    ("the system's authorities", "no authority that is trusted has issued the server's certificate: see redis.tls_ca_file"),
    ("expired", "the server's certificate, or one of its chain, has expired: renew it"),
    ("no TLS there", "the server does not complete the TLS handshake: is this address one with TLS?"),
])
def test_a_server_that_is_not_trusted_gets_no_command(own_stack, tmp_path, fault, words):
    secured = Secured(own_stack, tmp_path, expired=fault == "expired")
    stack = secured.stack
    if fault == "another authority":
        stack.set(redis__tls_ca_file=str(Authority(tmp_path / "other").root))
    if fault == "the system's authorities":
        del stack.settings["redis.tls_ca_file"]
        stack.set()
    if fault == "no TLS there":
        stack.set(redis__address=f"{HOST}:{int(stack.redis.port)}")
    stack.huntd.launch()
    await_reason(stack, words)
    answer = run_hunt(stack.http, "gold", "ann", key="k")
    assert answer.status == 503 and answer.problem == "redis-unavailable"
    ran = run(stack.config, "supplies")
    assert ran.returncode != 0 and words in ran.stderr, ran.stderr
    with stack.redis.client() as client:
        assert not list(client.keys("*"))


def test_a_renewed_certificate_of_redis_needs_no_restart(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, expired=True)
    stack = secured.stack
    stack.huntd.launch()
    await_reason(stack, "has expired: renew it")
    pids = stack.core_pids()
    secured.renew()
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 200
    assert stack.core_pids() == pids


def test_a_server_that_asks_for_a_certificate_gets_it(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, clients="yes")
    stack = secured.stack
    stack.huntd.launch()
    # In TLS 1.3 the server's alert, which says it for certain, may be lost with the connection.
    words = "server wants a certificate of its client"
    await_reason(stack, words)
    assert words in run(stack.config, "supplies").stderr
    stack.huntd.stop()
    stack.set(**{key.replace(".", "__"): value for key, value in secured.identity("client").items()})
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 200
    done(stack.config, "supplies")


def test_a_renewed_certificate_of_huntd_needs_no_restart(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, clients="yes")
    stack = secured.stack
    stack.set(**{key.replace(".", "__"): value for key, value in secured.identity("client", expired=True).items()})
    stack.huntd.launch()
    await_reason(stack, "redis.tls_cert_file")
    pids = stack.core_pids()
    secured.identity("client")  # in the same files
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="k").status == 200
    assert stack.core_pids() == pids


def test_a_lost_connection_is_made_again_by_tls(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path)
    stack = secured.stack
    stack.redis.append_only = True
    stack.redis.restart()
    stack.huntd.start()
    assert run_hunt(stack.http, "gold", "ann", key="a").status == 200
    stack.redis.kill()
    stack.redis.start()
    stack.huntd.await_ready()
    assert run_hunt(stack.http, "gold", "ann", key="b").status == 200
    assert held(stack.http, "gold", "ann") == {"gold": 2}


@pytest.mark.parametrize("changes, words", [
    ({"redis.tls_ca_file": "/nowhere.pem"}, "redis.tls_ca_file: /nowhere.pem: No such file or directory"),
    ({"redis.tls_ca_file": "EMPTY"}, "there is no certificate in it (PEM)"),
    ({"redis.tls_cert_file": "CERTIFICATE"}, "set both redis.tls_cert_file and redis.tls_key_file, or neither"),
    ({"redis.tls_cert_file": "CERTIFICATE", "redis.tls_key_file": "OTHER KEY"}, "the key is not that of redis.tls_cert_file"),
    ({"redis.tls_cert_file": "CERTIFICATE", "redis.tls_key_file": "OPEN KEY"}, "is world-readable or world-writable"),
    ({"redis.tls_cert_file": "CERTIFICATE", "redis.tls_key_file": "EMPTY"}, "there is no key without a passphrase in it (PEM)"),
    ({"redis.address": "unix:/run/redis.sock"}, "needs TCP: redis.address names a unix socket"),
    ({"redis.tls": False}, "has no effect: set redis.tls = true"),
])
def test_files_that_cannot_be_used_are_faults_of_the_config(own_stack, tmp_path, changes, words):
    secured = Secured(own_stack, tmp_path)
    for name in ("client", "other"):
        secured.authority.issue("huntd", name=name)
    folder = secured.authority.directory
    (folder / "empty").touch(0o600)
    shutil.copy(folder / "client.key", folder / "open.key")
    (folder / "open.key").chmod(0o644)
    files = {"EMPTY": folder / "empty", "CERTIFICATE": folder / "client.crt", "OTHER KEY": folder / "other.key", "OPEN KEY": folder / "open.key"}
    secured.stack.set(**{key.replace(".", "__"): str(files.get(value, value)) if isinstance(value, str) else value
                         for key, value in changes.items()})
    ran = subprocess.run([build_folder() / "huntd", "-t", "-c", secured.stack.config], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 78 and words in ran.stderr, ran.stderr


def test_sentinels_are_asked_by_tls(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, host=ADDRESS)
    stack = secured.stack
    port = reserve_port()
    options = tls_options(int(port), secured.authority)
    lines = tuple(" ".join(pair).removeprefix("--") for pair in zip(options[::2], options[1::2]))
    sentinel = SentinelServer(tmp_path / "sentinel", int(secured.port), quorum=1, lines=(*lines, "tls-replication yes"))
    sentinel.ports.append(port)
    with sentinel:
        await_primary([sentinel], int(secured.port))
        del stack.settings["redis.address"]
        stack.set(redis__sentinels=f"{ADDRESS}:{int(port)}", redis__sentinel_primary=PRIMARY)
        stack.huntd.start()
        assert run_hunt(stack.http, "gold", "ann", key="k").status == 200
        done(stack.config, "supplies")
        stack.huntd.stop()


def test_sentinels_that_are_not_trusted_are_named(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path, host=ADDRESS)
    stack = secured.stack
    del stack.settings["redis.address"]
    stack.set(redis__sentinels=f"{ADDRESS}:{int(secured.port)}", redis__tls_ca_file=str(Authority(tmp_path / "other").root))
    stack.huntd.launch()
    await_reason(stack, f"sentinel {ADDRESS}:{int(secured.port)}: no authority that is trusted has issued the server's certificate")


def test_a_server_that_never_handshakes_is_given_up(own_stack, tmp_path):
    secured = Secured(own_stack, tmp_path)
    server = RedisServer(tmp_path / "deaf")
    with server:
        server.signal(19)  # SIGSTOP: the kernel still accepts
        secured.stack.set(redis__address=f"{HOST}:{int(server.port)}")
        secured.stack.huntd.launch()
        await_reason(secured.stack, "the server does not complete the TLS handshake")
        server.signal(18)
