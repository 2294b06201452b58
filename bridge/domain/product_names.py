"""What a product and its people are called."""

from __future__ import annotations

import base64
import hmac
import re
from typing import Final

PRODUCT: Final = re.compile(r"[a-z][a-z0-9]{0,15}(?:-[a-z0-9]{1,15})?")
"""Lower case, at most one hyphen: it begins the localparts of the product's people."""
EXTERNAL_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:=+-]{0,127}")
"""A product's own id of something. It never begins like a Matrix id does."""
USER_ID: Final = re.compile(r"@[!-9;-~]{1,200}:[A-Za-z0-9.:\[\]-]{1,230}")


def localpart(key: bytes, product: str, external_id: str) -> str:
    """The localpart of a product's person: the same for the same.

    Nobody without the key can say what it will be, so nobody can register it first and wait for the product to make
    the account its person's; nor read the product's id from it.
    """
    digest = hmac.digest(key, f"{product}\0{external_id}".encode(), "sha256")
    return f"{product}_{base64.b32encode(digest[:15]).decode().lower()}"
