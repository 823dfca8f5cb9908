"""The client's side of SASL: PLAIN (RFC 4616) and SCRAM (RFC 5802, RFC 7677)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Protocol


class Exchange(Protocol):
    """
    One conversation that proves who we are.

    mechanism  its registered name
    """

    mechanism: str

    def answer(self, said: bytes) -> bytes | None:
        """Return what to say next, given what the other side said (at first nothing); None when all is said."""


class _Plain:
    mechanism = "PLAIN"

    def __init__(self, username: str, password: str) -> None:
        self._message: bytes | None = f"\0{username}\0{password}".encode()

    def answer(self, said: bytes) -> bytes | None:  # noqa: ARG002
        message, self._message = self._message, None
        return message


class _Scram:
    """Neither side shows the password; both prove that they know it."""

    def __init__(self, mechanism: str, digest: str, username: str, password: str, nonce: str = "") -> None:
        self.mechanism = mechanism
        self._digest = digest
        self._password = password.encode()
        self._nonce = nonce or secrets.token_urlsafe(18)
        self._first = f"n={username.replace('=', '=3D').replace(',', '=2C')},r={self._nonce}"
        self._proof_of_server: bytes | None = None
        self._steps = 0

    def answer(self, said: bytes) -> bytes | None:
        self._steps += 1
        if self._steps == 1:
            return b"n,," + self._first.encode()
        fields = dict(part.partition("=")[::2] for part in said.decode().split(","))
        if self._steps == 2:
            return self._prove(said.decode(), fields)
        if not hmac.compare_digest(base64.b64decode(fields.get("v", "")), self._proof_of_server or b"\0"):
            raise ValueError(fields.get("e", "its signature is wrong"))
        return None

    def _prove(self, challenge: str, fields: dict[str, str]) -> bytes:
        if not {"r", "s", "i"} <= fields.keys() or not fields["r"].startswith(self._nonce):
            raise ValueError("its challenge does not answer ours")
        salted = hashlib.pbkdf2_hmac(self._digest, self._password, base64.b64decode(fields["s"]), int(fields["i"]))
        final = f"c=biws,r={fields['r']}"
        signed = f"{self._first},{challenge},{final}".encode()
        client_key = self._mac(salted, b"Client Key")
        signature = self._mac(hashlib.new(self._digest, client_key).digest(), signed)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._proof_of_server = self._mac(self._mac(salted, b"Server Key"), signed)
        return f"{final},p={base64.b64encode(proof).decode()}".encode()

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._digest)


def exchange_of(mechanism: str, username: str, password: str) -> Exchange:
    """Return the conversation of a mechanism; raises KeyError for one that is not here."""
    if mechanism.upper() == _Plain.mechanism:
        return _Plain(username, password)
    digest = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}[mechanism.upper()]
    return _Scram(mechanism.upper(), digest, username, password)
