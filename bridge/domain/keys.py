"""The keys of embedding products, as text: ``rialto_<id>_<secret><checksum>``.

The id may be shown, the secret is 256 random bits, and the checksum tells a mistyped or invented key from a real one
before anybody asks the database. The prefix lets scanners of source code find keys that were committed by accident.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

ID_BYTES: Final = 10
SECRET_BYTES: Final = 32
_CHECK_BYTES: Final = 5
_FORM: Final = re.compile(r"rialto_([a-z2-7]{16})_([a-z2-7]{52})([a-z2-7]{8})")


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the right form. ``text`` is all of it: a secret."""

    id: str
    text: str = field(repr=False)


def made(random: bytes) -> Key:
    """The key of so many random bytes: :data:`ID_BYTES` for its id and :data:`SECRET_BYTES` for its secret."""
    if len(random) != ID_BYTES + SECRET_BYTES:
        raise ValueError(f"a key is made of {ID_BYTES + SECRET_BYTES} random bytes")
    key_id, secret = _base32(random[:ID_BYTES]), _base32(random[ID_BYTES:])
    return Key(key_id, f"rialto_{key_id}_{secret}{_checksum(key_id, secret)}")


def parse(text: str) -> Key | None:
    """The key that a text is; None when it cannot be one."""
    found = _FORM.fullmatch(text)
    if found is None or _checksum(found[1], found[2]) != found[3]:
        return None
    return Key(found[1], text)


def _checksum(key_id: str, secret: str) -> str:
    return _base32(sha256(f"{key_id}_{secret}".encode()).digest()[:_CHECK_BYTES])


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
