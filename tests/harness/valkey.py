# SPDX-License-Identifier: Apache-2.0
"""A Valkey from Debian 13, to run in the place of Redis (HUNTD_REDIS_SERVER) on a machine whose own Debian has none."""
import shutil
import subprocess

from harness.tree import MAKE_TREE, TreeUnavailable, tree_cache

PACKAGE = "valkey-server"


def valkey_words() -> list[str]:
    """The program and its first arguments. It runs in this machine's file system, with the libraries of its own tree.
    TreeUnavailable: why there is none."""
    if shutil.which("debootstrap") is None:
        raise TreeUnavailable("no debootstrap (package debootstrap)")
    folder = tree_cache() / "valkey"
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run([str(MAKE_TREE), "trixie", str(folder), PACKAGE], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if made.returncode != 0:
        raise TreeUnavailable(f"no tree with {PACKAGE}: {made.stderr.strip().splitlines()[-1]}")
    [loader] = sorted(folder.glob("usr/lib64/ld-linux-*.so.*")) or sorted(folder.glob("usr/lib/*/ld-linux-*.so.*"))[:1]
    libraries = ":".join(str(found) for found in folder.glob("usr/lib/*-linux-gnu"))
    return [str(loader), "--library-path", libraries, str(folder / "usr" / "bin" / PACKAGE)]


def version(words: list[str]) -> str:
    """As it prints it."""
    return subprocess.run([*words, "--version"], check=True, capture_output=True, text=True).stdout.strip()

