# SPDX-License-Identifier: Apache-2.0
"""Deploys one after the other under load: no hunt may fail, and huntd must not grow."""
import asyncio
import pathlib
import subprocess
from collections import Counter

from aggregator_pipeline import huntctl_program
from client import AsyncConnection

SCRIPT = "-- {n}\nreturn function(hunt)\n  hunt.award('v')\n  return {n}\nend\n"
CLIENTS = 8


def write_version(folder: pathlib.Path, number: int) -> pathlib.Path:
    folder.mkdir(exist_ok=True)
    (folder / "play.lua").write_text(SCRIPT.format(n=number))
    return folder


def descriptors_of(pid: int) -> int:
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


def memory_of(pid: int) -> int:
    """Bytes that only this process has."""
    lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:")) * 1024


def of_all(stack, measure) -> list[int]:
    return [measure(pid) for pid in [stack.huntd.pid, *stack.core_pids()]]


async def _deploy(stack, folder: pathlib.Path) -> None:
    process = await asyncio.create_subprocess_exec(
        str(huntctl_program()), "-c", str(stack.config), "deploy", str(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode == 0, error.decode()


def swap_under_load(stack, folders: list[pathlib.Path], count: int) -> Counter:
    """Deploys the folders in turn, `count` times, while clients play; returns the statuses of all responses. Each deploy is followed
    by responses of its own version before the next one begins."""
    statuses, numbers = Counter(), Counter()
    ended = False

    async def client(number: int):
        connection = AsyncConnection(stack.http)
        while not ended:
            got = await connection.run_hunt("play", f"hunter-{number}")
            statuses[got.status] += 1
            if got.status == 200:
                numbers[got.json["result"]] += 1
        await connection.close()

    async def swap():
        nonlocal ended
        try:
            for turn in range(count):
                number = turn % len(folders)
                before = numbers[number]
                await _deploy(stack, folders[number])
                while numbers[number] < before + CLIENTS:
                    await asyncio.sleep(0.01)
        finally:
            ended = True

    async def whole():
        await asyncio.wait_for(asyncio.gather(swap(), *[client(number) for number in range(CLIENTS)]), 60 + 15 * count)

    asyncio.run(whole())
    return statuses
