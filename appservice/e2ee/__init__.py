"""End-to-end encryption of the bots: devices, keys, reading and writing. See ``docs/keys.md``."""

from __future__ import annotations

from appservice.e2ee.bot import BotIdentity
from appservice.e2ee.crypto import Crypto
from appservice.e2ee.errors import (
    AttachmentError,
    CryptoNotReady,
    CryptoStartError,
    DecryptionFailed,
    KeyMissing,
)

__all__ = [
    "AttachmentError",
    "BotIdentity",
    "Crypto",
    "CryptoNotReady",
    "CryptoStartError",
    "DecryptionFailed",
    "KeyMissing",
]
