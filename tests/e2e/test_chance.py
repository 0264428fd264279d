# SPDX-License-Identifier: Apache-2.0
"""Chance is secret: hunt.random() is the same for the same request on every host of a ledger, and no client can work it out."""
import ctypes
import json
import pathlib
import signal
import subprocess
from collections import Counter

import pytest

from client import call, run_hunt
from harness.huntd_stack import ROOT, build_folder, http_get
from harness.process import wait_until

MASK = (1 << 64) - 1
SECRET = "a-secret-of-a-file-with-enough-letters"
# 3 % of 50: more than 9 crowns by luck once in 100,000 runs.
CROWNS_BY_LUCK_MAX = 9

CHANCE_HUNT = """return function(hunt)
  local draws = {}
  for i = 1, 8 do draws[i] = hunt.random(1000000) end
  return { draws = draws }
end
"""


def xxh3():
    """XXH3-64 with seed 0."""
    library = ctypes.CDLL("libxxhash.so.0")
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return lambda text: library.XXH3_64bits(text, len(text))


def predicted_draws(hunter: str, hunt: str, key: str, count: int = 1) -> list[float]:
    """The fractions that hunt.random() drew before it had a secret: from what a client sees and the public source."""
    hash64 = xxh3()
    text = f"{hunter}:{hunt}:{key}".encode()
    seeds = hash64(text), hash64(text + b"+")

    def mix(x):
        x = ((x ^ (x >> 30)) * 0xbf58476d1ce4e5b9) & MASK
        x = ((x ^ (x >> 27)) * 0x94d049bb133111eb) & MASK
        return x ^ (x >> 31)

    def rotate(x, by):
        return ((x << by) | (x >> (64 - by))) & MASK

    x, s = seeds[0], []
    for _ in range(4):
        x = (x + 0x9e3779b97f4a7c15) & MASK
        s.append(mix((mix(x) + seeds[1]) & MASK))
    drawn = []
    for _ in range(count):
        drawn.append((rotate(s[1] * 5 & MASK, 7) * 9 & MASK) >> 11)
        t = s[1] << 17 & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
    return [each * 2.0 ** -53 for each in drawn]


def keys_that_won(hunter: str, count: int) -> list[str]:
    """Keys with which goblin-hoard gave its 3 % crown, before hunt.random() had a secret."""
    numbers = (str(number) for number in range(100_000))
    won = (key for key in numbers if int(predicted_draws(hunter, "goblin-hoard", key)[0] * 100) + 1 > 97)
    return [key for _, key in zip(range(count), won)]


def crowns(responses) -> int:
    assert all(response.status == 200 for response in responses), Counter(response.status for response in responses)
    return sum(response.json["result"]["found"] == "goblin-crown" for response in responses)


def draws(address: str, hunter: str, key: str) -> list[int]:
    response = run_hunt(address, "chance", hunter, key=key)
    assert response.status == 200, response
    return response.json["result"]["draws"]


def draws_again(stack, key: str) -> list[int]:
    """What ann draws with this key, without the stored response."""
    with stack.redis.client() as redis:
        for done in redis.call("KEYS", f"done:*:ann:chance:{key}"):
            redis.call("DEL", done)
    return draws(stack.http, "ann", key)


def readiness(stack) -> int:
    """The status of /readyz; 0 without a response."""
    try:
        return http_get(stack.admin, "/readyz")[0]
    except OSError:
        return 0


@pytest.fixture
def chance_hunts(tmp_path):
    folder = tmp_path / "chance_hunts"
    folder.mkdir()
    (folder / "chance.lua").write_text(CHANCE_HUNT)
    return folder


@pytest.fixture
def secret_file(tmp_path):
    path = tmp_path / "seed-secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


def test_a_client_cannot_work_out_keys_that_win(own_stack):
    stack = own_stack(hunts=ROOT / "lua").start()
    responses = [run_hunt(stack.http, "goblin-hoard", "mallory", key=key) for key in keys_that_won("mallory", 50)]
    assert crowns(responses) <= CROWNS_BY_LUCK_MAX


def test_a_hunter_with_its_own_token_cannot_work_out_keys_that_win(own_stack, tmp_path):
    keys_file = tmp_path / "keys"
    keys_file.write_text("a-signing-key-of-enough-letters\n")
    keys_file.chmod(0o600)
    stack = own_stack(hunts=ROOT / "lua", settings={"auth.mode": "hunter", "auth.hunter_keys_file": str(keys_file)}).start()
    token = subprocess.run([str(build_folder() / "huntctl"), "token", "--keys-file", str(keys_file), "--hunter", "mallory",
                            "--expires-in", "1h"], capture_output=True, text=True, check=True).stdout.strip()
    responses = [call(stack.http, "POST", "/v1/hunts/goblin-hoard/hunters/mallory",
                      headers={"Authorization": f"Bearer {token}", "Idempotency-Key": key})
                 for key in keys_that_won("mallory", 50)]
    assert crowns(responses) <= CROWNS_BY_LUCK_MAX


def test_the_request_id_of_a_request_without_a_key_does_not_show_its_draws(own_stack, chance_hunts):
    stack = own_stack(hunts=chance_hunts).start()
    shown = 0
    for _ in range(10):
        response = run_hunt(stack.http, "chance", "mallory")
        expected = predicted_draws("mallory", "chance", response.json["request_id"], 8)
        shown += response.json["result"]["draws"] == [int(fraction * 1_000_000) + 1 for fraction in expected]
    assert shown == 0, "a request_id in a log or a support ticket shows what else its run drew"


def test_two_ledgers_draw_differently_for_the_same_request(own_stack, chance_hunts):
    one, other = own_stack(hunts=chance_hunts).start(), own_stack(hunts=chance_hunts).start()
    for number in range(10):
        assert draws(one.http, "ann", f"k{number}") != draws(other.http, "ann", f"k{number}"), number


def test_all_cores_and_hosts_of_a_ledger_draw_the_same_for_a_key(own_stack, chance_hunts):
    """Both hosts start at once on an empty ledger, and each has two cores."""
    one = own_stack(hunts=chance_hunts)
    other = own_stack(hunts=chance_hunts, settings={"redis.address": one.redis.address})
    one.start_stores()
    other.start_stores()
    for stack in (one, other):
        stack.huntd.launch()
    for stack in (one, other):
        stack.huntd.await_ready()
    assert len(one.redis.call("HGETALL", "seed_secret")) == 2
    for number in range(10):
        first = draws(one.http, "ann", f"k{number}")
        [done] = one.redis.call("KEYS", f"done:*:ann:chance:k{number}")
        one.redis.call("DEL", done)
        assert draws(other.http, "ann", f"k{number}") == first, "the same request, run again on another host"


def test_a_restart_keeps_the_secret(own_stack, chance_hunts):
    stack = own_stack(hunts=chance_hunts).start()
    before, secret = draws(stack.http, "ann", "k"), stack.redis.call("HGETALL", "seed_secret")
    stack.huntd.stop()
    stack.huntd.start()
    assert draws_again(stack, "k") == before
    assert stack.redis.call("HGETALL", "seed_secret") == secret


def test_a_ledger_that_was_emptied_draws_differently(own_stack, chance_hunts):
    """What was learnt of one season's draws is of no use in the next."""
    stack = own_stack(hunts=chance_hunts).start()
    before = draws(stack.http, "ann", "k")
    stack.huntd.stop()
    stack.redis.call("FLUSHALL")
    stack.huntd.start()
    assert draws(stack.http, "ann", "k") != before


def test_a_ledger_emptied_under_a_running_huntd_gets_a_new_secret(own_stack, chance_hunts):
    stack = own_stack(hunts=chance_hunts).start()
    before, secret = draws(stack.http, "ann", "k"), stack.redis.call("HGET", "seed_secret", "1")
    stack.redis.call("FLUSHALL")
    stack.huntd.signal(signal.SIGHUP)  # else within a minute
    wait_until(lambda: stack.redis.call("HGET", "seed_secret", "1") not in (None, secret), 20, "a new secret")
    wait_until(lambda: draws_again(stack, "k") != before, 20, "the new secret to be used")


def test_a_new_secret_is_used_after_a_reload_and_the_former_repeats_old_runs(own_stack, chance_hunts):
    stack = own_stack(hunts=chance_hunts).start()
    before = draws(stack.http, "ann", "k")
    assert stack.redis.call("HSETNX", "seed_secret", "2", "0123456789abcdef" * 4) == 1
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: draws_again(stack, "k") != before, 20, "the new secret to be used")
    stack.redis.call("HDEL", "seed_secret", "2")
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: draws_again(stack, "k") == before, 20, "the former secret to be used")


def test_a_malformed_secret_keeps_huntd_from_being_ready_and_is_named(own_stack, chance_hunts):
    stack = own_stack(hunts=chance_hunts)
    stack.start_stores()
    stack.redis.call("HSET", "seed_secret", "1", "hush")
    stack.huntd.launch()
    wait_until(lambda: "seed_secret is malformed" in stack.huntd.log_text(), 20, "the reason in the log")
    wait_until(lambda: readiness(stack) == 503, 20, "huntd to be not ready")
    assert "hush" not in stack.huntd.log_text()
    stack.redis.call("DEL", "seed_secret")
    stack.huntd.await_ready()
    draws(stack.http, "ann", "k")


def test_a_secret_of_a_file_is_the_same_for_all_ledgers_and_not_in_redis(own_stack, chance_hunts, secret_file):
    settings = {"hunts.seed_secret_file": str(secret_file)}
    one, other = (own_stack(hunts=chance_hunts, settings=settings).start() for _ in range(2))
    for number in range(3):
        assert draws(one.http, "ann", f"k{number}") == draws(other.http, "ann", f"k{number}")
    assert one.redis.call("EXISTS", "seed_secret") == 0


@pytest.mark.parametrize("of_file", [True, False])
def test_the_secret_is_not_shown(own_stack, chance_hunts, secret_file, of_file):
    stack = own_stack(hunts=chance_hunts, settings={"hunts.seed_secret_file": str(secret_file)} if of_file else {}).start()
    secret = SECRET if of_file else stack.redis.call("HGET", "seed_secret", "1")
    response = run_hunt(stack.http, "chance", "ann", key="k")
    shown = [json.dumps(response.json), stack.huntd.log_text(), *stack.redis.call("MGET", *stack.redis.call("KEYS", "done:*"))]
    shown += [http_get(stack.admin, path)[1] for path in ("/status.json", "/metrics", "/readyz")]
    shown += [pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in (stack.huntd.pid, *stack.core_pids())]
    assert not [text for text in shown if secret in text]


@pytest.mark.parametrize("text, mode, reason", [
    (SECRET + "\n", 0o644, "chmod"), ("too short\n", 0o600, "24 to 128"), ("\n", 0o600, "empty"),
    ("a b" * 20 + "\n", 0o600, "24 to 128"), (SECRET + "\n", 0o600, "")])
def test_a_bad_seed_secret_file_is_78_and_is_named(huntd_program, chance_hunts, tmp_path, text, mode, reason):
    file, config = tmp_path / "seed-secret", tmp_path / "huntd.toml"
    file.write_text(text)
    file.chmod(mode)
    config.write_text(f'[hunts]\ndir = "{chance_hunts}"\nseed_secret_file = "{file}"\n')
    done = subprocess.run([huntd_program, "-t", "-c", str(config)], capture_output=True, text=True, timeout=60)
    assert done.returncode == (78 if reason else 0), done.stderr
    assert reason in done.stderr and ("hunts.seed_secret_file" in done.stderr) == bool(reason)
    assert text.strip() == "" or text.strip() not in done.stderr
