# SPDX-License-Identifier: Apache-2.0
"""The simulation's Redis says what a real one says, for the real scripts and the commands that huntd uses."""
import subprocess

import pytest

from harness.huntd_stack import build_folder
from harness.redis_server import RedisServer


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_model_and_redis_give_the_same_replies(tmp_path, seed):
    program = build_folder() / "tests" / "sim" / "redis_store_check"
    with RedisServer(tmp_path) as redis:
        done = subprocess.run([str(program), str(int(redis.port)), str(seed)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[:4000]
