# SPDX-License-Identifier: Apache-2.0
"""Many clients with one behaviour, in a process of their own so that they do not slow the load's process.

    with Crowd(stack.http, "slow_head", 5000, seed=1) as crowd:
        crowd.await_there()  # all clients have connected and sent their first bytes
        ...
        saw = crowd.end()    # {"408": 7312, ...}

They come from many addresses of 127.0.0.0/8: one has 28,000 ports, and connections that ended keep theirs for a minute.
A client whose connection is closed connects again.
"""
import asyncio
import json
import os
import pathlib
import random
import resource
import socket
import struct
import subprocess
import sys
from collections import Counter

ADDRESSES = 200
CONNECT_TOGETHER = 400       # less than the backlog, so that no client waits for a repeated SYN
SMALL_SEGMENT_BYTES = 536    # as on a poor line; loopback's own 64 KiB let the server send a megabyte ahead
GET = b"GET /v1/core-map HTTP/1.1\r\nHost: crowd\r\n\r\n"


class Crowd:
    def __init__(self, address: str, manner: str, count: int, *, seed: int):
        self.what = f"{count} clients: {manner}"
        self._child = subprocess.Popen(
            [sys.executable, str(pathlib.Path(__file__)), address, manner, str(count), str(seed)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def await_there(self) -> None:
        line = self._child.stdout.readline()
        if line != "there\n":
            raise AssertionError(f"{self.what}: the crowd ended with {self._child.wait()}")

    def leave(self) -> None:
        """As end(), if not all clients had to connect."""
        self._child.kill()

    def end(self) -> Counter:
        """Ends all clients; returns what they saw."""
        reported, _ = self._child.communicate(timeout=60)
        if self._child.returncode != 0:
            raise AssertionError(f"{self.what}: the crowd ended with {self._child.returncode}")
        return Counter(json.loads(reported))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._child.poll() is None:
            self._child.kill()
        self._child.communicate()


class Client:
    def __init__(self, server: tuple[str, int], index: int, seed: int, saw: Counter):
        self.server = server
        self.index = index
        self.source = f"127.0.1.{index % ADDRESSES + 1}"
        self.draw = random.Random(f"{seed} {index}")
        self.saw = saw
        self.loop = asyncio.get_running_loop()
        self.there = asyncio.Event()
        self.socket: socket.socket | None = None

    async def connect(self, turn: asyncio.Semaphore, *, receive_bytes: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT: the port is chosen by connect
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALL_SEGMENT_BYTES)
        self.socket.bind((self.source, 0))
        async with turn:
            await self.loop.sock_connect(self.socket, self.server)
        self.saw["connected"] += 1

    async def send(self, data: bytes) -> None:
        await self.loop.sock_sendall(self.socket, data)

    async def answer(self) -> int:
        """Reads the next response whole and returns its status; 0 if the server closed. Without pipelining."""
        held = b""
        while b"\r\n\r\n" not in held:
            data = await self.loop.sock_recv(self.socket, 65536)
            if not data:
                return 0
            held += data
        head, _, body = held.partition(b"\r\n\r\n")
        [length] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        while len(body) < length:
            data = await self.loop.sock_recv(self.socket, 65536)
            if not data:
                return 0
            body += data
        return int(head.split(b" ", 2)[1])

    async def trickle(self, data: bytes) -> None:
        """Sends one byte per second, until all are sent or the server responds or closes."""
        answered = asyncio.ensure_future(self.answer())
        try:
            for at in range(len(data)):
                await asyncio.wait([answered], timeout=self.draw.uniform(0.5, 1.5))
                if answered.done():
                    break
                await self.send(data[at:at + 1])
            self.saw[str(await answered or "closed")] += 1
        finally:
            answered.cancel()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


# --- behaviours: one connection, from its connect --------------------------------------------------------------------
async def slow_head(client: Client) -> None:
    await client.send(b"GET /v1/hunts/gold/hunters/slow HTTP/1.1\r\nHost: crowd\r\nX-Slow: ")
    client.there.set()
    await client.trickle(b"x" * 4000)


async def slow_body(client: Client) -> None:
    await client.send(f"POST /v1/hunts/gold/hunters/slow-{client.index} HTTP/1.1\r\nHost: crowd\r\n"
                      "Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n{".encode())
    client.there.set()
    await client.trickle(b" " * 3998)


async def deaf(client: Client) -> None:
    """Asks for more than both sockets' buffers hold, and reads nothing; every second client reads a few bytes per second."""
    for _ in range(8):  # 640 answers of 2 KiB
        await asyncio.wait_for(client.send(GET * 80), 1)
    client.there.set()
    while True:
        await asyncio.sleep(1)
        if client.index % 2:
            if not await asyncio.wait_for(client.loop.sock_recv(client.socket, 16), 5):
                return
        else:
            error = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            # In TCP_INFO the state is the first byte: 1 is ESTABLISHED, so the server has not ended it.
            if error or client.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1:
                client.saw["cut"] += 1
                return


async def idle(client: Client) -> None:
    await client.send(GET)
    client.saw[str(await client.answer())] += 1
    client.there.set()
    await client.loop.sock_recv(client.socket, 1)
    client.saw["closed"] += 1


async def churn(client: Client) -> None:
    hunter = f"churn-{client.draw.randrange(1000)}"
    await client.send(f"GET /v1/hunts/gold/hunters/{hunter} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode())
    client.saw[str(await client.answer())] += 1
    client.there.set()


async def reset(client: Client) -> None:
    """Resets the connection (RST): in a head, in a body, in a hunt, in a response."""
    hunt = f"POST /v1/hunts/pair/hunters/reset-{client.index % 50} HTTP/1.1\r\nHost: crowd\r\nContent-Length: "
    client.there.set()
    where = client.draw.randrange(4)
    if where == 0:
        await client.send(hunt[:client.draw.randrange(1, len(hunt))].encode())
    elif where == 1:
        await client.send(f"{hunt}100\r\n\r\n{{".encode())
    elif where == 2:
        await client.send(f"{hunt}0\r\n\r\n".encode())
    else:
        await client.send(GET * 20)
        await client.loop.sock_recv(client.socket, 16)
    if client.draw.random() < 0.5:
        await asyncio.sleep(client.draw.uniform(0, 0.01))
    client.reset()
    client.saw[("in a head", "in a body", "in a hunt", "in a response")[where]] += 1


async def bodies(client: Client) -> None:
    """A hunt with the largest body, on a connection of its own."""
    body = b'"' + b"x" * (16 * 1024 - 2) + b'"'
    client.there.set()
    await client.send(f"POST /v1/hunts/gold/hunters/body-{client.index} HTTP/1.1\r\nHost: crowd\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    client.saw[str(await client.answer() or "closed")] += 1


MANNERS = {f.__name__: f for f in (slow_head, slow_body, deaf, idle, churn, reset, bodies)}
RECEIVE_BYTES = {"deaf": 4096}


async def live(client: Client, manner: str, turn: asyncio.Semaphore) -> None:
    while True:
        try:
            await client.connect(turn, receive_bytes=RECEIVE_BYTES.get(manner, 0))
            await MANNERS[manner](client)
        except (OSError, TimeoutError) as error:
            client.saw[type(error).__name__] += 1
            await asyncio.sleep(client.draw.uniform(0, 0.2))
        finally:
            client.socket.close()


async def play(address: str, manner: str, count: int, seed: int) -> None:
    host, port = address.rsplit(":", 1)
    saw: Counter = Counter()
    turn = asyncio.Semaphore(CONNECT_TOGETHER)
    clients = [Client((host, int(port)), index, seed, saw) for index in range(count)]
    tasks = [asyncio.create_task(live(client, manner, turn)) for client in clients]
    for client in clients:
        await client.there.wait()
    broken = [task.exception() for task in tasks if task.done()]
    if broken:
        raise broken[0]
    print("there", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps(saw), flush=True)
    os._exit(0)  # at once: before Python 3.12 a wait_for that is cancelled may go on all the same


if __name__ == "__main__":
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(play(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
