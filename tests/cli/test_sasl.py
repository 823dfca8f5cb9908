"""The examples of the standards."""

import pytest

from kbroker.cli.sasl import _Scram, exchange_of

CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def test_plain() -> None:
    exchange = exchange_of("PLAIN", "tim", "tanstaaftanstaaf")
    assert exchange.answer(b"") == b"\0tim\0tanstaaftanstaaf"
    assert exchange.answer(b"") is None


def test_scram_as_rfc_7677_shows_it() -> None:
    exchange = _Scram("SCRAM-SHA-256", "sha256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    assert exchange.answer(b"") == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert exchange.answer(CHALLENGE) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert exchange.answer(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=") is None


def test_scram_believes_nobody_without_proof() -> None:
    exchange = _Scram("SCRAM-SHA-256", "sha256", "user", "pencil", "rOprNGfwEbeRWgbNEkqO")
    exchange.answer(b"")
    exchange.answer(CHALLENGE)
    with pytest.raises(ValueError, match="signature"):
        exchange.answer(b"v=AAAA")
    stranger = exchange_of("SCRAM-SHA-512", "user", "pencil")
    stranger.answer(b"")
    with pytest.raises(ValueError, match="does not answer ours"):
        stranger.answer(CHALLENGE)


def test_others_are_not_known() -> None:
    with pytest.raises(KeyError):
        exchange_of("GSSAPI", "u", "p")
