# SPDX-License-Identifier: Apache-2.0
"""Runs a command under the seccomp profile of an OCI runtime, as the runtime does it, without one.

    python3 under_seccomp.py PROFILE.json COMMAND...

It reads what deploy/seccomp.json has: the action for what is not named, rules with names, and comparisons of one argument
(SCMP_CMP_MASKED_EQ). x86_64 only."""
import ctypes
import json
import os
import pathlib
import re
import struct
import sys

NUMBERS = pathlib.Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
AUDIT_ARCH_X86_64, X32_BIT = 0xC000003E, 0x40000000
LOAD, AND, EQUAL, AT_LEAST, RETURN = 0x20, 0x54, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, ALU|AND|K, JMP|JEQ|K, JMP|JGE|K, RET|K
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16  # of struct seccomp_data
KILL, ERRNO, ALLOW = 0x80000000, 0x00050000, 0x7FFF0000


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def result(action: str, errno: int) -> int:
    return {"SCMP_ACT_ALLOW": ALLOW, "SCMP_ACT_ERRNO": ERRNO | errno, "SCMP_ACT_KILL_PROCESS": KILL}[action]


def numbers() -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", NUMBERS.read_text())}


def compiled(profile: dict) -> list[bytes]:
    """The filter as BPF. A name that this kernel's headers do not have is left out, as runtimes do."""
    known = numbers()
    steps = [step(LOAD, ARCH_AT), step(EQUAL, AUDIT_ARCH_X86_64, 1), step(RETURN, KILL),
             step(LOAD, NUMBER_AT), step(AT_LEAST, X32_BIT, 0, 1), step(RETURN, KILL)]
    for rule in profile["syscalls"]:
        end = step(RETURN, result(rule["action"], rule.get("errnoRet", 1)))
        for number in (known[name] for name in rule["names"] if name in known):
            test = []
            for argument in rule.get("args", []):
                assert argument["op"] == "SCMP_CMP_MASKED_EQ" and argument["value"] < 2**32, argument
                test += [step(LOAD, ARGUMENTS_AT + 8 * argument["index"]), step(AND, argument["value"])]
                test.append(step(EQUAL, argument["valueTwo"], 0, 1))
            # After a comparison that failed, the number has to be loaded again.
            body = [*test, end]
            steps += [step(EQUAL, number, 0, len(body) + bool(test)), *body] + ([step(LOAD, NUMBER_AT)] if test else [])
    return [*steps, step(RETURN, result(profile["defaultAction"], profile.get("defaultErrnoRet", 1)))]


def install(profile: dict) -> None:
    steps = b"".join(compiled(profile))
    buffer = ctypes.create_string_buffer(steps, len(steps))
    program = Program(len(steps) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    command = sys.argv[2:]
    with open(sys.argv[1]) as file:
        wanted = json.load(file)
    install(wanted)
    os.execvp(command[0], command)
