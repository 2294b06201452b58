"""Signatures of webhooks: ``X-Rialto-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>]``.

``v1`` is the HMAC-SHA256 of ``<t>.<body>`` with the webhook's secret; there are two of them while a secret is being
exchanged. The same form as Rialto's own incoming webhooks take.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

HEADER: Final = "X-Rialto-Signature"
WINDOW_S: Final = 300
"""How far the time of a signature may be from the receiver's."""
_FORM: Final = re.compile(r"t=([0-9]{1,12})((?:,v1=[0-9a-f]{64}){1,5})")


def sign(secrets: Iterable[bytes], moment: int, body: bytes) -> str:
    """The header for a body.

    Args:
        secrets: the one that counts first.
        moment: seconds since the epoch.
    """
    stamped = f"{moment}.".encode() + body
    signatures = "".join(f",v1={hmac.new(secret, stamped, sha256).hexdigest()}" for secret in secrets)
    return f"t={moment}{signatures}"


def verify(secret: bytes, header: str, body: bytes, now: float, window: float = WINDOW_S) -> bool:
    """Whether a body was signed with ``secret`` within ``window`` seconds of ``now``."""
    found = _FORM.fullmatch(header.strip())
    if found is None or abs(now - int(found[1])) > window:
        return False
    expected = hmac.new(secret, f"{found[1]}.".encode() + body, sha256).hexdigest()
    good = False
    for part in found[2].split(",v1=")[1:]:
        good |= hmac.compare_digest(expected, part)
    return good
