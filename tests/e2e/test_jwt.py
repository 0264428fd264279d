# SPDX-License-Identifier: Apache-2.0
"""auth.mode = "jwt": tokens that openssl has signed, attacks on them, hunts that a token names, revocation and new keys by SIGHUP.
Two cores."""
import hashlib
import hmac
import json
import signal
import subprocess
import time

import pytest

from client import RawConnection, call
from harness.process import wait_until
from jwt_signer import Signer, base64url, encoded, write_jwks
from rest_calls import event, produce

ISSUER, AUDIENCE = "https://login.example", "huntd"
HUNT = "/v1/hunts/{}/hunters/{}"


@pytest.fixture(scope="module")
def signers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signers")
    made = {key: Signer(folder, key, algorithm) for key, algorithm in
            (("rsa", "RS256"), ("ec", "ES256"), ("ed", "EdDSA"), ("p384", "ES384"), ("next", "ES256"))}
    made["stranger"] = Signer(folder, "stranger", "RS256")
    made["stranger"].id = "rsa"
    return made


@pytest.fixture
def game(own_stack, signers, tmp_path):
    """A stack that takes the tokens of `rsa`, `ec` and `ed`; .jwks and .revoked are its files."""
    jwks, revoked = tmp_path / "jwks.json", tmp_path / "revoked"
    write_jwks(jwks, *(signers[key] for key in ("rsa", "ec", "ed", "p384")))
    revoked.write_text("# none yet\n")
    stack = own_stack(settings={"auth.mode": "jwt", "auth.jwks_file": str(jwks), "auth.jwt_issuer": ISSUER,
                                "auth.jwt_audience": AUDIENCE, "auth.revoked_file": str(revoked)})
    stack.jwks, stack.revoked = jwks, revoked
    return stack.start()


def claims(hunter: str = "eve", **more) -> dict:
    """`more` replaces or adds; None removes."""
    known = {"sub": hunter, "exp": int(time.time()) + 600, "iss": ISSUER, "aud": AUDIENCE, **more}
    return {name: value for name, value in known.items() if value is not None}


def play(stack, token: str | None, hunter: str = "eve", hunt: str = "gold"):
    return call(stack.http, "POST", HUNT.format(hunt, hunter), headers={"Authorization": f"Bearer {token}"} if token else {})


def on_every_core(stack, token: str, status: int) -> bool:
    """Whether eve gets this status on twelve new connections: the core that accepts one checks the token, and the kernel chooses it."""
    headers = {"Authorization": f"Bearer {token}"}
    return all(call(stack.http, "GET", HUNT.format("gold", "eve"), headers=headers).status == status for _ in range(12))


def reload(stack) -> None:
    before = stack.metric("huntd_reloads_total")
    stack.huntd.signal(signal.SIGHUP)
    wait_until(lambda: stack.metric("huntd_reloads_total") > before, 60, "the reload")


@pytest.mark.parametrize("key", ["rsa", "ec", "ed"])
def test_a_token_of_each_algorithm_acts_as_its_hunter_on_every_core(game, signers, key):
    for hunter in (f"hunter-{n}" for n in range(6)):
        token = signers[key].token(claims(hunter))
        assert play(game, token, hunter).json["hunter_id"] == hunter
        assert call(game.http, "GET", HUNT.format("gold", hunter), headers={"Authorization": f"Bearer {token}"}).json["loot"]
    answer = play(game, token, "eve")
    assert (answer.status, answer.problem) == (403, "forbidden")
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
    # One signature per core at most, of many requests.
    assert game.metric('huntd_jwt_checks_total{by="signature"}') <= 12 < sum(
        game.metric(f'huntd_jwt_checks_total{{by="{by}"}}') for by in ("signature", "cache"))


def forged(signers) -> dict[str, str]:
    """Tokens that must not pass, each signed as well as its forger can."""
    rsa, ec, ed = signers["rsa"], signers["ec"], signers["ed"]
    good = rsa.token(claims())
    head, body, signature = good.split(".")
    now = int(time.time())

    def hs256(secret: bytes) -> str:
        text = f"{encoded({'alg': 'HS256', 'kid': 'rsa'})}.{encoded(claims())}"
        return f"{text}.{base64url(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    def twice(name: str, first, second) -> str:
        text = json.dumps(claims(**{name: None}))[:-1]
        return rsa.token(f"{text}, {json.dumps(name)}: {json.dumps(first)}, {json.dumps(name)}: {json.dumps(second)}}}")

    return {
        "no algorithm": f"{encoded({'alg': 'none'})}.{body}.", "no algorithm, with a signature": f"{encoded({'alg': 'none'})}.{body}.AAAA",
        "None": f"{encoded({'alg': 'nOnE', 'kid': 'rsa'})}.{body}.{signature}",
        "HS256 with the public key": hs256(rsa.public_pem), "HS256 with the DER": hs256(rsa.public),
        "HS256 with the JWK": hs256(json.dumps(rsa.jwk()).encode()), "HS256 with nothing": hs256(b""),
        "RS256 by an EC key": ec.token(claims(), {"alg": "RS256", "kid": "ec"}),
        "the kid of another key": ed.token(claims(), {"alg": "EdDSA", "kid": "rsa"}),
        "ES256 of P-384": signers["p384"].token(claims(), {"alg": "ES256", "kid": "p384"}),
        "ES384": signers["p384"].token(claims()),
        "a kid that is a path": rsa.token(claims(), {"alg": "RS256", "kid": "../../../../dev/null"}),
        "a kid that is SQL": rsa.token(claims(), {"alg": "RS256", "kid": "x' or '1'='1"}),
        "no kid": rsa.token(claims(), {"alg": "RS256"}),
        "its own key": signers["stranger"].token(claims(), {"alg": "RS256", "kid": "new", "jwk": signers["stranger"].jwk()}),
        "a key's address": rsa.token(claims(), {"alg": "RS256", "kid": "new", "jku": "http://127.0.0.1:1/jwks.json"}),
        "a stranger's key under a known kid": signers["stranger"].token(claims()),
        "crit": rsa.token(claims(), {"alg": "RS256", "kid": "rsa", "crit": ["exp"]}),
        "another type": rsa.token(claims(), {"alg": "RS256", "kid": "rsa", "typ": "secevent+jwt"}),
        "alg twice": rsa.token(claims(), '{"alg":"none","alg":"RS256","kid":"rsa"}'),
        "sub twice": twice("sub", "ada", "eve"), "sub twice, once escaped": rsa.token(json.dumps(claims())[:-1] + ', "\\u0073ub":"eve"}'),
        "exp twice": twice("exp", 1, now + 600),
        "tampered claims": f"{head}.{encoded(claims(jti='x'))}.{signature}", "tampered signature": f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        "no signature": f"{head}.{body}.", "no dots": head, "two parts": f"{head}.{body}", "five parts": f"{good}.AAAA.AAAA",
        "padding": f"{head}.{body}.{signature}==", "another end of the same bytes": f"{head}.{body}.{other_end(signature)}",
        "a line end": f"{head}.{body}.{signature[:40]}%0a{signature[40:]}",
        "huge": rsa.token(claims(more="x" * 4096)), "deep": rsa.token(json.dumps(claims())[:-1] + ', "x": ' + "[" * 60 + "]" * 60 + "}"),
        "no sub": rsa.token(claims(sub=None)), "a sub with a slash": rsa.token(claims("e/ve")), "a sub that is a number": rsa.token(claims(7)),
        "no exp": rsa.token(claims(exp=None)), "an exp that is a text": rsa.token(claims(exp=str(now + 600))),
        "no iss": rsa.token(claims(iss=None)), "another iss": rsa.token(claims(iss="https://evil.example")),
        "no aud": rsa.token(claims(aud=None)), "another aud": rsa.token(claims(aud=["hunt", "huntd "])),
        "not JSON": rsa.token("{"), "an array": rsa.token("[]"), "a signature of zeros": f"{head}.{body}.{base64url(bytes(256))}",
        "ES256 of zeros": f"{encoded({'alg': 'ES256', 'kid': 'ec'})}.{body}.{base64url(bytes(64))}",
    }


def other_end(signature: str) -> str:
    """The same bytes with the unused bits of the last character set; 256 bytes leave four."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) + 1]


def test_no_forged_token_passes(game, signers):
    attacks = forged(signers)
    for name, token in attacks.items():
        answer = play(game, token)
        assert (answer.status, answer.problem) == (401, "unauthorized"), f"{name}: {answer.status} {answer.json}"
        assert answer.headers["www-authenticate"] == 'Bearer realm="huntd", error="invalid_token"', name
    answer = play(game, None)
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Bearer realm="huntd"')
    assert game.metric('huntd_auth_rejected_total{reason="bad_token"}') == len(attacks)
    assert game.metric("huntd_hunts_total") == 0
    assert play(game, signers["rsa"].token(claims())).status == 200


def test_times_count_with_the_leeway(game, signers):
    now = int(time.time())
    detail = {"exp": "the token has expired", "nbf": "the token is not valid yet"}
    assert play(game, signers["ec"].token(claims(exp=now - 3600))).json["detail"] == detail["exp"]
    assert play(game, signers["ec"].token(claims(nbf=now + 3600))).json["detail"] == detail["nbf"]
    assert play(game, signers["ec"].token(claims(nbf=now - 1, iat=now))).status == 200
    # Within the 30 s; it expires while it is remembered.
    short = signers["ec"].token(claims(exp=now - 27))
    first = play(game, short)
    assert first.status == 200 or time.time() >= now + 3
    wait_until(lambda: play(game, short).status == 401, 60, "its end")
    assert play(game, short).json["detail"] == detail["exp"]


def test_a_token_plays_only_the_hunts_that_it_names(game, signers):
    for named in ({"hunts": ["gold", "pair"]}, {"scope": "openid hunt:gold hunt:pair"}):
        token = signers["ed"].token(claims(**named))
        assert play(game, token).status == play(game, token, hunt="pair").status == 200
        answer = play(game, token, hunt="echo")
        assert (answer.status, answer.problem, answer.json["detail"]) == (403, "hunt-not-in-token", "echo")
        assert answer.headers["www-authenticate"] == 'Bearer realm="huntd", error="insufficient_scope"'
        assert call(game.http, "GET", HUNT.format("echo", "eve"), headers={"Authorization": f"Bearer {token}"}).status == 403
        assert call(game.http, "GET", "/v1/core-map", headers={"Authorization": f"Bearer {token}"}).status == 200
    for all_of_them in ({"hunts": ["*"]}, {"scope": "hunt:*"}, {"scope": "openid"}, {}):
        assert play(game, signers["ed"].token(claims(**all_of_them)), hunt="pair").status == 200
    assert play(game, signers["ed"].token(claims(hunts=[]))).problem == "hunt-not-in-token"
    assert game.metric('huntd_auth_rejected_total{reason="scope"}') == 5


def test_what_is_revoked_ends_at_the_reload(game, signers):
    mine = signers["ec"].token(claims(jti="token-7"))
    other, adas = signers["ec"].token(claims(jti="token-8")), signers["ec"].token(claims("ada"))
    assert play(game, mine).status == play(game, other).status == play(game, adas, "ada").status == 200
    game.revoked.write_text("# a phone was lost\ntoken token-7\nhunter ada\n")
    reload(game)
    wait_until(lambda: on_every_core(game, mine, 401), 60, "the token's end")
    answer = play(game, mine)
    assert (answer.problem, answer.json["detail"]) == ("unauthorized", "the token was revoked")
    assert play(game, other).status == 200
    assert play(game, adas, "ada").status == 401
    game.revoked.write_text("tokn token-8\n")
    game.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "reload failed" in game.huntd.log_text(), 60, "the failed reload")
    assert 'auth.revoked_file: ' in game.huntd.log_text() and "line 1: write" in game.huntd.log_text()
    assert play(game, mine).status == 401 and play(game, other).status == 200, "the last good list"


def test_keys_change_at_a_reload_and_a_bad_file_keeps_the_last_good_ones(game, signers):
    old, new = signers["ec"].token(claims()), signers["next"].token(claims())
    assert play(game, old).status == 200 and play(game, new).status == 401
    write_jwks(game.jwks, signers["ec"], signers["next"])
    reload(game)
    wait_until(lambda: on_every_core(game, new, 200), 60, "the new key")
    assert play(game, old).status == 200
    for bad, words in (("{", "it is not a JWK set"), ('{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', "key 1: it is a secret key")):
        game.jwks.write_text(bad)
        failed = game.huntd.log_text().count("reload failed")
        game.huntd.signal(signal.SIGHUP)
        wait_until(lambda: game.huntd.log_text().count("reload failed") > failed, 60, "the failed reload")
        assert words in game.huntd.log_text() and "auth.jwks_file" in game.huntd.log_text()
        assert play(game, old).status == play(game, new).status == 200
    write_jwks(game.jwks, signers["next"])
    reload(game)
    wait_until(lambda: on_every_core(game, old, 401), 60, "the old key's end")
    assert play(game, new).status == 200
    game.jwks.chmod(0o666)
    game.huntd.signal(signal.SIGHUP)
    wait_until(lambda: "world-writable" in game.huntd.log_text(), 60, "the third failed reload")
    assert play(game, new).status == 200


def test_more_tokens_than_a_tick_verifies_are_all_served(game, signers):
    tokens = [signers["ec"].token(claims(jti=f"t{n}")) for n in range(60)]
    connections = [RawConnection(game.http) for _ in tokens]
    try:
        for connection, token in zip(connections, tokens):
            connection.send(f"POST {HUNT.format('gold', 'eve')} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n")
        assert [connection.answer().status for connection in connections] == [200] * len(tokens)
    finally:
        for connection in connections:
            connection.close()


def test_a_jwt_cannot_produce_events(game, signers):
    answer = produce(game.http, [{"value": event("eve", 1)}], headers={"Authorization": f"Bearer {signers['rsa'].token(claims())}"})
    assert (answer.status, answer.json["error_code"]) == (403, 40301)


def test_a_private_key_or_none_is_rejected_at_the_start(own_stack, signers, tmp_path):
    jwks = tmp_path / "jwks.json"
    stack = own_stack(settings={"auth.mode": "jwt", "auth.jwks_file": str(jwks)})
    stack.start_stores()
    for keys, words in (([signers["rsa"].jwk() | {"d": "AA"}], "key 1: it is a secret key"), ([], "no key is for RS256"),
                        ([signers["p384"]], "no key is for RS256"), ([signers["rsa"], signers["rsa"]], 'key 2: another key has the "kid" "rsa"')):
        write_jwks(jwks, *keys)
        done = subprocess.run([*stack.huntd.command(), "-t"], capture_output=True, text=True, timeout=60)
        assert done.returncode == 78 and words in done.stderr and "auth.jwks_file" in done.stderr, done.stderr
