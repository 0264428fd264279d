# SPDX-License-Identifier: Apache-2.0
"""The stand-in for the old engine; README.md says what it stands for."""
import pathlib

from bench.nginx_peers.server import NginxLuaServer
from harness.postgres_server import USER, PostgresServer
from harness.redis_server import RedisServer

HERE = pathlib.Path(__file__).resolve().parent
WORKERS = 2  # as nginx.conf has it; a pool of nginx's Lua module belongs to one worker
CONNECTIONS = 20  # of all workers together, to Redis and again to Postgres
BACKLOG = 16_384  # requests that may wait for one
WAIT_MS = 10_000


class VeltrixServer(NginxLuaServer):
    name = "veltrix"
    handler = "veltrix"
    lua_folders = (*NginxLuaServer.lua_folders, HERE / "lua")

    def __init__(self, redis: RedisServer, postgres: PostgresServer):
        pool = {"pool_size": CONNECTIONS // WORKERS, "backlog": BACKLOG}
        super().__init__(redis, settings={
            "redis_pool": pool, "redis_timeout_ms": WAIT_MS,
            "postgres": {"port": int(postgres.port), "user": USER, "database": postgres.database, "pool": pool,
                         "wait_ms": WAIT_MS}})
        self.postgres = postgres

    def scripts(self) -> dict[str, str]:
        return {"give_loot": (HERE / "give_loot.redis.lua").read_text()}

    def prepare(self) -> None:
        super().prepare()
        if self.postgres.sql("SELECT to_regclass('loot_event')") == [["\\N"]]:
            self.postgres.sql((HERE / "schema.sql").read_text())
