# SPDX-License-Identifier: Apache-2.0
"""http.cors_origins: what a page of another origin may send and read (docs/http-api.md, "Browsers")."""
import pytest

from client import call

GAME = "https://game.example"
HUNT = "/v1/hunts/gold/hunters/ada"
TOKEN = "a-token-of-enough-letters-for-all"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,idempotency-key"}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    file = tmp_path_factory.mktemp("secrets") / "tokens"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def game(own_stack, tokens):
    """A stack with authentication that allows one origin."""
    return own_stack(settings={"http.cors_origins": GAME, "auth.mode": "bearer", "auth.tokens_file": str(tokens)}).start()


def words(header: str) -> set[str]:
    return {word.strip().lower() for word in header.split(",")}


def cors_headers(answer) -> list[str]:
    return [name for name in answer.headers if name.startswith("access-control-")]


def test_a_preflight_needs_no_token_and_allows_what_the_path_has(game):
    answer = call(game.http, "OPTIONS", HUNT, headers={"Origin": GAME, **ASKS})
    assert answer.status == 204 and answer.body == b"" and "content-length" not in answer.headers
    assert answer.headers["access-control-allow-origin"] == GAME and answer.headers["vary"] == "Origin"
    assert words(answer.headers["access-control-allow-methods"]) == {"get", "head", "post"}
    assert {"authorization", "content-type", "idempotency-key", "traceparent"} == words(answer.headers["access-control-allow-headers"])
    assert int(answer.headers["access-control-max-age"]) > 0
    assert game.metric("huntd_auth_rejected_total") == 0


def test_a_page_reads_responses_and_errors_with_their_ids(game):
    allowed = {"Origin": GAME, "Authorization": f"Bearer {TOKEN}"}
    for method, path, headers, status in (("POST", HUNT, allowed, 200), ("GET", HUNT, allowed, 200), ("GET", HUNT, {"Origin": GAME}, 401),
                                          ("POST", "/v1/hunts/nothing/hunters/ada", allowed, 404), ("PUT", HUNT, allowed, 405)):
        answer = call(game.http, method, path, headers=headers)
        assert answer.status == status and answer.headers["access-control-allow-origin"] == GAME
        assert {"x-request-id", "hunt-bundle", "retry-after"} == words(answer.headers["access-control-expose-headers"])
        assert "access-control-allow-credentials" not in answer.headers


def test_another_origin_and_none_get_nothing_more(game):
    for headers in ({"Origin": "https://evil.example"}, {"Origin": GAME + ".evil"}, {}):
        run = call(game.http, "POST", HUNT, headers={**headers, "Authorization": f"Bearer {TOKEN}"})
        assert run.status == 200 and not cors_headers(run)
        asked = call(game.http, "OPTIONS", HUNT, headers={**headers, **ASKS})
        assert asked.status == 405 and not cors_headers(asked)


def test_an_options_that_is_no_preflight_is_405(game):
    answer = call(game.http, "OPTIONS", HUNT, headers={"Origin": GAME})
    assert answer.status == 405 and answer.headers["allow"] == "GET, HEAD, POST"


def test_every_origin_may_be_allowed(own_stack):
    stack = own_stack(cores=1, settings={"http.cors_origins": ["*"]}).start()
    for origin in (GAME, "null"):
        answer = call(stack.http, "POST", HUNT, headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == "*" and "vary" not in answer.headers
        assert call(stack.http, "OPTIONS", HUNT, headers={"Origin": origin, **ASKS}).status == 204


def test_without_the_key_there_is_no_such_header(own_stack):
    stack = own_stack(cores=1).start()
    assert not cors_headers(call(stack.http, "POST", HUNT, headers={"Origin": GAME}))
    assert call(stack.http, "OPTIONS", HUNT, headers={"Origin": GAME, **ASKS}).status == 405
