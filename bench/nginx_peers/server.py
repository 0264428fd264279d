# SPDX-License-Identifier: Apache-2.0
"""The hunts on nginx in a Debian 13 tree (make_tree.sh): by its Lua module, and as a CGI program behind fcgiwrap.

The servers run by chroot, so as root, each in a folder of its own under the tree's /srv. They share lua/ here, the hunts of
the repository and, read from src/core/ledger/*_script*.h, the very scripts that huntd commits with.
"""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from harness.huntd_stack import ROOT, http_get
from harness.ports import reserve_port
from harness.process import Server
from harness.redis_server import RedisServer

HERE = pathlib.Path(__file__).resolve().parent
TREE = ROOT / "build" / "deps" / "peers"
LINEAGE = "1234567890abcdef"  # of the one Redis that a peer has
LUA_LOCATION = 'content_by_lua_block {{ require("{handler}")() }}'
CGI_LOCATION = """fastcgi_pass unix:{directory}/fcgi.sock;
      fastcgi_param SCRIPT_FILENAME {directory}/cgi.lua;
      fastcgi_param DOCUMENT_URI $document_uri;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_LENGTH $content_length;"""


def in_tree() -> list[str]:
    """The words before a command that run it in the tree."""
    if not (TREE / "built-for").exists():
        raise FileNotFoundError(f"{TREE} is missing: ./dev setup peers")
    if os.geteuid() != 0:
        raise FileNotFoundError("the peers run in a tree of their own, by chroot: run this as root")
    return ["chroot", str(TREE)]


def tree_versions(*packages: str) -> str:
    """Names and versions of the tree's packages, with commas between."""
    done = subprocess.run([*in_tree(), "dpkg-query", "-W", "-f", "${Package} ${Version}, ", *packages],
                          capture_output=True, text=True, check=True)
    return done.stdout.removesuffix(", ")


def huntd_scripts(source: pathlib.Path = ROOT) -> dict[str, str]:
    """The Redis scripts of src/core/ledger in this source tree, by name."""
    text = "".join(header.read_text() for header in (source / "src" / "core" / "ledger").glob("*_script*.h"))
    return dict(re.findall(r'constexpr const char\* (\w+) = R"lua\((.*?)\)lua"', text, re.DOTALL))


def lua_value(value) -> str:
    """Texts, numbers, lists and dicts as Lua writes them."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua_value(k)}] = {lua_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(lua_value, value)) + "}"
    return str(value) if isinstance(value, int) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class NginxLuaServer(Server):
    """content_by_lua, and a pool of keep-alive connections to Redis in each of two workers."""

    name = "nginx-lua"
    handler = "nginx_lua"
    location = LUA_LOCATION
    lua_folders = (HERE / "lua",)

    def __init__(self, redis: RedisServer, *, settings: dict | None = None):
        in_tree()
        super().__init__(tempfile.mkdtemp(prefix=f"{self.name}-", dir=TREE / "srv"))
        self.redis = redis
        self.port = reserve_port()
        self.ports = [self.port]
        self.settings = {"redis_port": int(redis.port), "redis_timeout_ms": 10_000,
                         "redis_pool": {"pool_size": 1024}, **(settings or {})}

    @property
    def address(self) -> str:
        return self.port.address

    @property
    def inside(self) -> str:
        """The server's folder, as it is seen in the tree."""
        return "/" + str(self.directory.relative_to(TREE))

    def scripts(self) -> dict[str, str]:
        return huntd_scripts()

    def prepare(self) -> None:
        for folder in self.lua_folders:
            shutil.copytree(folder, self.directory, dirs_exist_ok=True)
        shutil.copytree(ROOT / "lua", self.directory / "hunts", dirs_exist_ok=True)
        hunts = sorted(self.directory.glob("hunts/*.lua"))
        bundle = hashlib.md5(b"".join(hunt.name.encode() + hunt.read_bytes() for hunt in hunts)).hexdigest()
        with self.redis.client() as redis:
            sha = {name: redis.call("SCRIPT", "LOAD", text) for name, text in self.scripts().items()}
        settings = {"directory": self.inside, "hunts": [hunt.stem for hunt in hunts], "bundle": bundle, "sha": sha,
                    "lineage": LINEAGE, **self.settings}
        (self.directory / "settings.lua").write_text(f"return {lua_value(settings)}\n")
        words = {"directory": self.inside, "handler": self.handler, "address": self.address}
        (self.directory / "nginx.conf").write_text(
            (HERE / "nginx.conf").read_text().format(location=self.location.format(**words), **words))

    def command(self) -> list[str]:
        return [*in_tree(), "nginx", "-p", self.inside, "-c", f"{self.inside}/nginx.conf"]

    def ready(self) -> bool:
        try:
            return http_get(self.address, "/ready")[0] == 200
        except OSError:
            return False

    def __exit__(self, *details):
        super().__exit__(*details)
        if "HUNTD_KEEP" not in os.environ:
            shutil.rmtree(self.directory, ignore_errors=True)


class FcgiwrapServer(Server):
    """Eight children, each of which starts one CGI program at a time."""

    name = "fcgiwrap"
    children = 8

    def __init__(self, directory: pathlib.Path):
        super().__init__(directory)
        self.socket = directory / "fcgi.sock"

    def prepare(self) -> None:
        self.socket.unlink(missing_ok=True)

    def command(self) -> list[str]:
        return [*in_tree(), "fcgiwrap", "-f", "-c", str(self.children), "-s", f"unix:/{self.socket.relative_to(TREE)}"]

    def ready(self) -> bool:
        return self.socket.exists()


class CgiServer(NginxLuaServer):
    """nginx, fcgiwrap, and lua/cgi.lua in a LuaJIT of its own for each request."""

    name = "nginx-cgi"
    handler = "cjson"  # nothing of ours runs inside nginx
    location = CGI_LOCATION

    def __init__(self, redis: RedisServer, **options):
        super().__init__(redis, **options)
        self.fcgiwrap = FcgiwrapServer(self.directory)

    def prepare(self) -> None:
        super().prepare()
        (self.directory / "cgi.lua").chmod(0o755)

    def start(self):
        self.fcgiwrap.start()
        try:
            return super().start()
        except BaseException:
            self.fcgiwrap.kill()
            raise

    def stop(self):
        try:
            return super().stop()
        finally:
            self.fcgiwrap.kill()
