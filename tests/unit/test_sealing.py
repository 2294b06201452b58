"""Sealed bytes open with their key at their place, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.sealing import NONCE_BYTES, TAG_BYTES, SealBroken, Sealer

KEY = "a pickle key for tests"


@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_what_is_sealed_opens(data: bytes, context: str) -> None:
    sealed = Sealer(KEY, "outbox").seal(data, context)
    assert Sealer(KEY, "outbox").open(sealed, context) == data
    assert len(sealed) == NONCE_BYTES + len(data) + TAG_BYTES


def test_plaintext_does_not_show_and_two_seals_differ() -> None:
    sealer = Sealer(KEY, "outbox")
    first, second = sealer.seal(b"secret words", "t1"), sealer.seal(b"secret words", "t1")
    assert first != second
    assert b"secret" not in first


@pytest.mark.parametrize(
    ("key", "purpose", "context"),
    [("another pickle key", "outbox", "t1"), (KEY, "inbox", "t1"), (KEY, "outbox", "t2"), (KEY, "outbox", "")],
)
def test_another_key_purpose_or_place_does_not_open(key: str, purpose: str, context: str) -> None:
    sealed = Sealer(KEY, "outbox").seal(b"secret", "t1")
    with pytest.raises(SealBroken, match="pickle_key"):
        Sealer(key, purpose).open(sealed, context)


@pytest.mark.parametrize("index", range(NONCE_BYTES + 6 + TAG_BYTES))
def test_every_changed_byte_is_noticed(index: int) -> None:
    sealed = bytearray(Sealer(KEY, "outbox").seal(b"secret", "t1"))
    sealed[index] ^= 1
    with pytest.raises(SealBroken):
        Sealer(KEY, "outbox").open(bytes(sealed), "t1")


@pytest.mark.parametrize("length", range(NONCE_BYTES + 6 + TAG_BYTES))
def test_bytes_that_were_cut_do_not_open(length: int) -> None:
    sealed = Sealer(KEY, "outbox").seal(b"secret", "t1")
    with pytest.raises(SealBroken):
        Sealer(KEY, "outbox").open(sealed[:length], "t1")


def test_the_error_quotes_neither_key_nor_content() -> None:
    sealed = Sealer(KEY, "outbox").seal(b"secret", "t1")
    with pytest.raises(SealBroken) as caught:
        Sealer("wrong wrong wrong", "outbox").open(sealed, "t1")
    assert KEY not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.code == "seal_broken"
