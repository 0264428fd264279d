# SPDX-License-Identifier: Apache-2.0
"""without_io_uring.py PROGRAM ARGUMENT...: runs a program under a seccomp filter that fails io_uring with EPERM, as the
default profiles of container run-times do (x86-64 and arm64: the three calls have the same numbers everywhere)."""
import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD_NUMBER, JUMP_IF_LESS, JUMP_IF_GREATER, RETURN = 0x20, 0x35, 0x25, 0x06  # BPF: ld abs, jge, jgt, ret
ALLOW, EPERM = 0x7FFF0000, 0x00050000 | 1
FIRST, LAST = 425, 427  # io_uring_setup, io_uring_enter, io_uring_register


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


code = b"".join(struct.pack("HBBI", *step) for step in [
    (LOAD_NUMBER, 0, 0, 0),
    (JUMP_IF_LESS, 0, 2, FIRST),    # below FIRST: on to ALLOW
    (JUMP_IF_GREATER, 1, 0, LAST),  # above LAST: ALLOW
    (RETURN, 0, 0, EPERM),
    (RETURN, 0, 0, ALLOW)])
text = ctypes.create_string_buffer(code, len(code))
program = Program(len(code) // 8, ctypes.cast(text, ctypes.c_void_p))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 \
        or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
    sys.exit(f"the filter can't be set: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
