"""Encrypted attachments (client-server API, "Sending encrypted attachments"): AES-256-CTR, version v2.

The file's key is its own and travels inside the encrypted event; the homeserver has ciphertext only.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from Crypto.Cipher import AES
from mautrix.crypto.attachments import encrypt_attachment
from mautrix.types import Serializable

from appservice.e2ee.errors import AttachmentError

KEY_BYTES = 32
IV_BYTES = 16
HASH_BYTES = 32


def encrypt(plaintext: bytes) -> tuple[bytes, dict[str, Any]]:
    """Encrypt a file.

    Returns:
        The ciphertext to upload, and the ``EncryptedFile`` object but for ``url``: ``v``, ``iv``, ``hashes``, ``key``.
    """
    ciphertext, description = encrypt_attachment(plaintext)
    assert isinstance(description, Serializable)
    file = description.serialize()
    assert isinstance(file, dict)
    file.pop("url", None)
    return ciphertext, file


def decrypt(file: Mapping[str, Any], ciphertext: bytes) -> bytes:
    """Decrypt a file that was downloaded.

    Args:
        file: the ``EncryptedFile`` object of the event.
        ciphertext: what was downloaded.

    Raises:
        AttachmentError: the description is malformed or unknown, or the ciphertext is not what its hash says.
    """
    if file.get("v") != "v2":
        raise AttachmentError("the attachment is encrypted in a way that is not known", version=str(file.get("v"))[:16])
    key_object, hashes = file.get("key"), file.get("hashes")
    if not isinstance(key_object, Mapping) or not isinstance(hashes, Mapping):
        raise AttachmentError("the attachment's description lacks its key or its hash")
    if key_object.get("alg") != "A256CTR" or key_object.get("kty") != "oct":
        raise AttachmentError("the attachment's key is of an unknown kind")
    key = _decode(key_object.get("k"), KEY_BYTES, "key")
    iv = _decode(file.get("iv"), IV_BYTES, "initialisation vector")
    expected = _decode(hashes.get("sha256"), HASH_BYTES, "hash")
    if not hmac.compare_digest(hashlib.sha256(ciphertext).digest(), expected):
        raise AttachmentError("the attachment was changed on its way: its hash does not match")
    # The counter is the lower half of the IV. The specification wants it zero; some clients fill it.
    cipher = AES.new(key, AES.MODE_CTR, nonce=iv[:8], initial_value=iv[8:])
    return cipher.decrypt(ciphertext)


def _decode(value: object, size: int, name: str) -> bytes:
    """Unpadded or padded base64, standard or URL-safe alphabet."""
    if not isinstance(value, str) or len(value) > 2 * size:
        raise AttachmentError(f"the attachment's {name} is missing or malformed")
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise AttachmentError(f"the attachment's {name} is no base64") from None
    if len(data) != size:
        raise AttachmentError(f"the attachment's {name} has the wrong size")
    return data
