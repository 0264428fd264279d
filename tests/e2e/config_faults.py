# SPDX-License-Identifier: Apache-2.0
"""What huntd says of a config that it does not take."""
import pathlib
import subprocess


def assert_redis_fault(huntd_program, folder: pathlib.Path, lines: str, words: str) -> None:
    """`huntd -t` rejects a file whose section [redis] has these lines, and says `words`."""
    path = folder / "huntd.toml"
    path.write_text(f"[redis]\n{lines}\n")
    done = subprocess.run([huntd_program, "-t", "-c", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 78 and words in done.stderr, done
