"""Encrypted attachments: our files open with nio, nio's with ours, and nothing that was changed opens at all."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nio.crypto.attachments import decrypt_attachment, encrypt_attachment

from appservice.e2ee import AttachmentError
from appservice.e2ee.attachments import decrypt, encrypt

# Sixteen zeros under a key and a counter of zeros: the first block of AES-256 itself (NIST KAT, key and text zero).
ZERO_KEY_FIRST_BLOCK = bytes.fromhex("dc95c078a2408989ad48a21492842087")


@given(st.binary(max_size=3000))
def test_what_was_encrypted_comes_back(data: bytes) -> None:
    ciphertext, file = encrypt(data)
    assert decrypt(file, ciphertext) == data
    assert len(ciphertext) == len(data)


def test_a_known_answer() -> None:
    ciphertext = ZERO_KEY_FIRST_BLOCK
    file = {
        "v": "v2",
        "key": {"kty": "oct", "alg": "A256CTR", "k": _base64(bytes(32)), "ext": True, "key_ops": ["decrypt"]},
        "iv": _base64(bytes(16)),
        "hashes": {"sha256": _base64(_sha256(ciphertext))},
    }
    assert decrypt(file, ciphertext) == bytes(16)


def test_the_other_implementation_reads_ours() -> None:
    data = bytes(range(256)) * 9
    ciphertext, file = encrypt(data)
    assert decrypt_attachment(ciphertext, file["key"]["k"], file["hashes"]["sha256"], file["iv"]) == data
    assert file["v"] == "v2"
    assert file["key"] == {
        "kty": "oct",
        "alg": "A256CTR",
        "ext": True,
        "k": file["key"]["k"],
        "key_ops": file["key"]["key_ops"],
    }
    assert {"encrypt", "decrypt"} <= set(file["key"]["key_ops"])
    assert "url" not in file


def test_we_read_the_other_implementations() -> None:
    data = b"a picture" * 100
    ciphertext, file = encrypt_attachment(data)
    assert decrypt(file, ciphertext) == data


def test_keys_and_counters_never_repeat() -> None:
    files = [encrypt(b"the same")[1] for _ in range(50)]
    assert len({file["key"]["k"] for file in files}) == 50
    assert len({file["iv"] for file in files}) == 50


def test_a_changed_byte_is_found() -> None:
    ciphertext, file = encrypt(b"transfer 5 to bob")
    with pytest.raises(AttachmentError, match="hash does not match"):
        decrypt(file, bytes([ciphertext[0] ^ 1]) + ciphertext[1:])
    with pytest.raises(AttachmentError, match="hash does not match"):
        decrypt(file, ciphertext + b"\0")


def _without(file: dict[str, Any], *keys: str) -> dict[str, Any]:
    inner = dict(file)
    target = inner
    for key in keys[:-1]:
        target[key] = dict(target[key])
        target = target[key]
    del target[keys[-1]]
    return inner


@pytest.mark.parametrize(
    "keys",
    [("v",), ("key",), ("key", "k"), ("key", "alg"), ("key", "kty"), ("iv",), ("hashes",), ("hashes", "sha256")],
    ids=".".join,
)
def test_what_is_missing_is_said(keys: tuple[str, ...]) -> None:
    ciphertext, file = encrypt(b"data")
    with pytest.raises(AttachmentError):
        decrypt(_without(file, *keys), ciphertext)


@pytest.mark.parametrize(
    "change",
    [
        {"v": "v1"},
        {"v": 2},
        {"iv": 7},
        {"iv": "AAAA"},
        {"iv": "!!!!"},
        {"iv": "A" * 1_000_000},
        {"hashes": {"sha256": "AAAA"}},
        {"hashes": {"md5": "AAAA"}},
        {"hashes": "text"},
        {"key": "text"},
        {"key": {"kty": "RSA", "alg": "A256CTR", "k": "AAAA"}},
        {"key": {"kty": "oct", "alg": "A128CTR", "k": "AAAA"}},
        {"key": {"kty": "oct", "alg": "A256CTR", "k": "AAAA"}},
        {"key": {"kty": "oct", "alg": "A256CTR", "k": None}},
    ],
    ids=str,
)
def test_malformed_descriptions_are_refused(change: dict[str, Any]) -> None:
    ciphertext, file = encrypt(b"data")
    with pytest.raises(AttachmentError) as refused:
        decrypt({**file, **change}, ciphertext)
    assert file["key"]["k"] not in str(refused.value.fields) + refused.value.human, "an error never holds the key"


@given(st.dictionaries(st.text(max_size=8), st.none() | st.text(max_size=50) | st.integers(), max_size=5))
def test_no_description_whatever_does_more_than_refuse(file: dict[str, Any]) -> None:
    with pytest.raises(AttachmentError):
        decrypt(file, b"data")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
