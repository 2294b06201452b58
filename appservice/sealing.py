"""What must not lie readable in the database is sealed with a key derived from the pickle key (AES-256-GCM, HKDF)."""

from __future__ import annotations

from Crypto.Cipher import AES
from Crypto.Hash import SHA256
from Crypto.Protocol.KDF import HKDF
from Crypto.Random import get_random_bytes

from appservice.errors import RialtoError

NONCE_BYTES = 12
TAG_BYTES = 16


class SealBroken(RialtoError):
    """Sealed bytes do not open: another pickle key, or they were changed."""

    code = "seal_broken"


def derived_key(pickle_key: str, purpose: str) -> bytes:
    """32 bytes of key for one purpose, made of the pickle key."""
    key: bytes = HKDF(pickle_key.encode(), 32, b"rialto", SHA256, context=purpose.encode())
    return key


class Sealer:
    """Seals and opens bytes. ``purpose`` keeps keys apart; ``context`` binds sealed bytes to their place."""

    def __init__(self, pickle_key: str, purpose: str) -> None:
        self._key = derived_key(pickle_key, purpose)

    def seal(self, data: bytes, context: str) -> bytes:
        """nonce (12 bytes), ciphertext, tag (16 bytes)."""
        nonce = get_random_bytes(NONCE_BYTES)
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
        cipher.update(context.encode())
        ciphertext, tag = cipher.encrypt_and_digest(data)
        return nonce + ciphertext + tag

    def open(self, sealed: bytes, context: str) -> bytes:
        """The sealed bytes.

        Raises:
            SealBroken: they do not open with this key at this place.
        """
        nonce, ciphertext, tag = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:-TAG_BYTES], sealed[-TAG_BYTES:]
        try:
            cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_BYTES)
            cipher.update(context.encode())
            return cipher.decrypt_and_verify(ciphertext, tag)
        except ValueError:
            raise SealBroken("a stored message does not open: was encryption.pickle_key changed?") from None
