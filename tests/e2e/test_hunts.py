# SPDX-License-Identifier: Apache-2.0
"""The public port for its clients: responses, repeats and rejections."""
import json
import re

import pytest

from client import call, held, run_hunt


def test_a_response_has_the_loot_and_the_scripts_result(stack):
    answer = run_hunt(stack.http, "gold", "shape")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert set(body) == {"request_id", "hunt_id", "hunter_id", "loot", "result", "replayed"}
    assert (body["hunt_id"], body["hunter_id"], body["replayed"]) == ("gold", "shape", False)
    assert body["result"] == {"before": 0}
    assert [item["loot_id"] for item in body["loot"]] == ["gold"]
    assert set(body["loot"][0]) == {"loot_id", "event_id"}
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["hunt-bundle"])


def test_every_award_of_a_hunt_has_an_event_id_of_its_own(stack):
    loot = run_hunt(stack.http, "pair", "pairs").json["loot"] + run_hunt(stack.http, "pair", "pairs").json["loot"]
    assert [item["loot_id"] for item in loot] == ["sword", "shield"] * 2
    assert len({item["event_id"] for item in loot}) == 4


def test_held_loot_is_current(stack):
    assert held(stack.http, "gold", "reader") == {}
    for count in (1, 2, 3):
        assert run_hunt(stack.http, "gold", "reader").json["result"]["before"] == count - 1
        assert held(stack.http, "gold", "reader") == {"gold": count}
    assert held(stack.http, "pair", "reader") == {}, "another hunt's loot is another hunt's"


@pytest.mark.parametrize("value", [True, 0, -1.5, 1e300, "t\u00e4xt\n\"\\ \U0001f48e", [1, [2, 3]], {"deep": {"er": [False]}}])
def test_the_script_sees_the_json_body(stack, value):
    result = run_hunt(stack.http, "echo", "sender", input={"value": value}).json["result"]
    assert result["input"] == {"value": value}
    assert (result["hunt"], result["hunter"]) == ("echo", "sender")


def test_without_a_body_there_is_no_input(stack):
    assert "input" not in run_hunt(stack.http, "echo", "silent").json["result"]


def test_a_repeat_with_the_same_key_gives_the_same_response(stack):
    first = run_hunt(stack.http, "gold", "again", key="k-1")
    second = run_hunt(stack.http, "gold", "again", key="k-1")
    assert first.status == second.status == 200
    assert first.json["replayed"] is False and second.json["replayed"] is True
    assert {**second.json, "replayed": False} == first.json
    assert second.headers["hunt-bundle"] == first.headers["hunt-bundle"]
    assert held(stack.http, "gold", "again") == {"gold": 1}


def test_a_key_belongs_to_one_hunter_and_one_hunt(stack):
    answers = [run_hunt(stack.http, hunt, hunter, key="shared")
               for hunt, hunter in (("gold", "key-a"), ("gold", "key-b"), ("pair", "key-a"))]
    assert [answer.json["replayed"] for answer in answers] == [False] * 3


def test_a_key_with_another_body_is_a_conflict(stack):
    assert run_hunt(stack.http, "echo", "keyed", input={"n": 1}, key="k").status == 200
    answer = run_hunt(stack.http, "echo", "keyed", input={"n": 2}, key="k")
    assert (answer.status, answer.problem) == (409, "key-reused")


def test_a_rejection_is_422_with_the_scripts_reason(stack):
    for key in (None, "k", "k"):
        answer = run_hunt(stack.http, "reject", "rejected", key=key)
        assert (answer.status, answer.problem) == (422, "rejected")
        assert answer.json["detail"] == "not today"
        assert re.fullmatch("[0-9a-f]{32}", answer.headers["hunt-bundle"])
    assert held(stack.http, "reject", "rejected") == {}


def test_a_script_that_fails_is_500_and_names_file_and_line(stack):
    answer = run_hunt(stack.http, "broken", "unlucky")
    assert (answer.status, answer.problem) == (500, "script-failed")
    assert "broken.lua:5:" in answer.json["detail"] and "the script failed" in answer.json["detail"]
    assert held(stack.http, "broken", "unlucky") == {}


def test_a_script_that_never_ends_is_504_and_gives_nothing(stack):
    answer = run_hunt(stack.http, "forever", "patient")
    assert (answer.status, answer.problem) == (504, "deadline-passed")
    assert held(stack.http, "forever", "patient") == {}


def test_a_script_that_takes_too_much_memory_is_500(stack):
    answer = run_hunt(stack.http, "greedy", "hungry")
    assert (answer.status, answer.problem) == (500, "script-out-of-memory")
    assert held(stack.http, "greedy", "hungry") == {}


def test_a_failed_run_is_not_kept_for_its_key(stack):
    assert [run_hunt(stack.http, "broken", "retry", key="k").status for _ in range(2)] == [500, 500]


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/hunts", "/v1/hunts/gold", "/v1/hunts/gold/hunters",
                                  "/v1/hunts/gold/hunters/a/b", "/metrics", "/healthz", "/readyz", "/latency.json"])
def test_other_paths_are_404_and_the_admin_pages_are_not_public(stack, path):
    answer = call(stack.http, "GET", path)
    assert answer.status == 404 and answer.problem == "no-such-route"


def test_a_hunt_without_a_script_is_404(stack):
    answer = run_hunt(stack.http, "atlantis", "seeker")
    assert (answer.status, answer.problem) == (404, "no-such-hunt")


@pytest.mark.parametrize("hunt, hunter", [("gold", "a:b"), ("gold", "a%20b"), ("gold", "x" * 65), ("go{ld", "ada"),
                                          ("gold", "")])
def test_an_id_of_another_form_is_400(stack, hunt, hunter):
    answer = run_hunt(stack.http, hunt, hunter)
    assert (answer.status, answer.problem) == (400, "malformed-request")


def test_ids_of_every_allowed_form_are_accepted(stack):
    for hunter in ("a", "x" * 64, "A-z_0.9", "...", "..a", ".a"):
        answer = run_hunt(stack.http, "echo", hunter)
        assert answer.status == 200 and answer.json["result"]["hunter"] == hunter


@pytest.mark.parametrize("method, path, allow", [
    ("PUT", "/v1/hunts/gold/hunters/ada", {"GET", "HEAD", "POST"}),
    ("DELETE", "/v1/hunts/gold/hunters/ada", {"GET", "HEAD", "POST"}),
    ("POST", "/v1/core-map", {"GET", "HEAD"})])
def test_a_method_not_allowed_on_the_path_is_405_with_allow(stack, method, path, allow):
    answer = call(stack.http, method, path)
    assert (answer.status, answer.problem) == (405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allow


def test_an_unknown_method_is_501(stack):
    answer = call(stack.http, "FROBNICATE", "/v1/core-map")
    assert (answer.status, answer.problem) == (501, "method-unknown")


def test_a_body_of_another_type_is_415(stack):
    for content_type in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
        answer = call(stack.http, "POST", "/v1/hunts/echo/hunters/ada", "{}", {"Content-Type": content_type})
        assert (answer.status, answer.problem) == (415, "unsupported-media-type")


def test_a_json_type_with_parameters_is_accepted(stack):
    answer = call(stack.http, "POST", "/v1/hunts/echo/hunters/ada", "{}",
                  {"Content-Type": "application/json; charset=utf-8"})
    assert answer.status == 200


@pytest.mark.parametrize("body", [b"{", b"nope", b'{"a":1}x', b'"\xff"', b"[" * 40 + b"]" * 40, b'{"a":"\x01"}'])
def test_a_body_that_is_not_json_is_400(stack, body):
    answer = call(stack.http, "POST", "/v1/hunts/echo/hunters/ada", body, {"Content-Type": "application/json"})
    assert (answer.status, answer.problem) == (400, "invalid-json")


def test_a_body_of_16_KiB_is_accepted_and_one_byte_more_is_413(stack):
    fits = json.dumps("x" * (16384 - 2))
    assert call(stack.http, "POST", "/v1/hunts/gold/hunters/big", fits,
                {"Content-Type": "application/json"}).status == 200
    answer = call(stack.http, "POST", "/v1/hunts/gold/hunters/big", fits + " ", {"Content-Type": "application/json"})
    assert (answer.status, answer.problem) == (413, "body-too-large")


@pytest.mark.parametrize("key", ["x" * 129, "with space", "tab\tkey", "", "ünï"])
def test_a_key_of_another_form_is_400(stack, key):
    answer = call(stack.http, "POST", "/v1/hunts/gold/hunters/badkey", headers={"Idempotency-Key": key.encode()})
    assert (answer.status, answer.problem) == (400, "malformed-request")
    assert held(stack.http, "gold", "badkey") == {}


def test_the_core_map_names_a_core_for_each_bucket(stack):
    body = call(stack.http, "GET", "/v1/core-map").json
    assert body["buckets"] == 1024 and len(body["map"]) == 1024
    assert body["cores"] == 2 and set(body["map"]) == {0, 1}
    share = body["map"].count(0) / 1024
    assert 0.35 < share < 0.65


def test_without_redis_hunts_are_not_run_and_resume(stack):
    from harness.process import wait_until
    assert run_hunt(stack.http, "gold", "outage").status == 200
    stack.redis.kill()
    try:
        answer = run_hunt(stack.http, "gold", "outage")
        assert (answer.status, answer.problem) in ((503, "redis-unavailable"), (424, "outcome-unknown"))
        assert ("retry-after" in answer.headers) == (answer.status == 503)
        answer = call(stack.http, "GET", "/v1/hunts/gold/hunters/outage")
        assert (answer.status, answer.problem) == (503, "redis-unavailable")
        assert call(stack.http, "GET", "/v1/core-map").status == 200
    finally:
        stack.redis.start()
    wait_until(lambda: run_hunt(stack.http, "gold", "outage").status == 200, 30, "huntd to find Redis again")
    wait_until(stack.huntd.ready, 30, "readiness")
