# SPDX-License-Identifier: Apache-2.0
"""A proxy between huntd and the real redis-server, for faults that only the protocol shows.

Commands pass unchanged. Replies of Redis pass through `mode`:
  None              unchanged
  Split()           byte by byte, each in a segment of its own
  Late(seconds)     each piece this much later, in order
  Garbage(...)      the next replies are replaced by bytes that are not RESP, or by replies of another shape
  Instead(...)      of the next pieces, the first reply is replaced and the rest stays
  Cut()             the connection is reset when the next reply comes: the command was run, the reply is lost
"""
import asyncio
import socket
import struct
import threading

from harness.ports import reserve_port


class RedisProxy:
    def __init__(self, redis_port: int):
        self.redis_port = redis_port
        self.port = reserve_port()
        self.address = self.port.address
        self.mode = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="redis-proxy", daemon=True)
        self._started = threading.Event()
        self._writers: set[asyncio.StreamWriter] = set()

    def start(self) -> None:
        self._thread.start()
        if not self._started.wait(10):
            raise TimeoutError("the proxy did not start")

    def stop(self) -> None:
        if self._loop is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
        self.port.release()

    def reset_all(self) -> None:
        """Resets every connection, also in the middle of a command."""
        self._loop.call_soon_threadsafe(lambda: [self._reset(writer) for writer in list(self._writers)])

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", int(self.port)))
        self._started.set()
        try:
            self._loop.run_forever()
        finally:
            server.close()
            self._loop.run_until_complete(self._end())
            self._loop.close()

    @staticmethod
    async def _end() -> None:
        """Ends every connection. A task that is cancelled needs the loop until it has ended."""
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await asyncio.get_running_loop().shutdown_default_executor()
        await asyncio.sleep(0)  # the transports that were aborted

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("socket")
        if peer is not None and peer.fileno() >= 0:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self.redis_port)
        except OSError:
            return self._reset(writer)
        self._writers.add(writer)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.gather(self._commands(reader, redis_writer), self._replies(redis_reader, writer))
        except (OSError, EOFError):
            pass
        finally:
            self._writers.discard(writer)
            self._reset(redis_writer)
            self._reset(writer)

    async def _commands(self, reader, redis_writer) -> None:
        while data := await reader.read(65536):
            redis_writer.write(data)
            await redis_writer.drain()
        raise EOFError

    async def _replies(self, redis_reader, writer) -> None:
        queue: asyncio.Queue = asyncio.Queue()

        async def deliver():
            while True:
                data, mode, came_s = await queue.get()
                if mode is None:
                    writer.write(data)
                    await writer.drain()
                else:
                    await mode.deliver(self, data, writer, came_s)

        async def take():
            while data := await redis_reader.read(65536):
                queue.put_nowait((data, self.mode, asyncio.get_running_loop().time()))
            raise EOFError
        await asyncio.gather(deliver(), take())


class Split:
    """Every byte in a write of its own."""

    async def deliver(self, _proxy, data: bytes, writer, _came_s) -> None:
        for at in range(len(data)):
            writer.write(data[at:at + 1])
            await writer.drain()
            await asyncio.sleep(0)


class Late:
    def __init__(self, seconds: float):
        self.seconds = seconds

    async def deliver(self, _proxy, data: bytes, writer, came_s) -> None:
        await asyncio.sleep(max(0.0, came_s + self.seconds - asyncio.get_running_loop().time()))
        writer.write(data)
        await writer.drain()


class Cut:
    """Resets each connection at its next reply, until `times` are done; then replies go through."""

    def __init__(self, times: int):
        self.left = times

    async def deliver(self, proxy, data: bytes, writer, _came_s) -> None:
        if self.left > 0:
            self.left -= 1
            proxy._reset(writer)
            raise EOFError
        writer.write(data)
        await writer.drain()


class Garbage:
    """Puts each of `texts` once in the place of what Redis sent in one piece."""

    def __init__(self, texts: list[bytes]):
        self.left = list(texts)

    async def deliver(self, _proxy, data: bytes, writer, _came_s) -> None:
        writer.write(self.left.pop(0) if self.left else data)
        await writer.drain()


class Instead:
    """Puts each of `texts` once in the place of one reply, the first of what Redis sent in one piece. The replies after it stay,
    so that huntd's marker (ECHO) still has its turn, and huntd has to notice by the shape alone that the reply is another."""

    def __init__(self, texts: list[bytes]):
        self.left = list(texts)

    async def deliver(self, _proxy, data: bytes, writer, _came_s) -> None:
        end = end_of_reply(data) if self.left else None
        if end is not None and end < len(data):
            data = self.left.pop(0) + data[end:]
        writer.write(data)
        await writer.drain()


def end_of_reply(data: bytes, at: int = 0) -> int | None:
    """Where the RESP2 reply that begins at `at` ends; None if it is not all there, or is a piece of one."""
    line_end = data.find(b"\r\n", at)
    if line_end < 0 or data[at:at + 1] not in (b"+", b"-", b":", b"$", b"*"):
        return None
    end = line_end + 2
    if data[at:at + 1] == b"$":
        length = int(data[at + 1:line_end])
        end += length + 2 if length >= 0 else 0
    elif data[at:at + 1] == b"*":
        for _ in range(int(data[at + 1:line_end])):
            inner = end_of_reply(data, end)
            if inner is None:
                return None
            end = inner
    return end if end <= len(data) else None
