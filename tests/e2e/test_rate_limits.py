# SPDX-License-Identifier: Apache-2.0
"""[rate]: requests of a hunter, with a token and of a hunt above their limits get 429 (docs/configuration.md, "Rate limits")."""
import time

import pytest

from client import call, hunters_of, run_hunt

TOKENS = ("a-token-of-enough-letters-for-one", "a-token-of-enough-letters-for-two")


def path(hunter: str, hunt: str = "gold") -> str:
    return f"/v1/hunts/{hunt}/hunters/{hunter}"


@pytest.mark.parametrize("cores", [1, 2])
def test_a_hunter_has_its_burst_and_no_more_on_any_core(own_stack, cores):
    stack = own_stack(cores=cores, settings={"rate.hunter_per_minute": 1, "rate.hunter_burst": 5}).start()
    for core in range(cores):
        [hunter] = hunters_of(stack.http, core, 1, "fast")
        answers = [run_hunt(stack.http, "gold", hunter) for _ in range(4)]
        answers += [call(stack.http, "GET", path(hunter)) for _ in range(3)]
        assert [answer.status for answer in answers] == [200] * 5 + [429] * 2
        limited = answers[-1]
        assert limited.problem == "rate-limited" and limited.json["detail"] == "the hunter has used up its requests"
        assert 0 < int(limited.headers["retry-after"]) <= 60
    assert stack.metric('huntd_rate_limited_total{limit="hunter"}') == 2 * cores
    assert run_hunt(stack.http, "gold", "another").status == 200


def test_after_retry_after_a_request_gets_through(own_stack):
    stack = own_stack(settings={"rate.hunter_per_minute": 60, "rate.hunter_burst": 1}).start()
    assert run_hunt(stack.http, "gold", "ada", key="1").status == 200
    limited = run_hunt(stack.http, "gold", "ada", key="2")
    assert limited.status == 429 and "this attempt awarded nothing" in limited.json["detail"]
    time.sleep(int(limited.headers["retry-after"]))
    again = run_hunt(stack.http, "gold", "ada", key="2")
    assert again.status == 200 and not again.json["replayed"]
    assert stack.metric('huntd_hunts_total{outcome="rate_limited"}') == 1
    assert stack.metric('huntd_hunts_total{outcome="ok"}') == 2


def test_a_token_has_its_limit_however_it_is_written(own_stack, tmp_path):
    file = tmp_path / "tokens"
    file.write_text("\n".join(TOKENS) + "\n")
    file.chmod(0o600)
    stack = own_stack(cores=1, settings={"rate.token_per_minute": 1, "rate.token_burst": 4, "auth.mode": "bearer",
                                         "auth.tokens_file": str(file)}).start()

    def send(scheme: str, token: str, number: int) -> int:
        return call(stack.http, "POST", path(f"h{number}"), headers={"Authorization": f"{scheme} {token}"}).status

    schemes = ("Bearer", "bearer", "BEARER ", "Bearer", "bEARER", "Bearer")
    assert [send(scheme, TOKENS[0], number) for number, scheme in enumerate(schemes)] == [200] * 4 + [429] * 2
    assert send("Bearer", "a-token-that-is-not-one-of-them", 9) == 401
    assert send("Bearer", TOKENS[1], 9) == 200
    assert stack.metric('huntd_rate_limited_total{limit="token"}') == 2


def test_a_token_is_counted_by_the_core_of_the_hunter(own_stack, tmp_path):
    """So connections that all are on one core do not have more than the token's share of each core."""
    file = tmp_path / "tokens"
    file.write_text(TOKENS[0] + "\n")
    file.chmod(0o600)
    stack = own_stack(settings={"rate.token_per_minute": 1, "rate.token_burst": 8}).start()
    assert [run_hunt(stack.http, "gold", f"open-{number}").status for number in range(20)] == [200] * 20, "there are no tokens"
    stack.huntd.stop()
    stack.set(auth__mode="bearer", auth__tokens_file=str(file))
    stack.huntd.start()
    core_map = call(stack.http, "GET", "/v1/core-map", headers={"Authorization": f"Bearer {TOKENS[0]}"})
    assert core_map.status == 200, "the core map is not limited"
    answers = [call(stack.http, "POST", path(f"h{number}"), headers={"Authorization": f"Bearer {TOKENS[0]}"}).status
               for number in range(40)]
    assert answers.count(200) == 8 and answers.count(429) == 32, answers


def test_a_hunt_has_its_limit_and_others_theirs(own_stack):
    stack = own_stack(cores=1, settings={"rate.hunt_per_minute": 1, "rate.hunt_burst": 6}).start()
    assert [run_hunt(stack.http, "gold", f"h{number}").status for number in range(8)] == [200] * 6 + [429] * 2
    assert run_hunt(stack.http, "pair", "h1").status == 200
    assert stack.metric('huntd_rate_limited_total{limit="hunt"}') == 2


def test_without_limits_nothing_is_limited(own_stack):
    stack = own_stack(cores=1).start()
    assert {run_hunt(stack.http, "gold", "ada").status for _ in range(50)} == {200}
    assert stack.metric("huntd_rate_limited_total") == 0
