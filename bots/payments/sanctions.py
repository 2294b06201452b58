"""Sanction lists: a service is asked about the two people of a payment before money moves.

It is asked before the transaction, never within. Its verdict is handed to :meth:`bots.payments.guard.Guard.check`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from enum import StrEnum
from typing import Final, Protocol

from bots.framework.clock import Clock
from bots.framework.http.client import HttpClient
from bots.framework.http.errors import HttpError

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 5.0
CLEAR_FOR_MS: Final = 15 * 60_000
"""How long a clear answer is believed: a list changes by the day, a conversation takes minutes."""
CACHED: Final = 10_000
MAX_BYTES: Final = 65_536


class Verdict(StrEnum):
    """What sanction lists say of a payment's people."""

    CLEAR = "clear"
    HIT = "hit"
    UNKNOWN = "unknown"
    """No answer, or one that cannot be understood: the payment is not made now."""


class Sanctions(Protocol):
    """Whoever is asked."""

    async def ask(self, person: str, counterpart: str) -> Verdict:
        """Whether ``person`` may pay ``counterpart``. Never raises for a service that fails: it is ``UNKNOWN``."""


class NoSanctions:
    """Nobody is asked: everything is clear."""

    async def ask(self, person: str, counterpart: str) -> Verdict:
        """Clear."""
        return Verdict.CLEAR


class HttpSanctions:
    """A service over HTTP.

    ``POST`` of ``{"person": "@a:x", "counterpart": "@b:y"}`` answers ``{"verdict": "clear" | "hit" | "unknown"}``. Only
    clear answers are kept for a while: a hit, or no answer, is asked for anew, so that the operator's correction counts
    at once.
    """

    def __init__(self, url: str, http: HttpClient, clock: Clock, *, timeout: float = TIMEOUT_S) -> None:
        self._url = url
        self._http = http
        self._clock = clock
        self._timeout = timeout
        self._clear: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def ask(self, person: str, counterpart: str) -> Verdict:
        """The service's verdict, or the one it gave a short while ago."""
        pair = (person, counterpart)
        if self._clear.get(pair, 0) > self._clock.now_ms():
            return Verdict.CLEAR
        self._clear.pop(pair, None)
        verdict = await self._asked(person, counterpart)
        if verdict is Verdict.CLEAR:
            self._clear[pair] = self._clock.now_ms() + CLEAR_FOR_MS
            while len(self._clear) > CACHED:
                self._clear.popitem(last=False)
        return verdict

    async def _asked(self, person: str, counterpart: str) -> Verdict:
        question = {"person": person, "counterpart": counterpart}
        try:
            answer = await self._http.post_json(
                self._url, question, expect=(200,), timeout=self._timeout, max_bytes=MAX_BYTES
            )
        except HttpError as error:
            log.warning("the sanction lists could not be asked", extra={"reason": error.code, **error.fields})
            return Verdict.UNKNOWN
        given = answer.get("verdict") if isinstance(answer, dict) else None
        if isinstance(given, str) and given in set(Verdict):
            return Verdict(given)
        log.warning("the sanction lists gave an answer that is none")
        return Verdict.UNKNOWN


def sanctions_of(url: str, http: HttpClient, clock: Clock) -> Sanctions:
    """As the configuration says: the service at ``url``, or nobody."""
    return HttpSanctions(url, http, clock) if url else NoSanctions()
