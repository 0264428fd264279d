# SPDX-License-Identifier: Apache-2.0
"""A program that writes to a terminal."""
import os
import pty
import subprocess


def run_in_terminal(words: list[str]) -> tuple[int, bytes]:
    """The exit code, and what the program printed to a terminal; its stderr is not kept."""
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    running = subprocess.Popen(words, stdout=theirs, stderr=subprocess.DEVNULL, env={**environment, "TERM": "xterm"})
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:
        pass  # the end of a pseudo-terminal
    os.close(ours)
    return running.wait(timeout=60), seen
