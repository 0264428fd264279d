# SPDX-License-Identifier: Apache-2.0
"""A login service: keys and JSON Web Tokens, made by openssl, an implementation that is not huntd's."""
import base64
import json
import pathlib
import subprocess

from harness.process import find_program

GENERATE = {"RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
            "ES384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "EdDSA": ["ED25519"]}
COORDINATE_BYTES = {"ES256": 32, "ES384": 48}


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def encoded(part: dict | str) -> str:
    """A part of a token; a text as it is, for what json.dumps() cannot say."""
    return base64url((part if isinstance(part, str) else json.dumps(part)).encode())


def raw_signature(der: bytes, size: int) -> bytes:
    """The two numbers of an ECDSA signature, as a JWT has them."""
    numbers, at = [], 2 if der[1] < 0x80 else 3
    for _ in range(2):
        length = der[at + 1]
        numbers.append(int.from_bytes(der[at + 2:at + 2 + length], "big").to_bytes(size, "big"))
        at += 2 + length
    return b"".join(numbers)


class Signer:
    """One key pair; `algorithm` is one of GENERATE."""

    def __init__(self, directory: pathlib.Path, key_id: str, algorithm: str):
        self.id, self.algorithm = key_id, algorithm
        self.file = directory / f"{key_id}.pem"
        self._openssl("genpkey", "-algorithm", *GENERATE[algorithm], "-out", str(self.file))
        self.public = self._openssl("pkey", "-in", str(self.file), "-pubout", "-outform", "DER")

    def _openssl(self, *words: str, data: bytes | None = None) -> bytes:
        done = subprocess.run([find_program("openssl"), *words], input=data, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def public_pem(self) -> bytes:
        return self._openssl("pkey", "-in", str(self.file), "-pubout")

    def jwk(self) -> dict:
        """The public key."""
        known = {"kid": self.id, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "RS256":
            modulus = self._openssl("rsa", "-in", str(self.file), "-noout", "-modulus").decode().strip().partition("=")[2]
            return known | {"kty": "RSA", "n": base64url(bytes.fromhex(modulus)), "e": "AQAB"}
        if self.algorithm == "EdDSA":
            return known | {"kty": "OKP", "crv": "Ed25519", "x": base64url(self.public[-32:])}
        size = COORDINATE_BYTES[self.algorithm]
        point = self.public[-2 * size:]
        return known | {"kty": "EC", "crv": f"P-{8 * size}", "x": base64url(point[:size]), "y": base64url(point[size:])}

    def sign(self, data: bytes) -> bytes:
        if self.algorithm == "EdDSA":  # openssl takes what it signs at once from a file only
            text = self.file.with_suffix(".txt")
            text.write_bytes(data)
            return self._openssl("pkeyutl", "-sign", "-rawin", "-inkey", str(self.file), "-in", str(text))
        digest = "-sha384" if self.algorithm == "ES384" else "-sha256"
        signed = self._openssl("dgst", digest, "-sign", str(self.file), data=data)
        return signed if self.algorithm == "RS256" else raw_signature(signed, COORDINATE_BYTES[self.algorithm])

    def token(self, claims: dict | str, header: dict | str | None = None) -> str:
        text = f"{encoded(header or {'alg': self.algorithm, 'kid': self.id})}.{encoded(claims)}"
        return f"{text}.{base64url(self.sign(text.encode()))}"


def write_jwks(path: pathlib.Path, *keys: Signer | dict) -> None:
    path.write_text(json.dumps({"keys": [key if isinstance(key, dict) else key.jwk() for key in keys]}))
    path.chmod(0o644)
