"""Links by which a decision is appealed: for those who can write to nobody any more, their account being suspended.

A link says which decision, and proves that it was sent to the person: a keyed digest, no row. It is good for one
appeal, as there is one for each decision, and for as long as the decision can be appealed.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from typing import Final

from appservice.sealing import derived_key

PREFIX: Final = "/appeal"
_TOKEN: Final = re.compile(r"([0-9A-HJKMNP-TV-Z]{26})\.([A-Za-z0-9_-]{22})\Z")


class AppealLinks:
    """Makes them and reads them."""

    def __init__(self, pickle_key: str, url: Callable[[str], str]) -> None:
        """
        Args:
            url: the address of a path of the web listener, as the outside sees it; '' where there is none.
        """
        self._key = derived_key(pickle_key, "appeals")
        self._url = url

    def make(self, report_id: str) -> str:
        """The link of a decision; '' where no page is served."""
        return self._url(f"{PREFIX}/{report_id}.{self._mark(report_id)}")

    def read(self, token: str) -> str | None:
        """The decision of a link's token; None for one that was not made here."""
        found = _TOKEN.match(token)
        if found is None or not hmac.compare_digest(found[2], self._mark(found[1])):
            return None
        return found[1]

    def _mark(self, report_id: str) -> str:
        digest = hmac.digest(self._key, report_id.encode(), "sha256")[:16]
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")
