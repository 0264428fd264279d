# SPDX-License-Identifier: Apache-2.0
"""Scripts that try to escape, and how each ends. `body` is the inside of `return function(hunt) … end` on a line of its own (line 2),
unless it contains a `return function` itself."""
import pathlib
import platform
import re
import struct
from dataclasses import dataclass

# What the caller gets for each reason (docs/http-api.md).
RESPONSES = {"script_error": (500, "script-failed"), "out_of_memory": (500, "script-out-of-memory"),
           "deadline": (504, "deadline-passed"), "forbidden_call": (500, "worker-died"),
           "broken_frame": (500, "worker-died"), "worker_died": (500, "worker-died")}


@dataclass
class Attempt:
    """`ends` is a reason of RESPONSES; None: the hunt succeeds, its result is `result`, and the attempt had no effect."""
    name: str
    body: str
    ends: str | None
    line: str = ""  # as in the metric and the log; only with script_error
    result: object = None
    held: dict | None = None  # the hunter's loot of the hunt afterwards; usually none
    harms_the_next_in_a_batch: bool = False  # docs/isolation.md
    sends_after_outcome: bool = False  # a frame after the outcome; only in modes batch and task it still runs then
    forbidden_in_a_task: bool = False  # its filter allows less

    @property
    def source(self) -> str:
        return self.body if "return function" in self.body else f"return function(hunt)\n{self.body}\nend\n"


def _error(name: str, body: str, line: str = "2") -> Attempt:
    return Attempt(name, body, "script_error", line)


def _endless(name: str, body: str) -> Attempt:
    return Attempt(name, body, "deadline")


def _greedy(name: str, body: str) -> Attempt:
    return Attempt(name, body, "out_of_memory")


# --- inside the VM: any script can try these -------------------------------------------------------------------------
MISSING = ("io.open('/etc/passwd')", "os.execute('id')", "debug.getregistry()", "package.loadlib('libc.so.6', 'system')", "require('ffi')",
           "jit.off()", "load('return 1')", "loadstring('\\27LJ')", "loadfile('/etc/passwd')", "dofile('/etc/passwd')", "string.dump(print)",
           "setfenv(1, {})", "getfenv(0)", "newproxy(true)", "collectgarbage('stop')", "math.randomseed(1)", "ffi.C.system('id')", "print('x')")

IN_THE_VM = [
    *(_error(f"missing-{number}-{call.split('(')[0].replace('.', '-')}", f"return ({call})") for number, call in enumerate(MISSING)),
    _endless("loop", "while true do end"),
    _endless("loop-in-pcall", "while true do pcall(function() while true do end end) end"),
    _endless("loop-of-caught-errors", "while true do pcall(error, 'again') end"),
    _endless("loop-in-coroutine", "coroutine.wrap(function() while true do end end)()"),
    _endless("loop-of-yields", "local c = coroutine.wrap(function() while true do coroutine.yield() end end) while true do c() end"),
    _endless("loop-in-error-handler", "xpcall(error, function() while true do end end)"),
    _endless("loop-in-comparison", "table.sort({3, 2, 1}, function() while true do end end)"),
    _endless("loop-in-pattern", "return string.find(('a'):rep(4000), ('.-'):rep(12) .. 'b')"),
    _endless("loop-in-gsub", "return (('x'):gsub('x', function() while true do end end))"),
    _endless("loop-in-index", "return setmetatable({}, {__index = function() while true do end end}).x"),
    _endless("loop-in-result", "local t = setmetatable({}, {__index = function(t, k) while true do end end}) return {t.a}"),
    _greedy("string-of-a-gigabyte", "return #string.rep('x', 1024 * 1024 * 1024)"),
    _greedy("string-that-doubles", "local s = 'x' while true do s = s .. s end"),
    _greedy("a-million-coroutines", "local all = {} for i = 1, 1000000 do all[i] = coroutine.create(function() coroutine.yield() end) "
            "coroutine.resume(all[i]) end return #all"),
    _greedy("table-without-end", "local t = {} while true do t[#t + 1] = {} end"),
    _error("memory-caught-by-pcall", "local t = {} local ok = pcall(function() while true do t[#t + 1] = {#t} end end) "
           "t = nil error(ok and 'it ended' or 'it was rejected')"),
    _error("recursion", "local function f(n) return 1 + f(n + 1) end return f(1)"),
    _error("recursion-in-pcall", "local function f() return pcall(f) and 1 end f() error('back again')"),
    # The C stack's end is a fault that LuaJIT does not catch.
    Attempt("recursion-in-gsub", "local function f() return (('x'):gsub('x', f)) end return f()", "worker_died"),
    _endless("recursion-in-tostring", "local t = setmetatable({}, {}) getmetatable(t).__tostring = function() return tostring(t) end return tostring(t)"),
    _error("pattern-too-deep", "local found = string.match(('a'):rep(300000), ('(a'):rep(40) .. (')'):rep(40)) return found"),
    _error("format-too-wide", "local wide = string.format('%1000000d', 1) return wide"),
    _error("result-that-holds-itself", "local t = {} t.t = t return t", line=""),
    _error("result-too-long", "return string.rep('x', 100000)", line=""),
    _error("error-that-is-a-table", "error(setmetatable({}, {__tostring = function() while true do end end}))"),
    _error("another-hunters-name-in-the-award", "hunt.award('gold:other')"),
    _error("loot-with-a-line-in-it", "hunt.award('gold\\n1')"),
    _error("awards-without-end", "while true do hunt.award('gold') end"),
    _error("error-that-is-another-hunts", "error('gold.lua:1: nothing', 0)"),
    Attempt("hunter-id-changed", "hunt.hunter_id = 'other' hunt.id = 'gold' hunt.award('mine') return {}", None, result={}, held={"mine": 1}),
    Attempt("log-that-forges-lines", "hunt.log('x\\nlevel=error msg=forged') hunt.log('\\27[2J') return {}", None, result={}),
    Attempt("log-without-end", "for i = 1, 100000 do hunt.log(('x'):rep(200)) end return {}", None, result={}),
    Attempt("globals-torn-down", "string.rep = nil getmetatable('').__index = nil getmetatable('').__add = error hunt.award = nil hunt.held = nil "
        "local all = _G for name in pairs(all) do all[name] = nil end return {}", None, result={}),
]

# --- with a socket in hand: frames that hunt_worker would never send -------------------------------------------------
MAGIC, JOB, ASK_HELD, ASK_SUPPLY, OUTCOME, ASK_LEFT = 0x544E5548, 1, 2, 4, 6, 13
HEADER = pathlib.Path(__file__).resolve().parents[2] / "src" / "wire" / "worker_frame.h"
VERSION = int(re.search(r"WF_VERSION = (\d+)", HEADER.read_text())[1])  # else each forged frame would fail for its version alone
WF_OK, SCRIPT_ERROR, WITH_STATE = 0, 2, 0x100
LIMITED, UNITS, TAKE = 1, 2, 4
UNITS_MAX = 1_000_000


def text(value: str) -> bytes:
    return struct.pack("<I", len(value)) + value.encode()


def frame(kind: int, payload: bytes = b"", *, magic: int = MAGIC, version: int = VERSION, length: int | None = None) -> bytes:
    return struct.pack("<IHHI", magic, version, kind, len(payload) if length is None else length) + payload


def award(loot: str, flags: int, units: int | None = None) -> bytes:
    return text(loot) + bytes([flags]) + (b"" if units is None else struct.pack("<I", units))


def outcome(*awards: tuple, status: int = WF_OK, count: int | None = None, result: str = "{}", reason: str = "", log: str = "",
            after: bytes = b"") -> bytes:
    given = b"".join(award(*each) for each in awards)
    return (struct.pack("<IQQQI", status, 0, 0, 0, len(awards) if count is None else count) + given + text(result) + text(reason) + text(log) + after)


def lua_string(data: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in data) + '"'


def _forged(name: str, packet: bytes, times: int = 1) -> Attempt:
    return Attempt(name, f"for i = 1, {times} do {send(packet)} end return {{}}", "broken_frame")


def send(packet: bytes) -> str:
    return f"hunt.send({lua_string(packet)})"


GOLD = outcome(("gold", 0))
FIRST = frame(OUTCOME, outcome(("gold", 0), result='{"n":1}'))
FORGED = frame(OUTCOME, outcome(("forged", 0), result='{"n":9}'))
A_LINE = frame(OUTCOME, outcome(status=SCRIPT_ERROR, reason="\nlevel=error msg=forged"))
FORGED_FRAMES = [
    _forged("wrong-magic", frame(OUTCOME, GOLD, magic=0x50545448)),
    _forged("wrong-version", frame(OUTCOME, GOLD, version=1)),
    _forged("length-0", frame(OUTCOME, GOLD, length=0)),
    _forged("length-of-4-gigabytes", frame(OUTCOME, GOLD, length=2**32 - 1)),
    _forged("half-a-header", frame(OUTCOME)[:7]),
    _forged("unknown-type", frame(99)),
    _forged("an-empty-packet", b""),
    _forged("a-job-for-another-hunter", frame(JOB, struct.pack("<I", 0) + bytes(48) + text("gold") + text("other") + text(""))),
    _forged("outcome-of-nothing", frame(OUTCOME)),
    _forged("another-hunters-id-behind-it", frame(OUTCOME, outcome(("gold", 0), after=text("other")))),
    _forged("another-hunters-id-in-the-loot", frame(OUTCOME, outcome(("gold:other", 0)))),
    _forged("loot-with-a-line", frame(OUTCOME, outcome(("gold\r\nHSET x", 0)))),
    _forged("loot-without-a-name", frame(OUTCOME, outcome(("", 0)))),
    _forged("33-awards", frame(OUTCOME, outcome(*[("gold", 0)] * 33))),
    _forged("more-awards-counted-than-sent", frame(OUTCOME, outcome(("gold", 0), count=2**32 - 1))),
    _forged("a-unit-that-was-not-granted", frame(OUTCOME, outcome(("ticket", LIMITED)))),
    _forged("an-award-of-no-units", frame(OUTCOME, outcome(("gold", UNITS, 0)))),
    _forged("an-award-above-the-bound", frame(OUTCOME, outcome(("gold", UNITS, UNITS_MAX + 1)))),
    _forged("a-take-of-4-billion", frame(OUTCOME, outcome(("gold", UNITS | TAKE, 2**32 - 1)))),
    _forged("a-take-from-a-supply", frame(OUTCOME, outcome(("ticket", LIMITED | TAKE)))),
    _forged("an-unknown-kind-of-award", frame(OUTCOME, outcome(("gold", 8)))),
    _forged("a-state-that-is-no-json", frame(OUTCOME, outcome(status=WITH_STATE, after=text('{"a":')))),
    _forged("a-state-above-the-bound", frame(OUTCOME, outcome(status=WITH_STATE, after=text('"' + "x" * 5000 + '"')))),
    _forged("a-state-without-its-text", frame(OUTCOME, outcome(status=WITH_STATE))),
    _forged("result-that-is-no-json", frame(OUTCOME, outcome(("gold", 0), result='{"a":'))),
    _forged("result-with-more-behind", frame(OUTCOME, outcome(("gold", 0), result='{}},"awards":[1]'))),
    _forged("unknown-status", frame(OUTCOME, outcome(("gold", 0), status=99))),
    _forged("a-question-with-more-in-it", frame(ASK_HELD, text("other"))),
    _forged("a-supply-without-bounds", frame(ASK_SUPPLY, struct.pack("<I", 0) + text("ticket") + struct.pack("<Q", 2**63))),
    _forged("a-supply-for-award-4-billion", frame(ASK_SUPPLY, struct.pack("<I", 2**32 - 1) + text("ticket") + struct.pack("<Q", 5))),
    _forged("left-of-a-supply-without-bounds", frame(ASK_LEFT, text("ticket") + struct.pack("<Q", 2**63))),
    _forged("left-of-a-loot-with-a-colon", frame(ASK_LEFT, text("a:b") + struct.pack("<Q", 5))),
    _forged("questions-without-waiting", frame(ASK_HELD), times=1000),
    _forged("a-unit-taken-and-not-awarded", frame(ASK_SUPPLY, struct.pack("<I", 0) + text("ticket") + struct.pack("<Q", 5))),
    Attempt("a-forged-error-forges-no-log-line", f"{send(A_LINE)} while true do end", "script_error", harms_the_next_in_a_batch=True),
    Attempt("two-outcomes", f"{send(FIRST)} hunt.award('second') return {{n = 2}}", None, result={"n": 1}, held={"gold": 1}, sends_after_outcome=True),
    Attempt("an-outcome-behind-empty-packets", f"{send(FIRST)} for i = 1, 3 do {send(b'')} end {send(FORGED)} hunt.syscall(231, 0)", None,
            result={"n": 1}, held={"gold": 1}, sends_after_outcome=True),
    Attempt("three-forged-outcomes", f"for i = 1, 3 do {send(FIRST)} end return {{}}", None, result={"n": 1}, held={"gold": 1}, sends_after_outcome=True),
]

# --- with the whole system-call table in hand ------------------------------------------------------------------------
# Numbers of x86_64 (asm/unistd_64.h).
FORBIDDEN = {
    "open": "2, '/etc/passwd', 0", "openat": "257, -100, '/etc/passwd', 0", "openat2": "437, -100, '/etc/passwd', 0, 24",
    "socket": "41, 2, 1, 0", "connect": "42, 3, '', 16", "bind": "49, 3, '', 16", "sendmsg": "46, 3, '', 0", "recvmsg": "47, 3, '', 0",
    "sendto-elsewhere": "44, 4, 'x', 1, 0", "read": "0, 0, 'buffer', 1", "write-to-stdout": "1, 1, 'x', 1", "pread-elsewhere": "17, 3, 'buffer', 1, 0",
    "fork": "57", "vfork": "58", "clone": "56, 17, 0, 0, 0, 0", "clone3": "435, '', 88", "execve": "59, '/bin/sh', 0, 0",
    "execveat": "322, 4, '', 0, 0, 4096", "ptrace": "101, 0, 0, 0, 0", "process_vm_readv": "310, 1, 0, 0, 0, 0", "kill": "62, 1, 0", "tgkill": "234, 1, 1, 0",
    "pidfd_open": "434, 1, 0", "pidfd_getfd": "438, 3, 0, 0", "io_uring_setup": "425, 8, ''", "io_uring_enter": "426, 3, 1, 0, 0, 0",
    "bpf": "321, 0, 0, 0", "perf_event_open": "298, '', 0, -1, -1, 0", "userfaultfd": "323, 0", "memfd_create": "319, 'x', 0", "mount": "165, 0, 0, 0, 0, 0",
    "unshare": "272, 268435456", "chroot": "161, '/'", "setuid": "105, 0", "capset": "126, 0, 0", "seccomp": "317, 1, 0, 0",
    "prctl-dumpable": "157, 4, 1, 0, 0, 0", "prctl-no-death-signal": "157, 1, 0, 0, 0, 0", "personality": "135, 262144", "nanosleep": "35, '', 0",
    "sched_setaffinity": "203, 0, 8, ''", "unlink": "87, '/tmp/nothing-here'", "getdents": "217, 4, '', 1", "setrlimit": "160, 6, ''",
    "prlimit-of-another": "302, 1, 6, 0, ''", "shmget": "29, 0, 4096, 512", "futex": "202, '', 0, 0, 0, 0", "mmap-to-execute": "9, 0, 4096, 7, 34, -1, 0",
    "mprotect-to-execute": "10, 0, 4096, 5", "pkey_mprotect": "329, 0, 4096, 7, -1", "mremap": "25, 0, 4096, 8192, 1", "ioctl": "16, 3, 21505, ''",
    "setsockopt": "54, 3, 1, 2, '', 4", "dup": "32, 3", "dup3-elsewhere": "292, 3, 9, 0", "a-number-of-x32": "1073741863", "no-such-call": "100000",
    # Only SCHED_IDLE (5) of itself is allowed; 1 is SCHED_FIFO, 0x40000000 is SCHED_RESET_ON_FORK.
    "sched_setscheduler-before-all": "144, 0, 1, ('\\000'):rep(4)", "sched_setscheduler-with-a-flag": "144, 0, 1073741829, ('\\000'):rep(4)",
    "sched_setscheduler-of-another": "144, 1, 5, ('\\000'):rep(4)",
    "a-guessed-gate-key": "56, 17, 0, 0, 0, 0, 1234567",
}
UNLIMITED = lua_string(b"\xff" * 16)

SYSTEM_CALLS = [
    *(Attempt(f"call-{name}", f"return {{hunt.syscall({arguments})}}", "forbidden_call") for name, arguments in FORBIDDEN.items()),
    # Allowed to the jail itself; each does no harm: result -1, and errno.
    Attempt("limit-of-processes-raised", f"return {{hunt.syscall(302, 0, 6, {UNLIMITED}, 0)}}", None, result=[-1, 1], forbidden_in_a_task=True),
    Attempt("limit-of-memory-raised", f"return {{hunt.syscall(302, 0, 9, {UNLIMITED}, 0)}}", None, result=[-1, 1], forbidden_in_a_task=True),
    Attempt("limit-of-descriptors-raised", f"return {{hunt.syscall(302, 0, 7, {UNLIMITED}, 0)}}", None, result=[-1, 1], forbidden_in_a_task=True),
    Attempt("a-gigabyte-mapped", "return {hunt.syscall(9, 0, 1073741824, 3, 34, -1, 0)}", None, result=[-1, 12], forbidden_in_a_task=True),
    Attempt("stderr", "return {hunt.syscall(1, 2, 'forged', 6)}", None, result=[-1, 9], forbidden_in_a_task=True),
    Attempt("stderr-as-a-socket", "return {hunt.syscall(44, 2, 'forged', 6, 0, 0, 0)}", None, result=[-1, 9], forbidden_in_a_task=True),
    Attempt("readlink", "return {hunt.syscall(89, '/proc/self/exe', ('x'):rep(64), 64)}", None, result=[-1, 13], forbidden_in_a_task=True),
    # It is permitted, so that the parameter, which the kernel rejects, is what it fails by.
    Attempt("sched_setscheduler-behind-all", "return {hunt.syscall(144, 0, 5, ('\\001'):rep(4))}", None, result=[-1, 22], forbidden_in_a_task=True),
    Attempt("sched_yield", "return {hunt.syscall(24)}", None, result=[0, 0], forbidden_in_a_task=True),
    Attempt("exit-without-a-word", "hunt.syscall(231, 0)", "worker_died"),
    Attempt("exit-that-looks-like-a-failed-start", "hunt.syscall(231, 127)", "worker_died"),
    Attempt("its-own-memory-unmapped", "hunt.syscall(11, 4096, 140737488343040)", "worker_died", forbidden_in_a_task=True),
    Attempt("its-socket-closed", "hunt.syscall(436, 3, 3, 0) return {}", "worker_died", forbidden_in_a_task=True),
    Attempt("the-bundle-in-its-sockets-place", "hunt.syscall(292, 4, 3, 0) return {}", "worker_died", forbidden_in_a_task=True),
    Attempt("a-wait-for-the-core-that-never-ends", "hunt.syscall(45, 3, ('x'):rep(64), 64, 0, 0, 0) return {}", "deadline"),
] if platform.machine() == "x86_64" else []
