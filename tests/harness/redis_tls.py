# SPDX-License-Identifier: Apache-2.0
"""Redis by TLS: what a server needs for it, and a stack whose programs connect by it."""
import pathlib

from harness.certificates import Authority
from harness.huntd_stack import HuntdStack
from harness.ports import reserve_port

HOST = "localhost"


def tls_options(port, authority: Authority, name: str = "server", *, clients: str = "no") -> tuple[str, ...]:
    """Of a redis-server or a sentinel that serves TLS on `port` too, with the certificate `name` of the authority; `clients` says whether
    clients need one of their own (tls-auth-clients)."""
    return ("--tls-port", str(port), "--tls-cert-file", str(authority.directory / f"{name}.crt"), "--tls-key-file",
            str(authority.directory / f"{name}.key"), "--tls-ca-cert-file", str(authority.root), "--tls-auth-clients", clients)


def use_tls(stack: HuntdStack, directory: pathlib.Path, *, host: str = HOST, clients: str = "no", expired: bool = False):
    """Before the stack starts: its Redis serves TLS on a port of its own too, and the config names that. Returns the authority and
    the port."""
    authority = Authority(directory)
    authority.issue(host, expired=expired)
    port = reserve_port()
    stack.redis.options += tls_options(int(port), authority, clients=clients)
    stack.redis.ports.append(port)
    stack.settings.update({"redis.tls": True, "redis.tls_ca_file": str(authority.root), "redis.address": f"{host}:{int(port)}"})
    return authority, port
